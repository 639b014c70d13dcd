"""The control queue (a standard SQS queue): what must be looked at later, at most 15 minutes from now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket.errors import Unavailable
from agentsocket.inputs import Check

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Schedule:
    """The queue through a boto3 client; `queue` is its URL."""

    def __init__(self, client: SQSClient, *, queue: str) -> None:
        self._client = client
        self._queue = queue

    def check(self, check: Check, *, delay_s: int) -> None:
        """Have a connection looked at in `delay_s` seconds (0 to 900). Raises Unavailable."""
        order = {"user": check.user, "connection_id": check.connection_id, "number": check.number}
        try:
            self._client.send_message(
                QueueUrl=self._queue, MessageBody=json.dumps({"check": order}), DelaySeconds=delay_s
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable("the control queue does not answer") from error
