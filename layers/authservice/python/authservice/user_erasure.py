"""Erasing a user: removing all that is kept of them. For the operator: it reads the whole table, which knows no users.

Logged out first, so that nothing is issued any more; then the refresh tokens, then the sign-ins by which they are
found, and last the row that knows of the logout. So whoever dies on the way begins again and finds the rest.
"""

from __future__ import annotations

from collections import Counter

from boto3.dynamodb.conditions import Attr

from authservice.storage import Storage, user_key
from authservice.table import Table

_AT_ONCE = 100  # DynamoDB compares with as many values at once


class UserErasure:
    """`issuer` is that of the access tokens."""

    def __init__(self, table: Table, storage: Storage, *, issuer: str) -> None:
        self._table = table
        self._storage = storage
        self._issuer = issuer

    def erase(self, subject: str) -> Counter[str]:
        """Remove everything; may be repeated. Returns how many rows of which kind there were. Raises Unavailable."""
        self._storage.retry_conflicts(lambda: self._storage.log_out(subject))
        families = self._families(subject)
        tokens = self._tokens(families)
        for rows in (tokens, list(families.values()), [user_key(self._issuer, subject)]):
            self._table.remove([{"PK": key} for key in rows])
        return Counter({"refresh tokens": len(tokens), "sign-ins": len(families)})

    def is_left(self, subject: str) -> bool:
        """Whether anything of the user is there."""
        [user] = self._table.get(user_key(self._issuer, subject))
        return user is not None or bool(self._families(subject))

    def _families(self, subject: str) -> dict[str, str]:
        """Their keys, by sid."""
        return {row["sid"]: row["PK"] for row in self._table.scan(Attr("sub").eq(subject))}

    def _tokens(self, families: dict[str, str]) -> list[str]:
        """Their keys."""
        sids = list(families)
        found = []
        for start in range(0, len(sids), _AT_ONCE):
            of_these = Attr("sid").is_in(sids[start : start + _AT_ONCE]) & Attr("sub").not_exists()
            found += [row["PK"] for row in self._table.scan(of_these)]
        return found
