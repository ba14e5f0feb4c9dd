"""A producer of plain envelopes: a KMS client, AES-GCM, and nothing else.

`kms` is a boto3 KMS client, or anything with its `generate_data_key`.
"""

import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def encode_context(context):
    """The encryption context as the AWS Encryption SDK serialises it."""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    texts = [text for pair in pairs for text in pair]
    fields = b"".join(struct.pack(">H", len(text)) + text for text in texts)
    return struct.pack(">H", len(pairs)) + fields if pairs else b""


def seal(kms, key_id, context, plaintext):
    """One message that a job with this KMS key and encryption context opens."""
    key = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext=context)
    blob, nonce = key["CiphertextBlob"], os.urandom(12)
    head = b"SRP1" + struct.pack(">H", len(blob)) + blob + nonce
    return head + AESGCM(key["Plaintext"]).encrypt(nonce, plaintext, head + encode_context(context))
