"""The control queue in moto: what is sent is what the control function reads, and not before it is due."""

from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from agentsocket.aws.control_queue import ControlQueue
from agentsocket.errors import Unavailable
from agentsocket.handlers import decorators
from agentsocket.inputs import Check, Revocation


@pytest.fixture
def sqs():
    with mock_aws():
        yield boto3.client("sqs")


@pytest.fixture
def queue(sqs):
    return sqs.create_queue(QueueName="control")["QueueUrl"]


def sent(sqs, queue):
    """The one order in the queue."""
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)["Messages"]
    return json.loads(message["Body"])


def test_a_check_names_user_and_connection(sqs, queue):
    ControlQueue(sqs, queue=queue).check(Check("u" * 32, "c1", 3), delay_s=0)
    assert sent(sqs, queue) == {"check": {"user": "u" * 32, "connection_id": "c1", "number": 3}}


def test_a_check_comes_when_it_is_due(sqs, queue):
    ControlQueue(sqs, queue=queue).check(Check("u" * 32, "c1", 3), delay_s=900)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)


def test_a_revocation_is_in_the_auth_service_s_words(sqs, queue):
    ControlQueue(sqs, queue=queue).revoke("https://issuer.example", "ada", not_before=7)
    assert sent(sqs, queue) == {"revoke": {"iss": "https://issuer.example", "sub": "ada", "not_before": 7}}


def test_a_queue_that_is_not_there_is_unavailable_and_the_log_gets_why(sqs, queue):
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(Unavailable) as refused:
        ControlQueue(sqs, queue=queue).check(Check("u" * 32, "c1", 3), delay_s=0)
    assert refused.value.message == "the control queue is not available; retry"
    assert refused.value.cause.startswith("SQS: ")
    assert "NonExistentQueue" in str(refused.value)


@pytest.mark.parametrize(("delay_s", "found"), [(0, [1, 0]), (1, [0, 1]), (900, [0, 1])])
def test_a_check_is_delayed_by_so_many_seconds(sqs, queue, delay_s, found):
    ControlQueue(sqs, queue=queue).check(Check("u" * 32, "c1", 3), delay_s=delay_s)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]
    counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    assert [int(counts[name]) for name in names] == found


def test_the_control_function_reads_what_was_sent(sqs, queue):
    """A revocation is of all sessions, and at once."""
    control_queue = ControlQueue(sqs, queue=queue)
    orders: list[Check | Revocation] = [Check("u" * 32, "c1", 3), Revocation("https://issuer.example", "ada", "", 7)]
    control_queue.check(Check("u" * 32, "c1", 3), delay_s=0)
    control_queue.revoke("https://issuer.example", "ada", not_before=7)
    read: list[Check | Revocation] = []
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=0)["Messages"]
    records = [{"messageId": "m", "receiptHandle": "r", "body": message["Body"]} for message in messages]
    assert decorators.control(read.append)({"Records": records}, None) == {"batchItemFailures": []}
    assert sorted(read, key=str) == sorted(orders, key=str)


def test_a_revocation_that_cannot_be_sent_is_unavailable(sqs, queue):
    sqs.delete_queue(QueueUrl=queue)
    with pytest.raises(Unavailable):
        ControlQueue(sqs, queue=queue).revoke("https://issuer.example", "ada", not_before=7)


def test_a_queue_that_cannot_be_reached_is_unavailable(monkeypatch):
    """No network: botocore's own error, not an answer of AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    lost = ControlQueue(boto3.client("sqs"), queue="http://127.0.0.1:1/control")
    with pytest.raises(Unavailable):
        lost.check(Check("u" * 32, "c1", 3), delay_s=0)
