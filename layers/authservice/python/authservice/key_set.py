"""The published key set: a CloudFormation custom resource makes it from KMS keys and puts it into a bucket.

It outlives this service: whoever checks tokens reads the object, or the copy that the deployment hands on.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwt.algorithms import ECAlgorithm

from authservice.errors import PublishingFailed
from authservice.tokens import ALGORITHM, key_id

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client

OBJECT = "jwks.json"
PHYSICAL_ID = "jwks"  # the same for ever: a changed one would make CloudFormation delete the object it has just made
MAX_AGE_S = 300
_ATTEMPTS = 3
_TIMEOUT_S = 5
_MAX_BYTES = 4096  # CloudFormation reads no longer response

Event = Mapping[str, Any]


def publish(event: Event, *, kms: KMSClient, s3: S3Client, bucket: str) -> dict[str, str]:
    """Do what CloudFormation asks; the resource's attributes: `Document`, the key set as compact JSON.

    `Keys` lists KMS key ids, the signing one first. Raises PublishingFailed, or what AWS refuses.
    """
    if event["RequestType"] == "Delete":
        _remove(s3, bucket)
        return {}
    keys = event.get("ResourceProperties", {}).get("Keys")
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) and key for key in keys):
        raise PublishingFailed("Keys must list the ids of KMS keys, the signing one first")
    text = document(keys, kms=kms)
    size = len(_response(event, "", {"Document": text}))
    if size > _MAX_BYTES:
        limit = f"the response is {size:,} bytes; the limit is {_MAX_BYTES:,}"
        raise PublishingFailed(f"the key set is too long for CloudFormation: {limit}; list fewer keys")
    s3.put_object(
        Bucket=bucket,
        Key=OBJECT,
        Body=text.encode(),
        ContentType="application/json",
        CacheControl=f"public, max-age={MAX_AGE_S}",
    )
    return {"Document": text}


def document(key_ids: Sequence[str], *, kms: KMSClient, sleep: Callable[[float], None] = time.sleep) -> str:
    """The key set (RFC 7517) of KMS keys in their order. Raises PublishingFailed for a key of another kind."""
    return json.dumps({"keys": [_jwk(key, kms, sleep) for key in key_ids]}, separators=(",", ":"))


def report(event: Event, reason: str, data: Mapping[str, str], *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Tell CloudFormation how it went: FAILED if there is a reason. Raises PublishingFailed when it does not listen."""
    address = event["ResponseURL"]
    if urlsplit(address).scheme not in ("https", "http"):
        raise PublishingFailed("ResponseURL must be a web address")
    # The address is signed for an empty content type.
    request = urllib.request.Request(  # noqa: S310 (the scheme is checked above)
        address, data=_response(event, reason, data), method="PUT", headers={"Content-Type": ""}
    )
    cause = ""
    for attempt in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 (likewise)
                return
        except (OSError, http.client.HTTPException) as error:
            cause = type(error).__name__
            if isinstance(error, HTTPError):
                cause = f"status {error.code}"
                error.close()
            sleep(2**attempt)
    raise PublishingFailed(f"CloudFormation did not accept the response in {_ATTEMPTS} attempts: {cause}")


def _response(event: Event, reason: str, data: Mapping[str, str]) -> bytes:
    answer = {
        "Status": "FAILED" if reason else "SUCCESS",
        "Reason": reason or "done",
        "PhysicalResourceId": PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(data),
    }
    return json.dumps(answer).encode()


def _public_key(key: str, kms: KMSClient, sleep: Callable[[float], None]) -> bytes:
    """A key's public half. What a role was allowed a moment ago is refused until IAM has told everybody."""
    for attempt in range(_ATTEMPTS):
        try:
            return kms.get_public_key(KeyId=key)["PublicKey"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            sleep(2.0 ** (attempt + 1))
    return kms.get_public_key(KeyId=key)["PublicKey"]


def _jwk(key: str, kms: KMSClient, sleep: Callable[[float], None]) -> dict[str, str]:
    public = load_der_public_key(_public_key(key, kms, sleep))
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise PublishingFailed(f"KMS key {key} must be of the kind ECC_NIST_P256")
    jwk = ECAlgorithm.to_jwk(public, as_dict=True)
    members = {name: str(jwk[name]) for name in ("kty", "crv", "x", "y")}
    return members | {"kid": key_id(jwk), "alg": ALGORITHM, "use": "sig"}


def _remove(s3: S3Client, bucket: str) -> None:
    """Take the object away; one that is not there any more, or its bucket, is no error."""
    try:
        s3.delete_object(Bucket=bucket, Key=OBJECT)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
