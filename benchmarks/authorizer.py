"""One call of the authorizer: its processor time when warm, and its cold start against that of an SDK.

The call is the function's own handler with its real settings and keys, log line included, and nothing to ask anyone.
What the signature costs alone is measured beside it: the floor of any verification in this interpreter.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agentsocket.handlers import decorators
from benchmarks.imports import CLIENTS, cold, layers
from tests.support.size_budget import ROOT

CALLS = 300
ROUNDS = 15
SDK = CLIENTS.format(["dynamodb", "apigatewaymanagementapi"])
ISSUER = "https://issuer.example"
METHOD = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/live/$connect"
SIGNERS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def measure() -> None:
    """Print the medians of each kind of call, then of the two cold starts."""
    private = {name: make() for name, make in SIGNERS.items()}
    keys = [jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True) for name, key in private.items()]
    jwks = {"keys": [{**key, "kid": name} for name, key in zip(private, keys, strict=True)]}
    settings = {"ISSUER": ISSUER, "AUDIENCE": "agentsocket", "JWKS": json.dumps(jwks)}
    handler = _handler(settings)
    for name, key in private.items():
        _warm(name, key, handler)
    _cold(settings)


def _warm(algorithm: str, key: Any, handler: Callable[[Any, object], Any]) -> None:
    text = _token(algorithm, key)
    event = {"methodArn": METHOD, "multiValueHeaders": {"Authorization": [f"Bearer {text}"]}}
    answer = handler(event, None)
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    whole = _microseconds(lambda: handler(event, None))
    alone = _microseconds(_signature_check(algorithm, key, text))
    print(
        f"  one call, warm, {algorithm}   {whole:5.0f} us of processor time: "
        f"signature {alone:5.0f} us, the rest {whole - alone:5.0f} us"
    )


def _cold(settings: dict[str, str]) -> None:
    region = {"AWS_DEFAULT_REGION": "eu-west-1"}
    with layers() as folders:
        path = [*folders, ROOT / "functions" / "authorizer"]
        rounds = [(cold("import app", path, settings)[0], cold(SDK, path, region)[0]) for _ in range(ROUNDS)]
    ours, sdk = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"  cold start {ours:6.0f} ms   boto3 with a DynamoDB and a management client {sdk:6.0f} ms   "
        f"ratio {ours / sdk:.2f}   aim: at most 0.5"
    )


def _handler(settings: dict[str, str]) -> Callable[[Any, object], Any]:
    """The function's own, its log lines going nowhere: a terminal's time is not the authorizer's."""
    before = dict(os.environ)
    os.environ.update(settings)
    spec = importlib.util.spec_from_file_location("authorizer_app", ROOT / "functions" / "authorizer" / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.environ.clear()
    os.environ.update(before)
    nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115 (the logger keeps it)
    for written in decorators.logger.handlers:
        written.setStream(nowhere)  # type: ignore[attr-defined]
    handler: Callable[[Any, object], Any] = module.handler
    return handler


def _token(algorithm: str, key: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "agentsocket",
        "sub": "0f4e6c1e-8d5b-4a53-9f0c-6f1c6f8a2b11",
        "iat": now,
        "exp": now + 900,
        "jti": "f2b1c8de0f3c4b5a9e8d7c6b5a493827",
        "sid": "5a493827f2b1c8de0f3c4b5a9e8d7c6b",
        "client_id": "web",
        "scope": "chat",
    }
    return jwt.encode(claims, key, algorithm, headers={"kid": algorithm, "typ": "at+jwt"})


def _signature_check(algorithm: str, key: Any, text: str) -> Callable[[], object]:
    signed, _, encoded = text.rpartition(".")
    signature = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    verify, public = jwt.get_algorithm_by_name(algorithm).verify, key.public_key()
    return lambda: verify(signed.encode(), public, signature)


def _microseconds(call: Callable[[], object]) -> float:
    """The median processor time of one call."""
    spent = []
    for _ in range(CALLS):
        started = time.process_time_ns()
        call()
        spent.append(time.process_time_ns() - started)
    return statistics.median(spent) / 1000
