"""Every file of `events/` for the auth service's functions through `functions/*/app.py`, as Lambda would import it."""

from __future__ import annotations

import base64
import importlib.util
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from authservice.errors import SettingsError
from local import events
from local.emulators.issuer import Issuer as LocalIssuer
from local.tokens import AccessTokens
from tests.authservice.conftest import GATEKEEPER, SESSION, URL
from tests.authservice.outcomes import OUTCOMES
from tests.authservice.test_key_set import CloudFormation

ROOT = Path(__file__).resolve().parents[2]


def load(function: str) -> Any:
    """A function's module, new: importing it is the function's cold start."""
    spec = importlib.util.spec_from_file_location(f"{function}_{uuid4().hex}", ROOT / f"functions/{function}/app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cloudformation():
    with CloudFormation() as running:
        yield running


@pytest.fixture
def send(environment, cloudformation, tmp_path, monkeypatch):
    """Sends a file to its function."""
    monkeypatch.setenv("ALLOWED_ORIGINS", events.WEB_ORIGIN)
    monkeypatch.setenv("BUCKET", "keys")
    s3 = SESSION.client("s3")
    s3.create_bucket(Bucket="keys", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    access = AccessTokens(SESSION.client("kms"), "signing-key", issuer=URL)
    signers = events.Signers(access, LocalIssuer(tmp_path, url=environment["IDENTITY_ISSUER"]))
    known = {
        "signing-key": "signing-key",
        "introspection": base64.b64encode(":".join(GATEKEEPER).encode()).decode(),
        "response-url": cloudformation.url,
    }

    def send(name: str) -> Any:
        event = events.fill(events.path(name).read_text(), signers=signers, now=time.time(), known=known)
        return load(name.partition("-")[0]).handler(event, None)

    return send


def test_every_event_file_has_an_outcome():
    files = [path.stem for path in events.FOLDER.glob("*.json") if path.stem.startswith(("auth-", "jwks-"))]
    assert sorted(files) == sorted(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_event_has_its_outcome(send, name):
    OUTCOMES[name](send(name))


@pytest.mark.parametrize(("name", "status"), [("create", "SUCCESS"), ("no-keys", "FAILED"), ("delete", "SUCCESS")])
def test_cloudformation_hears_of_each_of_its_events(send, cloudformation, name, status):
    send(f"jwks-{name}")
    assert [answer["Status"] for _, _, answer in cloudformation.answers] == [status]


@pytest.mark.parametrize(
    "missing",
    [
        "TABLE_NAME",
        "ISSUER",
        "AUDIENCE",
        "JWKS",
        "SIGNING_KEY",
        "CONTROL_QUEUE_URL",
        "IDENTITY_ISSUER",
        "IDENTITY_CLIENT_ID",
        "IDENTITY_JWKS_URL",
        "SCOPES",
    ],
)
def test_a_missing_setting_is_one_error_at_the_cold_start(environment, monkeypatch, missing):
    """L4."""
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        load("auth")
