"""The official AWS Encryption SDK for Python, as a writer and a reader.

Called by official.rs with a folder. Reads every ours-* in it and compares with
"plaintext"; writes a message for each suite, layout and wrapping key as
<suite>-<frame length>-<wrapping key>, one for each suite that does not store
a part of its context as <suite>-required-aes256, and the RSA key as "rsa.der". The AES keys are those of official.rs.
"""

import pathlib
import sys

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    AesWrappingAlg,
    CreateDefaultCryptographicMaterialsManagerInput,
    CreateRawAesKeyringInput,
    CreateRequiredEncryptionContextCMMInput,
)
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
WRAPPED_SUITES = (
    AlgorithmSuite.AES_192_GCM_IV12_TAG16,
    AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
)
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


def required_context_manager():
    """Leaves "ä" out of headers, under the wrapping key "aes256"."""
    mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    keyring = mpl.create_raw_aes_keyring(
        CreateRawAesKeyringInput(
            key_namespace="official",
            key_name="aes256",
            wrapping_key=b"\x77" * 32,
            wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
    )
    default = mpl.create_default_cryptographic_materials_manager(
        CreateDefaultCryptographicMaterialsManagerInput(keyring=keyring)
    )
    return mpl.create_required_encryption_context_cmm(
        CreateRequiredEncryptionContextCMMInput(
            required_encryption_context_keys=["ä"], underlying_cmm=default
        )
    )


def write(path, plaintext, suite, frame_length, **keys):
    policy = STRICT if suite.is_committing() else LEGACY
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy)
    message, _ = client.encrypt(
        source=plaintext,
        algorithm=suite,
        frame_length=frame_length,
        encryption_context=CONTEXT,
        **keys,
    )
    path.write_bytes(message)


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

    required = required_context_manager()
    for suite in AlgorithmSuite:
        of_suite = folder / f"{suite.algorithm_id:04x}-required-aes256"
        write(of_suite, plaintext, suite, 384, materials_manager=required)
        # Not framed; several frames; frames that the plaintext fills; one frame.
        for frame_length in (0, 384, len(plaintext) // 4, 4096):
            of_layout = folder / f"{suite.algorithm_id:04x}-{frame_length}-aes256"
            write(of_layout, plaintext, suite, frame_length, key_provider=keys["aes256"])
    for name, key in keys.items():
        for suite in WRAPPED_SUITES:
            of_key = folder / f"{suite.algorithm_id:04x}-384-{name}"
            write(of_key, plaintext, suite, 384, key_provider=key)


main()
