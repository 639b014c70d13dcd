"""Every file of `events/` through the handler it is for, in this process: real settings, real wiring, AWS by moto."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from agentsocket import edge, keys, wiring
from agentsocket.errors import SettingsError
from local import events
from local.invoke import ISSUER_URL
from local.issuer import Issuer
from tests.fakes import Connections
from tests.outcomes import ADA, OUTCOMES

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_800_000_000


@pytest.fixture
def connections() -> Iterator[Connections]:
    running = Connections()
    yield running
    running.stop()


@pytest.fixture
def issuer(tmp_path) -> Issuer:
    return Issuer(tmp_path, url=ISSUER_URL)


@pytest.fixture
def deployed(dynamodb, issuer, connections, monkeypatch):
    """The environment that the template gives to the functions, all of it; and fresh wiring."""
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="runs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    dead_letters = sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    environment = {
        "TABLE_NAME": "agentsocket",
        "QUEUE_URL": queue,
        "DEAD_LETTER_QUEUE_URL": dead_letters,
        "GENERATION": "1",
        "LIMITS": "{}",
        "ISSUER": ISSUER_URL,
        "AUDIENCE": "agentsocket",
        "JWKS": json.dumps(issuer.jwks()),
        "ALLOWED_ORIGINS": events.WEB_ORIGIN,
        "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": connections.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget_wiring()
    yield Functions(issuer, sqs, queue)
    forget_wiring()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as CloudWatch would get it."""
    [handler] = edge.logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def forget_wiring() -> None:
    """The seams are made once per process; each test is a process of its own, as far as they know."""
    for getter in vars(wiring).values():
        if hasattr(getter, "cache_clear"):
            getter.cache_clear()


class Functions:
    """The five handlers, and the events that reach them."""

    def __init__(self, issuer: Issuer, sqs: Any, queue: str) -> None:
        self._issuer = issuer
        self._sqs = sqs
        self._queue = queue

    def answer(self, name: str, **run: str) -> dict[str, Any]:
        """What the function does with the event of that name; a raised error in the form Lambda reports it."""
        event = events.fill(events.path(name).read_text(), issuer=self._issuer, now=time.time(), run=run)
        try:
            answer: dict[str, Any] = load(name.partition("-")[0]).handler(event, None)
        except edge.Unauthorized as error:
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
    if event.startswith(("message", "disconnect")):
        deployed.answer("connect")
    OUTCOMES[event](deployed.answer(event))


def test_the_worker_s_event_runs_an_agent_and_pushes_what_it_does(deployed, connections, dynamodb):
    deployed.answer("connect")
    deployed.answer("message-hello")
    deployed.answer("message-user-message")
    assert deployed.answer("worker-run", **deployed.received()) == {"batchItemFailures": []}
    pushed = [json.loads(frame)["type"] for _, frame in connections.seen if frame]
    assert (pushed[0], pushed[-1]) == ("user_message", "final_report")
    key = keys.run(ADA, keys.run_id(ADA, "question-1"))
    row = dynamodb.get_item(TableName="agentsocket", Key={name: {"S": text} for name, text in key.items()})
    assert row["Item"]["state"] == {"S": "completed"}


def test_a_disconnect_forgets_the_connection(deployed, dynamodb):
    deployed.answer("connect")
    assert dynamodb.scan(TableName="agentsocket")["Count"] == 1
    deployed.answer("disconnect")
    assert dynamodb.scan(TableName="agentsocket")["Count"] == 0


@pytest.mark.parametrize(
    ("function", "event"),
    [("connect", "message-ping"), ("disconnect", "message-ping"), ("message", "connect"), ("connect", "disconnect")],
)
def test_a_handler_refuses_an_event_that_is_not_its_own(deployed, function, event, issuer, dynamodb):
    """security.md, Routes: a frame whose type is `$disconnect` is routed there, with eventType MESSAGE."""
    filled = events.fill(events.path(event).read_text(), issuer=issuer, now=NOW)
    assert load(function).handler(filled, None) == {"statusCode": 400}
    assert dynamodb.scan(TableName="agentsocket")["Count"] == 0


def test_a_fault_of_ours_reaches_the_client_as_internal_and_the_log_without_its_text(deployed, dynamodb, log):
    dynamodb.delete_table(TableName="agentsocket")
    answer = deployed.answer("message-user-message")
    frame = json.loads(answer["body"])
    assert (frame["type"], frame["payload"]["code"], frame["reply_to"]) == ("error", "internal", "question-1")
    logged = log.getvalue()
    assert '"internal error"' in logged
    assert "ResourceNotFoundException" in logged or "ClientError" in logged
    assert "question-1" not in logged
    assert "large-model" not in logged


def test_a_connect_that_cannot_write_its_row_is_refused(deployed, dynamodb):
    dynamodb.delete_table(TableName="agentsocket")
    assert deployed.answer("connect")["statusCode"] == 500


def test_a_record_that_is_no_run_is_left_in_the_queue(deployed):
    answer = load("worker").handler({"Records": [{"messageId": "m", "body": "nonsense", "receiptHandle": "r"}]}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m"}]}


def test_nothing_logs_a_token_a_query_or_a_message(deployed, log, issuer):
    """security.md, Logs."""
    token = issuer.token("ada")
    event = events.fill(events.path("authorizer-valid").read_text(), issuer=issuer, now=time.time())
    event["headers"]["Authorization"] = f"Bearer {token}"
    event["queryStringParameters"] = {"secret": "hush"}
    load("authorizer").handler(event, None)
    deployed.answer("connect")
    deployed.answer("message-user-message")
    logged = log.getvalue()
    assert '"admitted"' in logged
    for secret in (token, token.split(".")[2], "hush", "large-model", ADA):
        assert secret not in logged


@pytest.mark.parametrize(
    ("function", "missing"), [("authorizer", "ISSUER"), ("connect", "TABLE_NAME"), ("message", "QUEUE_URL")]
)
def test_a_missing_setting_is_one_error_at_the_cold_start(deployed, monkeypatch, function, missing):
    """L4."""
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=missing):
        load(function)
