"""Contexts in DynamoDB: a row each, changed by compare-and-set (delivery.md, Contexts).

An SDK retry of a write whose answer was lost meets its own row, which says by whom it was written.
"""

from __future__ import annotations

import math
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from agentsocket.contexts import contract
from agentsocket.contexts.contract import Context, State, StoredContext
from agentsocket.errors import ConditionFailed, TransactionCancelled, Unavailable
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.table import ABSENT, PRESENT, Item, Operation, Table, Tables, delete, put, update

_TRIES = 10  # of a creation that always finds another one in its way
_FULL_FOR_S = 60  # how long a full scope is believed to be full before its rows are counted again
_AT_ONCE = 99  # DynamoDB allows 100 writes in a transaction, and one is the count's


class TableContexts:
    """Contexts in DynamoDB."""

    def __init__(self, tables: Tables, *, limits: Limits) -> None:
        self._tables = tables
        self._limits = limits

    def for_user(self, principal: Principal) -> UserTableContexts:
        """Open one user's rows. No method past this point takes a user or a key."""
        return UserTableContexts(self._tables.for_user(principal.user), principal.user, limits=self._limits)

    def state(self) -> State:
        """One read of nothing."""
        self._tables.for_user(keys.NOBODY).look(keys.NOTHING)
        return "ok"


class UserTableContexts:
    """One user's contexts in DynamoDB."""

    def __init__(self, table: Table, user_id: str, *, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._limits = limits
        self.own = ContextRows(table, keys.user(user_id), None, limits=limits)

    def of_thread(self, thread_id: str) -> ContextRows:
        thread = keys.thread(self._user_id, thread_id)
        return ContextRows(self._table, keys.log(self._user_id, thread_id), thread, limits=self._limits)

    def delete_thread(self, thread_id: str) -> None:
        self.of_thread(thread_id).remove_all()

    def erase(self) -> None:
        self.own.remove_all()
        for thread_id in self.threads():
            self.delete_thread(thread_id)

    def threads(self) -> list[str]:
        """The user's threads, those that are being deleted too."""
        rows = self._table.query_all(keys.user(self._user_id), Key("SK").begins_with(keys.THREAD))
        return [row["SK"].removeprefix(keys.THREAD) for row in rows]


class ContextRows:
    """The contexts of one partition: a user's, or a thread's. `thread` is the key of that thread's row.

    A change is one conditional write. A creation is a transaction: it counts itself in the row CONTEXTS, and for a
    thread it makes sure that this has not been deleted, since nothing would ever remove what is created after the
    sweep. A change needs no such check: the row it must find is gone with the sweep.
    """

    def __init__(self, table: Table, partition: str, thread: keys.Key | None, *, limits: Limits) -> None:
        self._table = table
        self._partition = partition
        self._thread = thread
        self._limits = limits

    def load(self, name: str, *, fresh: bool = False) -> Context:  # noqa: ARG002 (nothing else is ever read)
        """One read."""
        found = self.find(name)
        return found.context(name) if found else Context(name, {}, 0)

    def save(self, name: str, value: dict[str, Any], *, version: int, lifetime_s: int | None = None) -> Context:
        """One write; for a creation one transaction."""
        text = contract.encoded(name, value, lifetime_s, limits=self._limits)
        return Context(name, value, self.store(name, text, version=version, lifetime_s=lifetime_s).version)

    def find(self, name: str) -> StoredContext | None:
        """The context as it is stored."""
        contract.require_name(name)
        row = self._table.get(keys.context(self._partition, name))
        return _stored(row) if row else None

    def store(self, name: str, text: str, *, version: int, lifetime_s: int | None) -> StoredContext:
        """Save a context that was `encoded`."""
        now = self._table.now()
        row: Item = {
            **keys.context(self._partition, name),
            "value": text,
            "version": contract.next_version(version, now),
            "write_id": contract.new_write_id(),
            # Rounded up, so that it does not end early.
            **({} if lifetime_s is None else {"expires_at": math.ceil(now) + lifetime_s}),
        }
        if version:
            self._change(row, version)
        else:
            self._create(row)
        return _stored(row)

    def _change(self, row: Item, version: int) -> None:
        unexpired = Attr("expires_at").not_exists() | Attr("expires_at").gt(self._now_s())
        try:
            self._table.write(put(row, when=Attr("version").eq(version) & unexpired))
        except ConditionFailed as refused:
            if not _is_own_write(refused.row, row):
                if refused.row is None and self._thread:
                    self._require_thread(self._table.get(self._thread))
                raise contract.version_conflict() from None

    def _create(self, row: Item) -> None:
        operations = [
            put(row, when=ABSENT | (self._expired() & Attr("version").lt(row["version"]))),
            self._counted(),
            *([] if self._thread is None else [_check(self._thread, PRESENT & Attr("deleted_at").not_exists())]),
        ]
        for _ in range(_TRIES):
            try:
                self._table.transact(*operations)
            except TransactionCancelled:
                if self._was_written(row):
                    return
            else:
                return
        raise Unavailable("concurrent requests created other contexts; retry")

    def _was_written(self, row: Item) -> bool:
        """After a refusal: whether the row is there after all. False: it may be tried again; else raises why not."""
        wanted = _key(row), self._count, *([] if self._thread is None else [self._thread])
        there, count, *thread = self._table.get_many(*wanted)
        for found in thread:
            self._require_thread(found)
        if there is not None:
            if _is_own_write(there, row):
                return True
            raise contract.version_conflict()
        if count is not None and count["count"] >= self._limits.max_remembered:
            self._recount(count)
        return False

    # How many there are.

    @property
    def _count(self) -> keys.Key:
        return keys.context_count(self._partition)

    def _counted(self) -> Operation:
        room = ABSENT | Attr("count").lt(self._limits.max_remembered)
        return update(self._count, sets={}, defaults={"revision": 0}, adds={"count": 1}, when=room)

    def _recount(self, count: Item) -> None:
        """The count knows nothing of expiry: count what is left, remove the rest. Raises BadRequest without room.

        A full scope is counted once a minute, or when the next one has expired. An expired row must not be changed
        by a slower clock meanwhile, so it goes in the transaction that lowers the count.
        """
        now = self._now_s()
        if count.get("full_until", 0) > now:
            raise contract.limit_reached(self._limits)
        rows = self._rows(Key("SK").begins_with(keys.CONTEXT))
        expired = [row for row in rows if row.get("expires_at", math.inf) <= now][:_AT_ONCE]
        left = len(rows) - len(expired)
        is_full = left >= self._limits.max_remembered
        sets = {"count": left, "revision": count["revision"] + 1}
        if is_full:
            sets["full_until"] = min([now + _FULL_FOR_S, *(row["expires_at"] for row in rows if "expires_at" in row)])
        same = Attr("revision").eq(count["revision"]) & Attr("count").eq(count["count"])
        gone = [delete(_key(row), when=ABSENT | self._expired()) for row in expired]
        try:
            self._table.transact(update(self._count, sets=sets, when=same), *gone)
        except TransactionCancelled:
            return
        if is_full:
            raise contract.limit_reached(self._limits)

    # Removing them.

    def remove_all(self) -> list[str]:
        """Remove them all; their names."""
        rows = self._rows(Key("SK").begins_with(keys.ALL_CONTEXTS))
        self._table.remove([_key(row) for row in rows])
        return [row["SK"].removeprefix(keys.CONTEXT) for row in rows if row["SK"].startswith(keys.CONTEXT)]

    def _rows(self, sort: ConditionBase) -> list[Item]:
        """Expired ones too."""
        page = self._table.query(self._partition, sort, expired=True)
        rows = page.items
        while page.next is not None:
            page = self._table.query(self._partition, sort, expired=True, start=page.next)
            rows += page.items
        return rows

    def _require_thread(self, found: Item | None) -> None:
        if found is None or "deleted_at" in found:
            raise contract.thread_not_found()

    def _expired(self) -> ConditionBase:
        return Attr("expires_at").lte(self._now_s())

    def _now_s(self) -> int:
        return int(self._table.now())


def _stored(row: Item) -> StoredContext:
    return StoredContext(row["value"], row["version"], row.get("expires_at", 0))


def _is_own_write(found: Item | None, row: Item) -> bool:
    """Whether a row in the way was left by this very write, whose answer was lost."""
    return found is not None and found["write_id"] == row["write_id"]


def _check(key: keys.Key, when: ConditionBase) -> Operation:
    checked = delete(key, when=when)
    return Operation("ConditionCheck", checked.parameters)


def _key(row: Item) -> keys.Key:
    return {"PK": row["PK"], "SK": row["SK"]}
