"""The run queue (SQS FIFO): one group per user and thread, so that a thread's runs go one at a time and in order."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket.errors import Unavailable
from agentsocket.inputs import RunRecord, RunRequest

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Dispatch:
    """The queue through a boto3 client; addresses are queue URLs."""

    def __init__(self, client: SQSClient, *, queue: str, dead_letters: str = "") -> None:
        self._client = client
        self._queue = queue
        self._dead_letters = dead_letters

    def send(self, request: RunRequest) -> None:
        """Queue a run; the same run again within 5 minutes is queued once (its id deduplicates). Raises Unavailable."""
        self._send(self._queue, request)

    def bury(self, request: RunRequest) -> None:
        """Copy a run that failed for good to the dead-letter queue. Raises Unavailable."""
        self._send(self._dead_letters, request)

    def hide(self, record: RunRecord, seconds: int) -> None:
        """Let the queue hand the record to nobody for `seconds` from now. Raises Unavailable."""
        try:
            self._client.change_message_visibility(
                QueueUrl=self._queue, ReceiptHandle=record.receipt_handle, VisibilityTimeout=seconds
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the run queue does not answer") from error

    def _send(self, queue: str, request: RunRequest) -> None:
        body = {"user": request.user, "thread_id": request.thread_id, "run_id": request.run_id}
        try:
            self._client.send_message(
                QueueUrl=queue,
                MessageBody=json.dumps(body),
                MessageGroupId=f"{request.user}.{request.thread_id}",
                MessageDeduplicationId=request.run_id,
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the run queue does not answer") from error
