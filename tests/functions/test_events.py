"""Every file of `events/` through the handler it is for, in this process: real settings, real wiring, AWS by moto."""

from __future__ import annotations

import base64
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

import authservice.errors
import authservice.wiring
from agentsocket import ids, wiring
from agentsocket.errors import SettingsError
from agentsocket.handlers import decorators
from agentsocket.storage import keys
from local import events
from local.emulators.issuer import CLIENT_ID, Issuer
from local.invoke import IDENTITY_URL, ISSUER_URL, PRECEDING
from local.tokens import AccessTokens
from tests.authservice.fakes import Server
from tests.support import schema_check
from tests.support.fakes import Connections
from tests.support.outcomes import ADA, OUTCOMES

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_800_000_000
AUTH_TABLE = "auth"
INTROSPECTION = base64.b64encode(b"agentsocket:a-generated-secret").decode()


@pytest.fixture
def connections() -> Iterator[Connections]:
    running = Connections()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def identity(tmp_path_factory) -> Issuer:
    """One for all tests: to make and to read its keys takes long."""
    return Issuer(tmp_path_factory.mktemp("identity"), url=IDENTITY_URL)


@pytest.fixture
def signers(dynamodb, identity) -> events.Signers:
    kms = boto3.client("kms")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    return events.Signers(AccessTokens(kms, key, issuer=ISSUER_URL), identity)


@pytest.fixture
def deployed(dynamodb, signers, connections, monkeypatch):
    """The environment that the template gives to the functions, all of it; and fresh wiring."""
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="runs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    environment = {
        "TABLE_NAME": "agentsocket",
        "QUEUE_URL": queue,
        "DEAD_LETTER_QUEUE_URL": dead_letters,
        "CONTROL_QUEUE_URL": sqs.create_queue(QueueName="control")["QueueUrl"],
        "GENERATION": "1",
        "LIMITS": "{}",
        "ISSUER": ISSUER_URL,
        "AUDIENCE": "agentsocket",
        "JWKS": json.dumps(signers.access.jwks),
        "ALLOWED_ORIGINS": events.WEB_ORIGIN,
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": connections.url,
    }
    for name, value in (environment | auth_environment(dynamodb, signers)).items():
        monkeypatch.setenv(name, value)
    forget_wiring()
    with CloudFormation() as waiting:
        known = {"introspection": INTROSPECTION, "signing-key": signers.access.key_id, "response-url": waiting.url}
        yield Functions(signers, sqs, queue, known, waiting)
    forget_wiring()


def auth_environment(dynamodb: Any, signers: events.Signers) -> dict[str, str]:
    """What the functions of the auth service have besides, on a table and a bucket of their own."""
    dynamodb.create_table(
        TableName=AUTH_TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
    )
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="keys")
    return {
        "BUCKET": "keys",
        "SIGNING_KEY": signers.access.key_id,
        "IDENTITY_ISSUER": IDENTITY_URL,
        "IDENTITY_CLIENT_ID": CLIENT_ID,
        "IDENTITY_JWKS_URL": f"{IDENTITY_URL}/.well-known/jwks.json",
        "SCOPES": "chat",
        "PRIVILEGED_SCOPES": "admin",
        "GROUPS_CLAIM": "groups",
        "INTROSPECTION_CLIENT": "agentsocket",
        "INTROSPECTION_SECRET": "a-generated-secret",
        "AUTH_LIMITS": "{}",
    }


class CloudFormation(Server):
    """Hears what a custom resource's function has to say."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[dict[str, Any]] = []

    def answer(self, _method: str, _headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.heard.append(json.loads(body))
        return 200, {}, b""


def forget_wiring() -> None:
    """The seams are made once per process; each test is a process of its own, as far as they know.

    Only boto3's session stays: it keeps nothing but the services' descriptions, and reads them for 0.1 s.
    """
    for name, getter in (*vars(wiring).items(), *vars(authservice.wiring).items()):
        if hasattr(getter, "cache_clear") and name != "_session":
            getter.cache_clear()


class Functions:
    """The handlers, and the events that reach them."""

    def __init__(
        self, signers: events.Signers, sqs: Any, queue: str, known: dict[str, str], cloudformation: CloudFormation
    ) -> None:
        self.cloudformation = cloudformation
        self._known = known
        self._signers = signers
        self._sqs = sqs
        self._queue = queue

    def precede(self, name: str) -> None:
        """Make happen what precedes the event of that name."""
        for event in PRECEDING[name.partition("-")[0]]:
            self.answer(event)

    def answer(self, name: str, **known: str) -> dict[str, Any]:
        """What the function does with the event of that name; a raised error in the form Lambda reports it."""
        text, function = events.path(name).read_text(), name.partition("-")[0]
        event = events.fill(text, signers=self._signers, now=time.time(), known=self._known | known)
        with pytest.MonkeyPatch.context() as environment:
            if function == "auth":
                environment.setenv("TABLE_NAME", AUTH_TABLE)
            try:
                answer: dict[str, Any] = load(function).handler(event, None)
            except decorators.Unauthorized as error:
                return {"errorMessage": str(error)}
        return answer

    def received(self) -> dict[str, str]:
        """The waiting run, received from the queue."""
        [message] = self._sqs.receive_message(QueueUrl=self._queue)["Messages"]
        body = json.loads(message["Body"])
        return {"thread": body["thread_id"], "run": body["run_id"], "receipt": message["ReceiptHandle"]}


def load(function: str) -> Any:
    """A function's module, new: importing it is the function's cold start."""
    path = ROOT / "functions" / function / "app.py"
    spec = importlib.util.spec_from_file_location(f"{function}_{uuid4().hex}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_event_file_has_an_expected_outcome():
    assert sorted(path.stem for path in events.FOLDER.glob("*.json")) == sorted([*OUTCOMES, "worker-run"])


@pytest.mark.parametrize("event", OUTCOMES)
def test_an_event_has_its_outcome(deployed, event):
    deployed.precede(event)
    OUTCOMES[event](deployed.answer(event))


def test_the_worker_s_event_runs_an_agent_and_pushes_what_it_does(deployed, connections, dynamodb):
    deployed.precede("worker-run")
    assert deployed.answer("worker-run", **deployed.received()) == {"batchItemFailures": []}
    pushed = [schema_check.read(frame)["type"] for _, frame in connections.seen if frame]
    assert (pushed[0], pushed[-1]) == ("user_message", "final_report")
    key = keys.run(ADA, ids.run_id(ADA, "question-1"))
    row = dynamodb.get_item(TableName="agentsocket", Key={name: {"S": text} for name, text in key.items()})
    assert row["Item"]["state"] == {"S": "completed"}


def test_the_keys_are_published_reported_and_removed(deployed, signers):
    """The set is what the access tokens' own key says, and CloudFormation hears of each outcome."""
    s3 = boto3.client("s3", region_name="us-east-1")
    deployed.answer("jwks-create")
    published = json.loads(s3.get_object(Bucket="keys", Key="jwks.json")["Body"].read())
    assert published == signers.access.jwks
    deployed.answer("jwks-no-keys")
    deployed.answer("jwks-delete")
    assert s3.list_objects_v2(Bucket="keys")["KeyCount"] == 0
    heard = deployed.cloudformation.heard
    assert [said["Status"] for said in heard] == ["SUCCESS", "FAILED", "SUCCESS"]
    assert json.loads(heard[0]["Data"]["Document"]) == published


def test_a_disconnect_forgets_the_connection(deployed, dynamodb):
    """Its row, that is: what the user may ask for is not made more by coming and going."""
    quota = keys.quota(ADA)["SK"]
    deployed.answer("connect")
    connection, kept = sorted(row["SK"]["S"] for row in dynamodb.scan(TableName="agentsocket")["Items"])
    assert (connection.startswith(keys.CONNECTION), kept) == (True, quota)
    deployed.answer("disconnect")
    assert [row["SK"]["S"] for row in dynamodb.scan(TableName="agentsocket")["Items"]] == [quota]


@pytest.mark.parametrize(
    ("function", "event"),
    [("connect", "message-ping"), ("disconnect", "message-ping"), ("message", "connect"), ("connect", "disconnect")],
)
def test_a_handler_refuses_an_event_that_is_not_its_own(deployed, function, event, signers, dynamodb):
    """security.md, Routes: a frame whose type is `$disconnect` is routed there, with eventType MESSAGE."""
    filled = events.fill(events.path(event).read_text(), signers=signers, now=NOW)
    assert load(function).handler(filled, None) == {"statusCode": 400}
    assert dynamodb.scan(TableName="agentsocket")["Count"] == 0


def test_a_fault_of_ours_reaches_the_client_as_internal_and_the_log_without_its_text(deployed, dynamodb, log):
    dynamodb.delete_table(TableName="agentsocket")
    answer = deployed.answer("message-user-message")
    frame = schema_check.read(answer["body"])
    assert (frame["type"], frame["payload"]["code"], frame["reply_to"]) == ("error", "internal", "question-1")
    logged = log.getvalue()
    assert '"internal_error"' in logged
    assert "ResourceNotFoundException" in logged or "ClientError" in logged
    assert "question-1" not in logged
    assert "large-model" not in logged


def test_a_connect_that_cannot_write_its_row_is_refused(deployed, dynamodb):
    dynamodb.delete_table(TableName="agentsocket")
    assert deployed.answer("connect")["statusCode"] == 500


def test_a_record_that_is_no_run_is_left_in_the_queue(deployed):
    answer = load("worker").handler({"Records": [{"messageId": "m", "body": "nonsense", "receiptHandle": "r"}]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}


def test_nothing_logs_a_token_a_query_or_a_message(deployed, log, signers):
    """security.md, Logs."""
    token = signers.access.token("ada")
    event = events.fill(events.path("authorizer-valid").read_text(), signers=signers, now=time.time())
    event["headers"]["Authorization"] = f"Bearer {token}"
    event["queryStringParameters"] = {"secret": "hush"}
    load("authorizer").handler(event, None)
    deployed.answer("connect")
    deployed.answer("message-user-message")
    logged = log.getvalue()
    assert '"upgrade_admitted"' in logged
    for secret in (token, token.split(".")[2], "hush", "large-model", ADA):
        assert secret not in logged


@pytest.mark.parametrize(
    ("function", "missing"),
    [
        ("authorizer", "ISSUER"),
        ("connect", "CONTROL_QUEUE_URL"),
        ("message", "QUEUE_URL"),
        ("control", "TABLE_NAME"),
        ("http", "AUDIENCE"),
        ("auth", "SIGNING_KEY"),
    ],
)
def test_a_missing_setting_is_one_error_at_the_cold_start(deployed, monkeypatch, function, missing):
    """L4."""
    monkeypatch.delenv(missing)
    with pytest.raises((SettingsError, authservice.errors.SettingsError), match=missing):
        load(function)
