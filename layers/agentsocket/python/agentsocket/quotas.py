"""How much a user may ask for: one QUOTA row (security.md, Cost is an attack surface).

The bucket is kept as the moment at which it will be full again (the generic cell rate algorithm, as ATM Forum's traffic
management has it): one number, one conditional write per command, and nothing that has to be refilled.
"""

from __future__ import annotations

from boto3.dynamodb.conditions import Attr

from agentsocket import keys
from agentsocket.errors import ConditionFailed, RateLimited
from agentsocket.limits import Limits
from agentsocket.table import Table, update

_FULL_AT = "commands_full_at"  # milliseconds since the epoch


class Quotas:
    """One user's quotas."""

    def __init__(self, table: Table, user: str, *, limits: Limits) -> None:
        self._table = table
        self._key = keys.quota(user)
        self._limits = limits

    def spend(self, cost: int) -> None:
        """Take `cost` commands out of the bucket: one write, or two in a burst, or none for 0. Raises RateLimited."""
        if not cost:
            return
        now = int(self._table.now() * 1000)
        price = cost * 1000 // self._limits.commands_per_s
        room = self._limits.command_burst * 1000 // self._limits.commands_per_s - price
        full = Attr(_FULL_AT).not_exists() | Attr(_FULL_AT).lte(now)
        try:
            self._table.write(update(self._key, sets={_FULL_AT: now + price}, when=full))
        except ConditionFailed:
            self._spend_further(price, latest=now + room)

    def _spend_further(self, price: int, *, latest: int) -> None:
        """The bucket is not full: what is missing from it adds up, as far as it goes."""
        try:
            self._table.write(update(self._key, sets={}, adds={_FULL_AT: price}, when=Attr(_FULL_AT).lte(latest)))
        except ConditionFailed as refused:
            full_at = refused.row[_FULL_AT] if refused.row else latest
            raise RateLimited("too many commands: wait a little", retry_after_ms=max(1, full_at - latest)) from None
