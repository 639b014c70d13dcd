"""The run queue (SQS FIFO): one group per user and thread, so that a thread's runs go one at a time and in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket import wording
from agentsocket.errors import Unavailable
from agentsocket.inputs import Deletion, RunRecord, RunRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class RunQueue:
    """The queue through a boto3 client; addresses are queue URLs."""

    def __init__(self, client: SQSClient, *, queue: str, dead_letters: str = "") -> None:
        self._client = client
        self._queue = queue
        self._dead_letters = dead_letters

    def send(self, request: RunRequest) -> None:
        """Queue a run; the same run again within 5 minutes is queued once (its id deduplicates). Raises Unavailable."""
        self._send(self._queue, request, {"run_id": request.run_id}, deduplication=request.run_id)

    def dead_letter(self, request: RunRequest) -> None:
        """Copy a run that failed for good to the dead-letter queue; redriven, it is a retry. Raises Unavailable."""
        body = {"run_id": request.run_id, "retry": True}
        self._send(self._dead_letters, request, body, deduplication=f"{request.run_id}.retry")

    def delete(self, deletion: Deletion) -> None:
        """Queue the sweep of a thread, behind the runs that wait in it. Raises Unavailable."""
        body = {"delete": deletion.command_id}
        self._send(self._queue, deletion, body, deduplication=f"{deletion.thread_id}.delete")

    def set_visibility(self, record: RunRecord, seconds: int) -> None:
        """Let the queue hand the record to nobody for `seconds` from now. Raises Unavailable."""
        try:
            self._client.change_message_visibility(
                QueueUrl=self._queue, ReceiptHandle=record.receipt_handle, VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the run queue is not available; retry", cause=f"SQS: {wording.fault(error)}") from error

    def _send(self, queue: str, of: RunRequest | Deletion, body: dict[str, Any], *, deduplication: str) -> None:
        try:
            self._client.send_message(
                QueueUrl=queue,
                MessageBody=json.dumps({"user": of.user, "thread_id": of.thread_id, **body}),
                MessageGroupId=f"{of.user}.{of.thread_id}",
                MessageDeduplicationId=deduplication,
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the run queue is not available; retry", cause=f"SQS: {wording.fault(error)}") from error
