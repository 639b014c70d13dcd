"""All rows of a user, found and removed (delivery.md, Erasing a user). One thread's: `thread_deletion.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from boto3.dynamodb.conditions import Key
from msgspec.structs import replace

from agentsocket import principal
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.revocations import Revocations
from agentsocket.storage.table import Item, Table

_ANY = Key("SK").gt("!")  # every sort key begins with a letter


class UserErasure:
    """One user's rows, of all kinds."""

    def __init__(self, table: Table, user_id: str, *, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._limits = limits

    def is_known(self) -> bool:
        """Whether there is, or was, such a user: a row of any kind."""
        return bool(self._table.query(keys.user(self._user_id), _ANY, limit=1, expired=True).items)

    def revoke_tokens(self, *, not_before: int) -> None:
        """Every token issued up to `not_before` (seconds) is dead.

        For as long as any deployment may let one live: who erases need not know this one's limits.
        """
        longest = replace(self._limits, max_token_lifetime_s=Limits.AT_MOST["max_token_lifetime_s"])
        revocations = Revocations(self._table, principal.of_queued(self._user_id), limits=longest)
        revocations.revoke(session="", not_before=not_before)

    def threads(self) -> Mapping[str, bool]:
        """The user's threads, and which of them have been deleted."""
        rows = self._pages(keys.user(self._user_id), begins_with=keys.THREAD)
        return {row["SK"].removeprefix(keys.THREAD): "deleted_at" in row for page in rows for row in page}

    def is_swept(self, thread_id: str) -> bool:
        """Whether nothing of a thread is left but the head of its log, and that expires."""
        return not (self._has_text(thread_id) or self._has_lasting_head(thread_id))

    def _has_text(self, thread_id: str) -> bool:
        below_head = Key("SK").lt(keys.META)
        return bool(self._table.query(keys.log(self._user_id, thread_id), below_head, limit=1, expired=True).items)

    def _has_lasting_head(self, thread_id: str) -> bool:
        """So a worker leaves it that took the lease and wrote nothing."""
        head = self._table.get(keys.meta(keys.log(self._user_id, thread_id)))
        return head is not None and "expires_at" not in head

    def remove_rows(self, *, live: bool) -> int:
        """Remove what is no thread, and need not stay. Returns how many rows. `live` ones too: sockets and runs."""
        removed = 0
        for page in self._pages(keys.user(self._user_id)):
            rows = [row for row in page if not _is_retained(row) and (live or not row["SK"].startswith(keys.LIVE))]
            rows = [row for row in rows if not row["SK"].startswith(keys.THREAD)]
            self._table.remove([{"PK": row["PK"], "SK": row["SK"]} for row in rows])
            removed += len(rows)
        return removed

    def remaining(self) -> Counter[str]:
        """What is there still and should not be: kinds of rows, and how many."""
        rows = (row for page in self._pages(keys.user(self._user_id)) for row in page)
        found = Counter(_kind(row) for row in rows if not (_is_retained(row) or _may_reappear(row)))
        threads = self.threads()
        found["text of threads"] = sum(self._has_text(thread_id) for thread_id in threads)
        found["heads of threads"] = sum(self._has_lasting_head(thread_id) for thread_id in threads)
        return +found

    def retained(self) -> Counter[str]:
        """What stays until it expires, and holds ids and times only."""
        rows = (row for page in self._pages(keys.user(self._user_id)) for row in page)
        return Counter(_kind(row) for row in rows if _is_retained(row) or _may_reappear(row))

    def _pages(self, partition: str, *, begins_with: str = "") -> Iterator[list[Item]]:
        """Expired rows too: TTL deletes them days later."""
        rows = Key("SK").begins_with(begins_with) if begins_with else _ANY
        page = self._table.query(partition, rows, limit=self._limits.sweep_page, expired=True)
        yield page.items
        while page.next is not None:
            page = self._table.query(partition, rows, limit=self._limits.sweep_page, expired=True, start=page.next)
            yield page.items


def _is_retained(row: Item) -> bool:
    """Tombstones, and which tokens are dead: without them, what is late would be believed."""
    is_tombstone = row["SK"].startswith(keys.THREAD) and "deleted_at" in row
    return is_tombstone or row["SK"].startswith((keys.DELETED, keys.REVOKED))


def _may_reappear(row: Item) -> bool:
    """A refused command counts too, and may do so after every removal: numbers only, and they expire."""
    return row["SK"] == "QUOTA" and "expires_at" in row


def _kind(row: Item) -> str:
    """A row's kind as data-model.md names it."""
    words = row["SK"].split("#")
    return "#".join(words[:2]) if words[0] == "LIVE" else str(words[0])
