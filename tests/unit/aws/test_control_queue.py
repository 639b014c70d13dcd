from __future__ import annotations

import json

import boto3
import pytest
from moto import mock_aws

from agentsocket.aws.control_queue import ControlQueue
from agentsocket.errors import Unavailable
from agentsocket.inputs import Check


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
