"""The official AWS Encryption SDK for Python, as a writer and a reader.

Called by official.rs with a folder. Reads every ours-* in it and compares with
"plaintext"; writes a message for each suite, layout and wrapping key as
<suite>-<frame length>-<wrapping key>, and the
RSA key as "rsa.der". The AES keys are those of official.rs.
"""

import pathlib
import sys

import aws_encryption_sdk
from aws_encryption_sdk.identifiers import (
    AlgorithmSuite,
    CommitmentPolicy,
    EncryptionKeyType,
    WrappingAlgorithm,
)
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

CONTEXT = {"purpose": "interoperability", "ä": "ö"}
STRICT = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
LEGACY = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
RSA_WRAPPINGS = {
    "pkcs1": WrappingAlgorithm.RSA_PKCS1,
    "oaep1": WrappingAlgorithm.RSA_OAEP_SHA1_MGF1,
    "oaep256": WrappingAlgorithm.RSA_OAEP_SHA256_MGF1,
    "oaep384": WrappingAlgorithm.RSA_OAEP_SHA384_MGF1,
    "oaep512": WrappingAlgorithm.RSA_OAEP_SHA512_MGF1,
}
AES_WRAPPINGS = {
    "aes128": (WrappingAlgorithm.AES_128_GCM_IV12_TAG16_NO_PADDING, 16),
    "aes192": (WrappingAlgorithm.AES_192_GCM_IV12_TAG16_NO_PADDING, 24),
    "aes256": (WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING, 32),
}


def master_key(name, algorithm, key, kind):
    wrapping_key = WrappingKey(
        wrapping_algorithm=algorithm, wrapping_key=key, wrapping_key_type=kind
    )
    return RawMasterKey(provider_id="official", key_id=name, wrapping_key=wrapping_key)


def master_keys(rsa_pem):
    keys = {}
    for name, (algorithm, length) in AES_WRAPPINGS.items():
        keys[name] = master_key(name, algorithm, b"\x77" * length, EncryptionKeyType.SYMMETRIC)
    for name, algorithm in RSA_WRAPPINGS.items():
        keys[name] = master_key(name, algorithm, rsa_pem, EncryptionKeyType.PRIVATE)
    return keys


def write(folder, plaintext, suite, frame_length, key):
    policy = STRICT if suite.is_committing() else LEGACY
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy)
    message, _ = client.encrypt(
        source=plaintext,
        key_provider=key,
        algorithm=suite,
        frame_length=frame_length,
        encryption_context=CONTEXT,
    )
    name = key.key_id.decode()
    (folder / f"{suite.algorithm_id:04x}-{frame_length}-{name}").write_bytes(message)


def main():
    folder = pathlib.Path(sys.argv[1])
    plaintext = (folder / "plaintext").read_bytes()
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pkcs8 = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "rsa.der").write_bytes(private.private_bytes(serialization.Encoding.DER, *pkcs8))
    keys = master_keys(private.private_bytes(serialization.Encoding.PEM, *pkcs8))

    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=STRICT)
    for path in sorted(folder.glob("ours-*")):
        opened, _ = client.decrypt(source=path.read_bytes(), key_provider=keys["aes256"])
        if opened != plaintext:
            sys.exit(f"{path.name}: another plaintext")

    for suite in AlgorithmSuite:
        # Not framed; several frames; frames that the plaintext fills; one frame.
        for frame_length in (0, 384, len(plaintext) // 4, 4096):
            write(folder, plaintext, suite, frame_length, keys["aes256"])
    for name, key in keys.items():
        write(folder, plaintext, AlgorithmSuite.AES_192_GCM_IV12_TAG16, 384, key)
        write(folder, plaintext, AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY, 384, key)


main()
