"""The official AWS Encryption SDK for Python, as a data producer and consumer
use it: an AWS KMS keyring whose boto3 client is pointed at the KMS under test.

Reads one JSON object from standard input:
  endpoint, ca, region, credentials, task ("encrypt" | "decrypt"), key, context,
  and for "encrypt": suite, frame, plaintext, output; for "decrypt": input, output.
Paths name files. Prints nothing; a failure is a traceback and exit code 1.
"""

import json
import sys

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
from aws_encryption_sdk.identifiers import AlgorithmSuite, CommitmentPolicy


def keyring(task):
    kms = boto3.client(
        "kms",
        region_name=task["region"],
        endpoint_url=task["endpoint"],
        verify=task["ca"],
        aws_access_key_id=task["credentials"]["access_key_id"],
        aws_secret_access_key=task["credentials"]["secret_access_key"],
    )
    providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    made = CreateAwsKmsKeyringInput(kms_key_id=task["key"], kms_client=kms)
    return providers.create_aws_kms_keyring(input=made)


def main():
    task = json.load(sys.stdin)
    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
    common = {"keyring": keyring(task), "encryption_context": task["context"]}
    if task["task"] == "encrypt":
        with open(task["plaintext"], "rb") as source:
            result, _ = client.encrypt(
                source=source.read(),
                algorithm=AlgorithmSuite.get_by_id(task["suite"]),
                frame_length=task["frame"],
                **common,
            )
    else:
        with open(task["input"], "rb") as source:
            result, _ = client.decrypt(source=source.read(), **common)
    with open(task["output"], "wb") as output:
        output.write(result)


if __name__ == "__main__":
    main()
