from __future__ import annotations

import json

import boto3
import pytest

from agentsocket.aws.run_queue import RunQueue
from agentsocket.errors import Unavailable
from agentsocket.inputs import Deletion, RunRecord, RunRequest
from tests.conftest import mocked_aws

REQUEST = RunRequest("u" * 32, "t", "r")


@pytest.fixture
def sqs():
    with mocked_aws():
        yield boto3.client("sqs")


@pytest.fixture
def queue(sqs):
    return sqs.create_queue(QueueName="runs.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]


@pytest.fixture
def dead_letters(sqs):
    return sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]


@pytest.fixture
def run_queue(sqs, queue, dead_letters):
    return RunQueue(sqs, queue=queue, dead_letters=dead_letters)


def receive(sqs, queue):
    answer = sqs.receive_message(
        QueueUrl=queue, MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"], WaitTimeSeconds=0
    )
    return answer.get("Messages", [])


def test_a_run_travels_by_reference_in_its_thread_s_group(run_queue, sqs, queue):
    run_queue.send(REQUEST)
    [message] = receive(sqs, queue)
    assert json.loads(message["Body"]) == {"user": "u" * 32, "thread_id": "t", "run_id": "r"}
    assert message["Attributes"]["MessageGroupId"] == f"{'u' * 32}.t"
    assert message["Attributes"]["MessageDeduplicationId"] == "r"


def test_a_run_sent_twice_is_queued_once(run_queue, sqs, queue):
    run_queue.send(REQUEST)
    run_queue.send(REQUEST)
    [message] = receive(sqs, queue)
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert receive(sqs, queue) == []


def test_a_hidden_record_is_handed_to_nobody(run_queue, sqs, queue):
    run_queue.send(REQUEST)
    [message] = receive(sqs, queue)
    record = RunRecord(REQUEST, message["ReceiptHandle"])
    run_queue.set_visibility(record, 60)
    assert receive(sqs, queue) == []
    run_queue.set_visibility(record, 0)
    assert len(receive(sqs, queue)) == 1


def test_a_buried_run_lies_in_the_dead_letters(run_queue, sqs, queue, dead_letters):
    """Marked, and under an id of its own: redriven within 5 minutes it must not be taken for the first record."""
    run_queue.dead_letter(REQUEST)
    assert receive(sqs, queue) == []
    [message] = receive(sqs, dead_letters)
    assert json.loads(message["Body"]) == {"user": "u" * 32, "thread_id": "t", "run_id": "r", "retry": True}
    assert message["Attributes"]["MessageGroupId"] == f"{'u' * 32}.t"
    assert message["Attributes"]["MessageDeduplicationId"] == "r.retry"


def test_a_deletion_waits_behind_its_thread_s_runs(run_queue, sqs, queue):
    run_queue.delete(Deletion("u" * 32, "t", "c1"))
    [message] = receive(sqs, queue)
    assert json.loads(message["Body"]) == {"user": "u" * 32, "thread_id": "t", "delete": "c1"}
    assert message["Attributes"]["MessageGroupId"] == f"{'u' * 32}.t"


def test_a_queue_that_does_not_answer_is_unavailable(sqs):
    lost = RunQueue(sqs, queue="https://sqs.eu-central-1.amazonaws.com/1/nowhere.fifo")
    with pytest.raises(Unavailable, match=r"the run queue is not available; retry \(SQS: .*NonExistentQueue\)"):
        lost.send(REQUEST)
    with pytest.raises(Unavailable):
        lost.set_visibility(RunRecord(REQUEST, "x"), 1)
