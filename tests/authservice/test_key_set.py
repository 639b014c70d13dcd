"""functions/jwks: the key set as a CloudFormation custom resource."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from authservice import decorators, key_set
from authservice.errors import PublishingFailed
from tests.authservice.conftest import SESSION
from tests.authservice.fakes import KeyService, Server

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "keys"


class CloudFormation(Server):
    """Where a custom resource answers; `statuses` are given one by one, then 200."""

    def __init__(self):
        super().__init__()
        self.answers = []
        self.statuses = []

    def answer(self, method, headers, body):
        status = self.statuses.pop(0) if self.statuses else 200
        self.answers.append((method, headers.get("Content-Type"), json.loads(body)))
        return status, {}, b""


@pytest.fixture
def cloudformation():
    with CloudFormation() as running:
        yield running


@pytest.fixture
def kms(aws, monkeypatch):
    with KeyService() as running:
        running.keys = {"a": ec.generate_private_key(ec.SECP256R1()), "b": ec.generate_private_key(ec.SECP256R1())}
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", running.url)
        yield running


@pytest.fixture
def bucket(kms, monkeypatch):
    s3 = SESSION.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    monkeypatch.setenv("BUCKET", BUCKET)
    return s3


def app():
    """The function, at its cold start."""
    spec = importlib.util.spec_from_file_location(f"jwks_{uuid4().hex}", ROOT / "functions/jwks/app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(cloudformation, request_type="Create", keys=("a",), **more):
    return {
        "RequestType": request_type,
        "ResponseURL": cloudformation.url + "/answer?signature=x",
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/s/1",
        "RequestId": "request-1",
        "LogicalResourceId": "PublicKeys",
        "ResourceType": "Custom::PublicKeys",
        "ResourceProperties": {"ServiceToken": "arn", "Keys": list(keys)},
        **more,
    }


def told(cloudformation):
    [(method, content_type, answer)] = cloudformation.answers
    assert (method, content_type or "") == ("PUT", "")
    assert (answer["StackId"], answer["RequestId"]) == (
        "arn:aws:cloudformation:eu-central-1:123456789012:stack/s/1",
        "request-1",
    )
    assert answer["LogicalResourceId"] == "PublicKeys"
    assert answer["PhysicalResourceId"] == "jwks"
    return answer


def test_creating_it_publishes_the_keys_in_their_order(cloudformation, kms, bucket):
    """I7: the signing key first, the other one for the overlap."""
    app().handler(event(cloudformation, keys=["b", "a"]), None)
    answer = told(cloudformation)
    assert answer["Status"] == "SUCCESS"
    stored = bucket.get_object(Bucket=BUCKET, Key="jwks.json")
    assert stored["Body"].read().decode() == answer["Data"]["Document"]
    assert (stored["ContentType"], stored["CacheControl"]) == ("application/json", "public, max-age=300")
    keys = json.loads(answer["Data"]["Document"])["keys"]
    for key, of in zip(keys, ("b", "a"), strict=True):
        signed = jwt.PyJWS().encode(b"text", kms.keys[of], "ES256")
        assert jwt.PyJWS().decode(signed, jwt.PyJWK(key), algorithms=["ES256"]) == b"text"
        assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_key_is_named_by_its_thumbprint(kms):
    """RFC 7638: the members in order, without spaces, hashed."""
    [key] = json.loads(key_set.document(["a"], kms=SESSION.client("kms")))["keys"]
    text = f'{{"crv":"P-256","kty":"EC","x":"{key["x"]}","y":"{key["y"]}"}}'
    digest = hashlib.sha256(text.encode()).digest()
    assert key["kid"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_updating_it_replaces_the_object_and_deleting_removes_it(cloudformation, kms, bucket):
    handler = app().handler
    for request_type in ("Create", "Update", "Update"):
        handler(event(cloudformation, request_type, PhysicalResourceId="jwks"), None)
    assert {answer["PhysicalResourceId"] for _, _, answer in cloudformation.answers} == {"jwks"}
    for _ in range(2):
        handler(event(cloudformation, "Delete", PhysicalResourceId="jwks"), None)
        assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert {answer["Status"] for _, _, answer in cloudformation.answers} == {"SUCCESS"}


def test_deleting_it_after_its_bucket_is_no_failure(cloudformation, kms, monkeypatch):
    monkeypatch.setenv("BUCKET", "never-made")
    app().handler(event(cloudformation, "Delete"), None)
    assert told(cloudformation)["Status"] == "SUCCESS"


def test_the_keys_of_a_deletion_do_not_matter(cloudformation, kms, bucket):
    """A creation that failed is deleted with the same wrong properties."""
    app().handler(event(cloudformation, "Delete", ResourceProperties={}), None)
    assert told(cloudformation)["Status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("keys", "word"),
    [
        ([], "Keys must list"),
        ("a", "Keys must list"),
        ([""], "Keys must list"),
        ([7], "Keys must list"),
        (None, "Keys must list"),
        (["unknown"], "NotFoundException"),
        (["rsa"], "ECC_NIST_P256"),
        (["p384"], "ECC_NIST_P256"),
        (["a"] * 20, "too long"),
    ],
)
def test_what_cannot_be_published_fails_with_its_reason(cloudformation, kms, bucket, keys, word):
    kms.keys["rsa"] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kms.keys["p384"] = ec.generate_private_key(ec.SECP384R1())
    app().handler(event(cloudformation, ResourceProperties={"Keys": keys}), None)
    answer = told(cloudformation)
    assert answer["Status"] == "FAILED"
    assert word in answer["Reason"]
    assert answer["Data"] == {}
    assert bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_a_missing_setting_fails_the_deployment_and_does_not_hang_it(cloudformation, kms, monkeypatch):
    """L4: the cold start succeeds, or CloudFormation would wait for an hour."""
    monkeypatch.delenv("BUCKET", raising=False)
    app().handler(event(cloudformation), None)
    answer = told(cloudformation)
    assert (answer["Status"], "BUCKET is not set" in answer["Reason"]) == ("FAILED", True)


def test_a_bucket_that_refuses_fails_with_its_reason(cloudformation, kms, monkeypatch):
    monkeypatch.setenv("BUCKET", "never-made")
    app().handler(event(cloudformation), None)
    answer = told(cloudformation)
    assert (answer["Status"], "NoSuchBucket" in answer["Reason"]) == ("FAILED", True)


def test_an_answer_that_does_not_get_through_is_sent_again(cloudformation, kms, bucket):
    cloudformation.statuses = [500, 503]
    waits: list[float] = []
    key_set.report(event(cloudformation), "", {}, sleep=waits.append)
    assert len(cloudformation.answers) == 3
    assert len(waits) == 2


def test_an_answer_that_never_gets_through_fails_so_that_lambda_tries_again(cloudformation, kms):
    cloudformation.statuses = [500] * 9
    with pytest.raises(PublishingFailed):
        key_set.report(event(cloudformation), "", {}, sleep=lambda _seconds: None)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/y", "nonsense"])
def test_answers_go_to_web_addresses_only(cloudformation, address):
    with pytest.raises(PublishingFailed, match="web address"):
        key_set.report({**event(cloudformation), "ResponseURL": address}, "", {})


def test_the_longest_reason_is_one_that_cloudformation_reads(cloudformation):
    def broken(_event):
        raise PublishingFailed("é" * 10_000)

    decorators.resource(broken, report=key_set.report)(event(cloudformation), None)
    assert told(cloudformation)["Status"] == "FAILED"
    assert len(json.dumps(cloudformation.answers[0][2])) <= 4096
