#!/usr/bin/env python3
"""The AWS Encryption SDK for Python, opening what benches/esdk.rs opens.

    pip install aws-encryption-sdk
    python3 crates/envelope/benches/esdk.py [MIB]

For each frame length it makes a message of so many MiB (64) under a raw AES
keyring and opens it as a stream, in reads of 256 KiB. Time is that of the
process on a processor, best of five; opening includes the header.
"""

import io
import sys
import time

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import AesWrappingAlg, CreateRawAesKeyringInput
from aws_encryption_sdk.identifiers import AlgorithmSuite, CommitmentPolicy

RUNS = 5
PIECE = 256 << 10
CONTEXT = {"purpose": "support", "tenant": "acme"}
SUITES = {
    "0x0478": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    "0x0578": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
}


def keyring():
    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    return providers.create_raw_aes_keyring(
        input=CreateRawAesKeyringInput(
            key_namespace="bench",
            key_name="bench",
            wrapping_key=bytes(32),
            wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
    )


def opened(client, ring, message):
    started, length = time.process_time(), 0
    with client.stream(mode="d", source=io.BytesIO(message), keyring=ring) as stream:
        while piece := stream.read(PIECE):
            length += len(piece)
    return time.process_time() - started, length


def measure(client, ring, plaintext, suite, frame, runs):
    message, _ = client.encrypt(
        source=plaintext,
        keyring=ring,
        encryption_context=CONTEXT,
        algorithm=suite,
        frame_length=frame,
    )
    times = []
    for _ in range(runs):
        took, length = opened(client, ring, message)
        assert length == len(plaintext)
        times.append(took)
    return min(times)


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
    ring, plaintext = keyring(), bytes(mib << 20)
    print(f"aws-encryption-sdk {aws_encryption_sdk.__version__}")
    for name, suite in SUITES.items():
        for frame in (4 << 10, 64 << 10):
            took = measure(client, ring, plaintext, suite, frame, RUNS)
            print(f"{name}, {frame >> 10} KiB frames: {took:.3f} s, {mib / took:.0f} MiB/s")
    took = measure(client, ring, plaintext[: 1 << 10], SUITES["0x0478"], 4 << 10, 50)
    print(f"0x0478, one frame of 1 KiB: {took * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
