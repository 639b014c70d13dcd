"""The auth service as it is deployed: its real settings and wiring, AWS by moto, KMS and the issuer over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from authservice import decorators, key_set, service_clients, wiring
from authservice.service import Service
from tests.authservice.fakes import CLIENT_ID, Issuer, KeyService
from tests.authservice.http_client import Answer, Caller
from tests.conftest import captured
from tests.support.fakes import Clock

URL = "https://auth.example"
ORIGIN = "https://app.example.com"
GATEKEEPER = ("gatekeeper", "a-generated-secret")
TABLE = "auth"
SESSION = boto3.Session()  # one for all tests: it keeps what it has read of the services' descriptions


def forget_wiring() -> None:
    """Settings are read once per process; each test is a process of its own, as far as they know."""
    wiring.limits.cache_clear()
    wiring.origins.cache_clear()


def create_table(dynamodb: Any) -> None:
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
    )


@pytest.fixture(scope="package")
def kms() -> Iterator[KeyService]:
    with KeyService() as running:
        yield running


@pytest.fixture(scope="package")
def shared_issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def issuer(shared_issuer: Issuer) -> Iterator[Issuer]:
    """The identity issuer, as it was before once the test is over."""
    before = shared_issuer.document
    yield shared_issuer
    shared_issuer.document, shared_issuer.status, shared_issuer.headers = before, 200, {}


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


@pytest.fixture
def environment(
    aws: None, kms: KeyService, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """What the template gives to functions/auth, on an empty table and queue."""
    create_table(SESSION.client("dynamodb"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
    given = {
        "TABLE_NAME": TABLE,
        "ISSUER": URL,
        "AUDIENCE": "agentsocket",
        "JWKS": key_set.document(["signing-key"], kms=SESSION.client("kms")),
        "SIGNING_KEY": "signing-key",
        "CONTROL_QUEUE_URL": SESSION.client("sqs").create_queue(QueueName="control")["QueueUrl"],
        "IDENTITY_ISSUER": issuer.url,
        "IDENTITY_CLIENT_ID": CLIENT_ID,
        "IDENTITY_JWKS_URL": f"{issuer.url}/jwks",
        "SCOPES": "chat",
        "PRIVILEGED_SCOPES": "admin audit",
        "GROUPS_CLAIM": "cognito:groups",
        "INTROSPECTION_CLIENT": GATEKEEPER[0],
        "INTROSPECTION_SECRET": GATEKEEPER[1],
        "ALLOWED_ORIGINS": f"{ORIGIN}, https://other.example.com",
        "AUTH_LIMITS": json.dumps({"write_backoff_ms": 1}),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    forget_wiring()
    yield given
    forget_wiring()
    kms.status = 200


@dataclass
class Running:
    """The service, and what it stands on."""

    call: Caller
    clock: Clock
    issuer: Issuer
    kms: KeyService
    queue: str

    def sign_in(self, subject: str = "ada", **claims: Any) -> Any:
        """The answer to the exchange of a new ID token, by which it is told apart from earlier ones."""
        nonce = f"{self.clock()}{id(claims)}{self.issuer.requests}{len(self.kms.calls)}"
        answer = self.call.exchange(self.issuer.id_token(subject, now=self.clock(), nonce=nonce, **claims))
        assert answer.status == 200, answer.body
        return answer.json

    def introspect(self, token: str) -> Any:
        return self.call.post("/oauth/introspect", basic=GATEKEEPER, token=token).json

    def active(self, token: str) -> bool:
        return bool(self.introspect(token)["active"])

    def logout(self, token: str, **form: str) -> Answer:
        return self.call.post("/oauth/logout", bearer=token, **form)

    def register(self, client_id: str, scopes: str) -> tuple[str, str]:
        """A client with a secret of its own."""
        write, secret = service_clients.registration(client_id, scopes, replace=True)
        wiring.table(TABLE).transact(write)
        return client_id, secret

    def service_token(self, scopes: str = "users:logout", client_id: str = "ops") -> str:
        basic = self.register(client_id, scopes)
        answer = self.call.post("/oauth/token", basic=basic, grant_type="client_credentials")
        return str(answer.json["access_token"])

    def notifications(self) -> list[Any]:
        """What the control queue was sent, taken from it."""
        received = SESSION.client("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        for message in received.get("Messages", []):
            SESSION.client("sqs").delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in received.get("Messages", [])]

    def rows(self) -> list[Any]:
        return list(SESSION.client("dynamodb").scan(TableName=TABLE)["Items"])


def caller(service: Service) -> Caller:
    """Calls an instance of the service."""
    return Caller(decorators.http(service.routes(), origins=wiring.origins(), limits=wiring.limits()))


@pytest.fixture
def auth(environment: dict[str, str], kms: KeyService, issuer: Issuer, clock: Clock) -> Running:
    return Running(caller(wiring.service(now=clock)), clock, issuer, kms, environment["CONTROL_QUEUE_URL"])


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with captured(decorators.logger) as written:
        yield written
