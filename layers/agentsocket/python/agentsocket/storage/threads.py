"""A user's threads: their rows, the list of them, and what was said in one (data-model.md, Rows)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.conditions import Attr

from agentsocket import encoded_text, ids
from agentsocket.errors import COMMAND_ID, BadRequest, ConditionFailed, IdempotencyConflict, NotFound
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.rows import Thread, ThreadSummary
from agentsocket.storage.table import ABSENT, PRESENT, Item, Operation, Table, put, update

_ACTIVITY_DIGITS = 16
_THERE = PRESENT & Attr("deleted_at").not_exists()


class Threads:
    """One user's threads. `generation` is the deployment's part of every epoch."""

    def __init__(self, table: Table, user_id: str, *, limits: Limits, generation: str) -> None:
        self._table = table
        self._user_id = user_id
        self._limits = limits
        self._generation = generation

    def get(self, thread_id: str) -> Thread:
        """Raises NotFound when there is none, it was deleted, or it is another user's."""
        return self.of(self._table.get(keys.thread(self._user_id, thread_id)))

    def of(self, row: Item | None) -> Thread:
        """The thread of a row that was read with others. Raises NotFound as `get` does."""
        if row is None or "deleted_at" in row:
            raise _no_thread()
        return Thread(row["thread_id"], f"{self._generation}.{row['epoch']}")

    def page(self, *, limit: int, before: str = "") -> tuple[list[ThreadSummary], str]:
        """The user's threads, newest activity first, and where the next page begins; empty at the end.

        `before` is the `cursor` of a thread, or such an answer of an earlier call. Raises BadRequest when it is none.
        Read from an index, which lags behind by less than a second.
        """
        start = self._page_start(before) if before else None
        page = self._table.query_index(keys.BY_ACTIVITY, keys.user(self._user_id), limit=limit, start=start)
        found = [ThreadSummary.of(item) for item in page.items if "deleted_at" not in item]
        return found, f"{page.next['activity']}.{page.next['SK'].removeprefix(keys.THREAD)}" if page.next else ""

    def create(self, command_id: str, *, title: str, metadata: Mapping[str, Any]) -> tuple[ThreadSummary, bool]:
        """A new thread, and whether it is: the same command again finds the one it made.

        Raises NotFound when that was deleted, IdempotencyConflict when the command was another one.
        """
        digest = encoded_text.sha256(json.dumps([title, metadata], sort_keys=True))
        row = {**self.row(ids.thread_id(self._user_id, command_id), title=title, metadata=metadata), "asked": digest}
        try:
            self._table.write(put(row, when=ABSENT))
        except ConditionFailed as there:
            existing = there.row or row
            if "deleted_at" in existing:
                raise NotFound("the thread that this id created has been deleted; use a new id") from None
            if existing["asked"] != digest:
                raise IdempotencyConflict(
                    "this id was used to create a thread with another title or metadata; use a new id", field=COMMAND_ID
                ) from None
            return ThreadSummary.of(existing), existing["epoch"] == row["epoch"]
        return ThreadSummary.of(row), True

    def row(self, thread_id: str, *, title: str, metadata: Mapping[str, Any]) -> Item:
        """What a new thread is written as."""
        now_ms = self._now_ms()
        return {
            **keys.thread(self._user_id, thread_id),
            "thread_id": thread_id,
            "epoch": self._new_id(),
            "title": title,
            "metadata": json.dumps(metadata),  # DynamoDB has not every number that JSON has
            "created_at": now_ms,
            "activity": now_ms,
        }

    def rename(self, thread_id: str, title: str) -> None:
        """Raises NotFound."""
        self._update(thread_id, {"title": title})

    def renew_epoch(self, thread_id: str) -> Thread:
        """Begin a new epoch: the numbering before it is not to be trusted. Raises NotFound."""
        return self.of(self._update(thread_id, {"epoch": self._new_id()}))

    def touched(self, thread_id: str) -> Operation:
        """For a transaction that writes to the thread: it is active now, and not deleted."""
        return update(keys.thread(self._user_id, thread_id), sets={"activity": self._now_ms()}, when=_THERE)

    def _update(self, thread_id: str, sets: Item) -> Item:
        operation = update(keys.thread(self._user_id, thread_id), sets=sets, when=_THERE)
        try:
            return self._table.write(operation, returning="ALL_NEW")
        except ConditionFailed:
            raise _no_thread() from None

    def _page_start(self, before: str) -> Item:
        """A cursor as a key of this user, whatever is in it."""
        activity, _, thread_id = before.partition(".")
        if not (activity.isascii() and activity.isdigit() and len(activity) <= _ACTIVITY_DIGITS):
            raise _invalid_cursor()
        try:
            return {**keys.thread(self._user_id, thread_id), "activity": int(activity)}
        except ValueError:
            raise _invalid_cursor() from None

    def _new_id(self) -> str:
        return ids.new(self._table.now())

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)


def _no_thread() -> NotFound:
    return NotFound("no such thread", field="thread_id")


def _invalid_cursor() -> BadRequest:
    return BadRequest("invalid cursor: pass the cursor of the previous page unchanged", field="cursor")
