"""Many requests at once, on a DynamoDB, a KMS and a queue that are processes of their own (moto loses updates)."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from authservice import key_set, wiring
from local.emulators.ministack import Ministack
from tests.authservice.conftest import TABLE, caller, create_table, forget_wiring

TABS = 6


@pytest.fixture
async def live(tmp_path: Path, issuer, monkeypatch):
    """A caller of the service on ministack, with the real clock."""
    stack = Ministack(tmp_path)
    await stack.start()
    access = stack.access
    for name, value in {
        "AWS_ENDPOINT_URL": access.endpoint_url,
        "AWS_ACCESS_KEY_ID": access.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.aws_secret_access_key,
        "AWS_DEFAULT_REGION": access.region_name,
    }.items():
        monkeypatch.setenv(name, value)
    for name, value in deploy(issuer).items():
        monkeypatch.setenv(name, value)
    forget_wiring()
    wiring._session.cache_clear()
    yield caller(wiring.service())
    wiring._session.cache_clear()
    forget_wiring()
    await stack.stop()


def client(name: str) -> Any:
    return boto3.Session().client(name, config=Config(retries={"total_max_attempts": 2}))


def deploy(issuer) -> dict[str, str]:
    """What the template makes, and what it tells the function."""
    create_table(client("dynamodb"))
    kms = client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    return {
        "TABLE_NAME": TABLE,
        "ISSUER": "https://auth.example",
        "AUDIENCE": "agentsocket",
        "SCOPES": "chat",
        "JWKS": key_set.document([key], kms=kms),
        "SIGNING_KEY": key,
        "CONTROL_QUEUE_URL": client("sqs").create_queue(QueueName="control")["QueueUrl"],
        "IDENTITY_ISSUER": issuer.url,
        "IDENTITY_CLIENT_ID": "app",
        "IDENTITY_JWKS_URL": issuer.url,
        "AUTH_LIMITS": json.dumps({"write_attempts": 12, "write_backoff_ms": 5}),
    }


def at_once(step, times: int = TABS) -> list[Any]:
    with ThreadPoolExecutor(times) as threads:
        return [future.result() for future in [threads.submit(step) for _ in range(times)]]


def test_many_at_once(live, issuer):
    """security.md, Exchange and refresh: tabs that refresh at once are no thieves; an ID token is exchanged once."""
    id_token = issuer.id_token("ada", now=time.time())
    answers = at_once(lambda: live.exchange(id_token))
    assert Counter(answer.status for answer in answers) == {200: 1, 400: TABS - 1}
    [first] = [answer.json for answer in answers if answer.status == 200]

    tabs = at_once(lambda: live.refresh(first["refresh_token"]))
    assert [answer.status for answer in tabs] == [200] * TABS
    tokens = [answer.json["refresh_token"] for answer in tabs]
    assert len(set(tokens)) == TABS
    for token in tokens:
        assert live.refresh(token).status == 200

    # Now a successor was used: the old token is theft, for whoever brings it, and for all of them.
    assert {answer.status for answer in at_once(lambda: live.refresh(first["refresh_token"]))} == {400}
    assert live.refresh(tokens[0]).status == 400


def test_a_logout_among_refreshes_leaves_nothing_alive(live, issuer):
    """C3: whichever comes first, no token is both issued before the logout and in force after it."""
    first = live.exchange(issuer.id_token("ada", now=time.time())).json
    with ThreadPoolExecutor(TABS + 1) as threads:
        refreshes = [threads.submit(live.refresh, first["refresh_token"]) for _ in range(TABS)]
        logout = threads.submit(live.post, "/oauth/logout", bearer=first["access_token"])
        answers = [future.result() for future in refreshes]
        assert logout.result().status == 204
    assert {answer.status for answer in answers} <= {200, 400}
    assert live.post("/ticket", bearer=first["access_token"]).status == 401
    assert live.refresh(first["refresh_token"]).status == 400
    for answer in answers:
        if answer.status == 200:
            assert live.post("/ticket", bearer=answer.json["access_token"]).status == 401
            assert live.refresh(answer.json["refresh_token"]).status == 400
