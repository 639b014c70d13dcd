"""The table as each user's own role reaches it (security.md, IAM mode).

What `user.py` keeps in code, AWS then enforces: a user's rows are read and written with credentials that open that
user's partitions and no others, whatever key is asked for. Credentials are kept for their own user, until they would
not outlive what is begun with them. How a role's policy says so is the template's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from agentsocket import wording
from agentsocket.errors import Unavailable
from agentsocket.limits import Limits
from agentsocket.storage.table import Clock, Table

_PASSING = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})


class _Tenant(Struct, frozen=True):
    """One user's table, and until when its credentials are good, in seconds."""

    table: Table
    expires_at: float


class Tenants:
    """The tables of all users, through an STS client that may assume `role`.

    `open_table` opens the table with credentials, given as the keyword arguments of a boto3 client.
    """

    def __init__(self, sts: Any, role: str, open_table: Callable[..., Table], *, limits: Limits, now: Clock) -> None:
        self._sts = sts
        self._role = role
        self._open_table = open_table
        self._limits = limits
        self._now = now
        # One for all: who waits for another user's credentials is rare (a function serves one event at a time), and
        # a boto3 session makes one client at a time.
        self._lock = threading.Lock()
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()

    def for_user(self, user: str) -> Table:
        """The table as that user's rows may be reached: one call of STS now and then.

        Raises Unavailable when STS does not answer; a refusal is an error of the deployment, and stays what it is.
        """
        with self._lock:
            tenant = self._tenants.get(user)
            if tenant is None or tenant.expires_at - self._now() < self._limits.tenant_renew_s:
                tenant = self._tenants[user] = self._assumed(user)
            self._tenants.move_to_end(user)
            if len(self._tenants) > self._limits.tenants_cached:
                self._tenants.popitem(last=False)
            return tenant.table

    def _assumed(self, user: str) -> _Tenant:
        given = self._call(user)["Credentials"]
        table = self._open_table(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )
        return _Tenant(table, given["Expiration"].timestamp())

    def _call(self, user: str) -> Any:
        try:
            return self._sts.assume_role(
                RoleArn=self._role,
                RoleSessionName=user,  # what CloudTrail shows beside each access
                Tags=[{"Key": "u", "Value": user}],
                DurationSeconds=self._limits.tenant_credentials_s,
            )
        except ClientError as error:
            answer = error.response
            if answer["Error"]["Code"] in _PASSING or answer["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise Unavailable("the database is busy; retry", cause=f"STS: {wording.fault(error)}") from error
            raise
        except BotoCoreError as error:
            raise Unavailable("the database did not answer; retry", cause=f"STS: {wording.fault(error)}") from error
