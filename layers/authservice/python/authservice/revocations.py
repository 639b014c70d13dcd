"""Ending families and logging users out, and notifying the control queue (delivery.md, Revoke).

The row is written first, then the message is sent, then the row is marked as notified. A crash or an outage between
leaves an unmarked row: the caller gets 503, and its next attempt finds the mark missing and sends again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from authservice import aws_calls
from authservice.errors import Unavailable
from authservice.refresh_families import Family, User
from authservice.storage import Storage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class ControlQueue:
    """The queue that the rest of the deployment reads: its only link to this service besides HTTP and tokens."""

    def __init__(self, client: SQSClient, *, queue: str, issuer: str) -> None:
        self._client = client
        self._queue = queue
        self._issuer = issuer

    def revoke(self, subject: str, *, not_before: int, sid: str = "") -> None:
        """Say that tokens with an `iat` up to `not_before` are dead: those of a session, or all. Raises Unavailable."""
        session = {"sid": sid} if sid else {}
        message = {"revoke": {"iss": self._issuer, "sub": subject, **session, "not_before": not_before}}
        try:
            aws_calls.call("SQS", self._client.send_message, QueueUrl=self._queue, MessageBody=json.dumps(message))
        except ClientError as error:
            # Whatever the queue has against it, the revocation is not finished, and another attempt may finish it.
            raise Unavailable("the revocation could not be sent to the sockets yet; send the request again") from error


class Revocations:
    """Both halves of a revocation, row and message; every method may be repeated, and raises Unavailable."""

    def __init__(self, storage: Storage, control_queue: ControlQueue) -> None:
        self._storage = storage
        self._control_queue = control_queue

    def revoke_family(self, family: Family) -> None:
        """Revoke a family: its refresh tokens and what was issued for them."""
        if family.revoked and family.notified:
            return
        not_before = self._storage.revoke(family)
        self._control_queue.revoke(family.subject, not_before=not_before, sid=family.sid)
        self._storage.mark_family_notified(family)

    def log_out(self, subject: str) -> None:
        """Revoke everything a user has."""
        self.notify_logout(subject, self._storage.retry_conflicts(lambda: self._storage.log_out(subject)))

    def notify_logout(self, subject: str, user: User) -> None:
        """Finish a logout of which the control queue was not notified yet."""
        if user.is_logout_notified:
            return
        self._control_queue.revoke(subject, not_before=user.not_before)
        self._storage.mark_user_notified(user)

    def complete(self, family: Family, user: User) -> None:
        """Finish what an earlier request left half done."""
        if family.revoked:
            self.revoke_family(family)
        self.notify_logout(family.subject, user)
