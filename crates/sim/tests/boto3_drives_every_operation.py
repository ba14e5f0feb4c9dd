"""Drives the simulated KMS with boto3, and with the AWS CLI where it is there.

Called by kms_from_boto3.rs with the path of a JSON file that says where the
KMS is and which credentials, keys and documents exist. Exits non-zero at the
first answer that is not what AWS KMS would give.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

SETUP = json.load(open(sys.argv[1]))
CONTEXT = {"tenant": "acme", "purpose": "support"}


def client(credentials, region=None, **changes):
    values = {**SETUP["credentials"][credentials], **changes}
    return boto3.client(
        "kms",
        region_name=region or SETUP["region"],
        endpoint_url=SETUP["endpoint"],
        verify=SETUP["ca"],
        aws_access_key_id=values["id"],
        aws_secret_access_key=values["secret"],
        aws_session_token=values.get("token"),
        config=Config(retries={"total_max_attempts": 1}),
    )


ADMIN = client("admin")
PARENT = client("parent")


def refused(code, call, *texts, status=400, **arguments):
    try:
        answer = call(**arguments)
    except ClientError as error:
        got = error.response["Error"]
        assert got["Code"] == code, (got, code)
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        message = got.get("Message", "")
        for text in texts:
            assert text in message, (text, message)
        return
    raise AssertionError(f"{code} expected, got {answer}")


def recipient(name="good", algorithm="RSAES_OAEP_SHA_256"):
    document = bytes.fromhex(SETUP["documents"][name])
    return {"AttestationDocument": document, "KeyEncryptionAlgorithm": algorithm}


def opened(ciphertext_for_recipient):
    """What the enclave would decrypt, by OpenSSL."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(ciphertext_for_recipient)
        file.flush()
        command = ["openssl", "cms", "-decrypt", "-binary", "-inform", "DER", "-in", file.name]
        command += ["-keyform", "DER", "-inkey", SETUP["recipient_key"]]
        return subprocess.run(command, check=True, capture_output=True).stdout


def management():
    created = ADMIN.create_key(Description="made by boto3", Tags=[{"TagKey": "a", "TagValue": "b"}])
    metadata = created["KeyMetadata"]
    assert metadata["Arn"].endswith(":key/" + metadata["KeyId"]), metadata
    assert metadata["AWSAccountId"] == "111122223333"
    assert metadata["Enabled"] is True and metadata["KeyState"] == "Enabled"
    assert metadata["KeyUsage"] == "ENCRYPT_DECRYPT" and metadata["KeyManager"] == "CUSTOMER"
    assert metadata["KeySpec"] == metadata["CustomerMasterKeySpec"] == "SYMMETRIC_DEFAULT"
    assert metadata["Origin"] == "AWS_KMS" and metadata["MultiRegion"] is False
    assert metadata["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"]
    assert metadata["CreationDate"].year >= 2020
    assert created["ResponseMetadata"]["RequestId"]
    for name in (metadata["KeyId"], metadata["Arn"]):
        assert ADMIN.describe_key(KeyId=name)["KeyMetadata"] == metadata

    everything = ADMIN.list_keys()
    assert everything["Truncated"] is False and "NextMarker" not in everything
    pages = ADMIN.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    paged = [key for page in pages for key in page["Keys"]]
    assert paged == everything["Keys"] and len(paged) >= 4, paged
    assert {"KeyId": metadata["KeyId"], "KeyArn": metadata["Arn"]} in paged
    refused("InvalidMarkerException", ADMIN.list_keys, Marker="x")
    refused("ValidationException", ADMIN.list_keys, Limit=1001)

    key = metadata["Arn"]
    policy = ADMIN.get_key_policy(KeyId=key)
    assert policy["PolicyName"] == "default"
    document = json.loads(policy["Policy"])
    assert document["Statement"][0]["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    document["Statement"][0]["Sid"] = "changed"
    ADMIN.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    assert json.loads(ADMIN.get_key_policy(KeyId=key)["Policy"]) == document
    for bad in ("{", '{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}'):
        refused("MalformedPolicyDocumentException", ADMIN.put_key_policy, KeyId=key, Policy=bad)
        refused("MalformedPolicyDocumentException", ADMIN.create_key, Policy=bad)
    document["Statement"][0]["Principal"] = {"AWS": SETUP["principals"]["parent"]}
    locked = json.dumps(document)
    lockout = "will not allow you to update the key policy"
    refused("MalformedPolicyDocumentException", ADMIN.put_key_policy, lockout, KeyId=key, Policy=locked)
    refused("MalformedPolicyDocumentException", ADMIN.create_key, lockout, Policy=locked)
    ADMIN.put_key_policy(KeyId=key, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    refused("AccessDeniedException", ADMIN.get_key_policy, KeyId=key)
    assert PARENT.get_key_policy(KeyId=key)["Policy"] == locked
    refused("UnsupportedOperationException", ADMIN.create_key, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    refused("UnsupportedOperationException", ADMIN.create_key, MultiRegion=True)


def names_of_keys():
    missing = "00000000-0000-4000-8000-000000000000"
    arn = f"arn:aws:kms:{SETUP['region']}:111122223333:key/{missing}"
    refused("NotFoundException", ADMIN.describe_key, f"Key '{arn}' does not exist", KeyId=missing)
    refused("NotFoundException", ADMIN.describe_key, f"Key '{arn}' does not exist", KeyId=arn)
    refused("NotFoundException", ADMIN.describe_key, KeyId="alias/nothing")
    refused("NotFoundException", ADMIN.describe_key, KeyId="nothing")
    elsewhere = SETUP["keys"]["open"].replace(SETUP["region"], "us-east-1")
    refused("NotFoundException", ADMIN.describe_key, "Invalid arn us-east-1", KeyId=elsewhere)
    refused("InvalidArnException", ADMIN.describe_key, KeyId="arn:aws:iam::111122223333:role/x")
    # A bare id is looked up in the caller's own account.
    other_id = SETUP["keys"]["other_account"].rsplit("/", 1)[1]
    refused("NotFoundException", ADMIN.describe_key, KeyId=other_id)


def cryptography():
    key = SETUP["keys"]["open"]
    sealed = ADMIN.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=CONTEXT)
    assert sealed["KeyId"] == key and sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    blob = sealed["CiphertextBlob"]
    for arguments in ({}, {"KeyId": key}, {"KeyId": key.rsplit("/", 1)[1]}):
        plain = ADMIN.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT, **arguments)
        assert plain["Plaintext"] == b"secret" and plain["KeyId"] == key, plain
        assert len(plain["KeyMaterialId"]) == 64 and "CiphertextForRecipient" not in plain
    largest = ADMIN.encrypt(KeyId=key, Plaintext=bytes(4096))["CiphertextBlob"]
    assert len(largest) <= 6144 and ADMIN.decrypt(CiphertextBlob=largest)["Plaintext"] == bytes(4096)

    decrypt = ADMIN.decrypt
    for context in ({}, {"tenant": "acme"}, {**CONTEXT, "tenant": "evil"}, {**CONTEXT, "x": "y"}):
        refused("InvalidCiphertextException", decrypt, CiphertextBlob=blob, EncryptionContext=context)
    for damaged in (b"garbage", blob[:-1], blob + b"x", blob[:25] + bytes([blob[25] ^ 1]) + blob[26:]):
        refused("InvalidCiphertextException", decrypt, CiphertextBlob=damaged, EncryptionContext=CONTEXT, KeyId=key)
    refused("InvalidCiphertextException", decrypt, CiphertextBlob=b"garbage")
    unknown = blob[:4] + bytes([blob[4] ^ 1]) + blob[5:]
    refused("AccessDeniedException", decrypt, "does not exist in this region", CiphertextBlob=unknown)
    second = SETUP["keys"]["second"]
    refused("IncorrectKeyException", decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=second)
    refused("ValidationException", decrypt, "6144", CiphertextBlob=bytes(6144 + 1))
    refused("ValidationException", ADMIN.encrypt, "4096", KeyId=key, Plaintext=bytes(4097))
    refused("ValidationException", ADMIN.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext={"k": "v" * 8192})
    refused("DryRunOperationException", ADMIN.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
    refused("DryRunOperationException", decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, DryRun=True)
    refused("InvalidGrantTokenException", ADMIN.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=["t"])
    refused("InvalidKeyUsageException", ADMIN.encrypt, KeyId=key, Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    disabled = SETUP["keys"]["disabled"]
    refused("DisabledException", ADMIN.encrypt, "is disabled", KeyId=disabled, Plaintext=b"x")
    assert ADMIN.describe_key(KeyId=disabled)["KeyMetadata"]["KeyState"] == "Disabled"

    for arguments, size in (({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1024}, 1024)):
        made = ADMIN.generate_data_key(KeyId=key, EncryptionContext=CONTEXT, **arguments)
        assert len(made["Plaintext"]) == size and made["KeyId"] == key and made["KeyMaterialId"]
        plain = ADMIN.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
        assert plain["Plaintext"] == made["Plaintext"]
        made = ADMIN.generate_data_key_without_plaintext(KeyId=key, **arguments)
        assert "Plaintext" not in made and made["KeyMaterialId"]
        assert len(ADMIN.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == size
    for arguments in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 1}, {"NumberOfBytes": 1025}, {"KeySpec": "AES_7"}):
        refused("ValidationException", ADMIN.generate_data_key, KeyId=key, **arguments)
    assert len(ADMIN.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    assert ADMIN.generate_random(NumberOfBytes=32)["Plaintext"] != ADMIN.generate_random(NumberOfBytes=32)["Plaintext"]
    refused("ValidationException", ADMIN.generate_random, NumberOfBytes=1025)
    refused("ValidationException", ADMIN.generate_random)
    refused("UnknownOperationException", ADMIN.list_aliases)


def attestation():
    key = SETUP["keys"]["attested"]
    blob = ADMIN.encrypt(KeyId=key, Plaintext=b"data key", EncryptionContext=CONTEXT)["CiphertextBlob"]
    arguments = {"CiphertextBlob": blob, "EncryptionContext": CONTEXT, "KeyId": key}
    explicit = "with an explicit deny in a resource-based policy"
    sentence = f"User: {SETUP['principals']['parent']} is not authorized to perform: kms:Decrypt on resource: {key} {explicit}"
    refused("AccessDeniedException", PARENT.decrypt, sentence, **arguments)
    refused("AccessDeniedException", ADMIN.decrypt, explicit, **arguments)
    refused("AccessDeniedException", PARENT.generate_data_key, explicit, KeyId=key, KeySpec="AES_256")

    refused("AccessDeniedException", PARENT.decrypt, "does not exist in this region", CiphertextBlob=blob)

    answer = PARENT.decrypt(Recipient=recipient(), **arguments)
    assert not answer.get("Plaintext") and answer["KeyId"] == key, answer
    assert opened(answer["CiphertextForRecipient"]) == b"data key"
    made = PARENT.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT, Recipient=recipient())
    assert not made.get("Plaintext")
    data_key = opened(made["CiphertextForRecipient"])
    arguments["CiphertextBlob"] = made["CiphertextBlob"]
    again = PARENT.decrypt(Recipient=recipient(), **arguments)
    assert len(data_key) == 32 and opened(again["CiphertextForRecipient"]) == data_key
    random = PARENT.generate_random(NumberOfBytes=7, Recipient=recipient())
    assert not random.get("Plaintext") and len(opened(random["CiphertextForRecipient"])) == 7

    nothing = "because no resource-based policy allows the kms:Decrypt action"
    for name in ("other_image", "debug"):
        refused("AccessDeniedException", PARENT.decrypt, nothing, Recipient=recipient(name), **arguments)
    arguments["EncryptionContext"] = {**CONTEXT, "tenant": "evil"}
    refused("AccessDeniedException", PARENT.decrypt, nothing, Recipient=recipient(), **arguments)
    arguments["EncryptionContext"] = CONTEXT
    for name in ("other_root", "old", "no_public_key", "small_key", "p384_key", "damaged"):
        refused("ValidationException", PARENT.decrypt, Recipient=recipient(name), **arguments)
    refused("ValidationException", PARENT.decrypt, Recipient=recipient(algorithm="RSAES_OAEP_SHA_1"), **arguments)
    refused("ValidationException", PARENT.decrypt, Recipient={"AttestationDocument": b"x"}, **arguments)
    # An attested request does not help a principal that the key does not name.
    refused("AccessDeniedException", client("stranger").decrypt, nothing, Recipient=recipient(), **arguments)
    # Operations without a recipient can never satisfy the condition.
    without = PARENT.generate_data_key_without_plaintext
    refused("AccessDeniedException", without, KeyId=key, KeySpec="AES_256")


def accounts():
    stranger = client("stranger")
    theirs = SETUP["keys"]["other_account"]
    assert stranger.describe_key(KeyId=theirs)["KeyMetadata"]["AWSAccountId"] == "444455556666"
    ours = SETUP["keys"]["open"]
    refused("AccessDeniedException", stranger.encrypt, KeyId=ours, Plaintext=b"x")
    refused("AccessDeniedException", ADMIN.encrypt, KeyId=theirs, Plaintext=b"x")
    assert [key["KeyArn"] for key in stranger.list_keys()["Keys"]] == [theirs]
    limited = client("limited")
    assert limited.generate_random(NumberOfBytes=1)
    reason = "because no identity-based policy allows the kms:Encrypt action"
    refused("AccessDeniedException", limited.encrypt, reason, KeyId=ours, Plaintext=b"x")
    refused("AccessDeniedException", limited.list_keys, "on resource: *")


def signatures():
    refused("InvalidSignatureException", client("admin", secret="wrong").list_keys, "does not match")
    refused("UnrecognizedClientException", client("admin", id="AKIAUNKNOWN000000000").list_keys, "is invalid")
    refused("UnrecognizedClientException", client("admin", token="unexpected").list_keys)
    refused("UnrecognizedClientException", client("parent", token="wrong").list_keys)
    refused("UnrecognizedClientException", client("parent", token=None).list_keys)
    refused("ExpiredTokenException", client("expired").list_keys, "is expired")
    refused("InvalidSignatureException", client("admin", region="us-east-1").list_keys, "not 'us-east-1'")
    tampered = client("admin")

    def change_body(request, **_):
        request.body = b'{"Limit": 1}'

    tampered.meta.events.register("before-send.kms.ListKeys", change_body)
    refused("InvalidSignatureException", tampered.list_keys)
    retargeted = client("admin")

    def change_target(request, **_):
        request.headers["X-Amz-Target"] = "TrentService.CreateKey"

    retargeted.meta.events.register("before-send.kms.ListKeys", change_target)
    refused("InvalidSignatureException", retargeted.list_keys)
    without = client("admin")
    without.meta.events.register("before-send.kms.ListKeys", lambda request, **_: request.headers.__delitem__("Authorization"))
    refused("MissingAuthenticationTokenException", without.list_keys)
    partial = client("admin")

    def drop_signature(request, **_):
        request.headers["Authorization"] = request.headers["Authorization"].decode().split(", Signature")[0]

    partial.meta.events.register("before-send.kms.ListKeys", drop_signature)
    refused("IncompleteSignatureException", partial.list_keys)


def cli():
    """The AWS CLI, unchanged, where it is installed."""
    if not shutil.which("aws"):
        return
    admin = SETUP["credentials"]["admin"]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": admin["id"], "AWS_SECRET_ACCESS_KEY": admin["secret"]}
    base = ["aws", "--endpoint-url", SETUP["endpoint"], "--ca-bundle", SETUP["ca"]]
    base += ["--region", SETUP["region"], "--output", "json", "kms"]

    def aws(*arguments):
        done = subprocess.run(base + list(arguments), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    key = aws("create-key", "--description", "made by the AWS CLI")["KeyMetadata"]["Arn"]
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"secret")
        file.flush()
        sealed = aws("encrypt", "--key-id", key, "--plaintext", "fileb://" + file.name, "--encryption-context", "a=b")
    with tempfile.NamedTemporaryFile() as file:
        import base64

        file.write(base64.b64decode(sealed["CiphertextBlob"]))
        file.flush()
        plain = aws("decrypt", "--ciphertext-blob", "fileb://" + file.name, "--encryption-context", "a=b")
    assert base64.b64decode(plain["Plaintext"]) == b"secret" and plain["KeyId"] == key


management()
names_of_keys()
cryptography()
attestation()
accounts()
signatures()
cli()
