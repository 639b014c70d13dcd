"""The control queue (a standard SQS queue): what must be looked at later, at most 15 minutes from now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from agentsocket import wording
from agentsocket.errors import Unavailable
from agentsocket.inputs import Check

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class ControlQueue:
    """The queue through a boto3 client; `queue` is its URL."""

    def __init__(self, client: SQSClient, *, queue: str) -> None:
        self._client = client
        self._queue = queue

    def check(self, check: Check, *, delay_s: int) -> None:
        """Have a connection looked at in `delay_s` seconds (0 to 900). Raises Unavailable."""
        order = {"user": check.user, "connection_id": check.connection_id, "number": check.number}
        self._send({"check": order}, delay_s)

    def revoke(self, issuer: str, subject: str, *, not_before: int) -> None:
        """Have all tokens of a user refused that were issued up to `not_before`, and sockets closed.

        In the words of the auth service, which says so at a logout. Raises Unavailable.
        """
        self._send({"revoke": {"iss": issuer, "sub": subject, "not_before": not_before}}, 0)

    def _send(self, order: dict[str, Any], delay_s: int) -> None:
        try:
            self._client.send_message(QueueUrl=self._queue, MessageBody=json.dumps(order), DelaySeconds=delay_s)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(
                "the control queue is not available; retry", cause=f"SQS: {wording.fault(error)}"
            ) from error
