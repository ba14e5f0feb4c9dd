"""sign: private keys and verification of `cryptography`."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

PSS = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)


def keys(task):
    made = {
        "ecdsa-p256": ec.generate_private_key(ec.SECP256R1()),
        "ecdsa-secp256k1": ec.generate_private_key(ec.SECP256K1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa-pss": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    for name, key in made.items():
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        Path(task["folder"], name).write_bytes(der)


def verify(task):
    """Each signature verifies over the whole message."""
    with open(task["input"], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    for name, algorithm in task["signatures"].items():
        key = load_der_private_key(Path(task["folder"], algorithm).read_bytes(), None).public_key()
        signature = Path(task["folder"], name).read_bytes()
        if algorithm == "ed25519":
            key.verify(signature, Path(task["input"]).read_bytes())
        elif algorithm == "rsa-pss":
            key.verify(signature, digest, PSS, Prehashed(SHA256()))
        else:
            key.verify(signature, digest, ec.ECDSA(Prehashed(SHA256())))
