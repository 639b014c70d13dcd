"""Deleting a thread: its tombstone, the silent end of its runs, and the sweep of its rows (delivery.md, Delete).

The tombstone hides everything at once; the sweep, under the thread's lease, takes its time and may be repeated.
"""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from agentsocket.errors import ConditionFailed, NotFound
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.run_states import OPEN
from agentsocket.storage.table import PRESENT, Item, Operation, Table, delete, put, update
from agentsocket.storage.thread_log import Lease

_BLANK: dict[str, Any] = {"content": "", "content_bytes": 0, "sha256": "", "digest": "", "context": "{}"}
_LEASE = ("lease_owner", "lease_run", "lease_until", "unreleased_since")


class ThreadDeletion:
    """The deletion of one thread, by the command `by`; whoever repeats that command continues it."""

    def __init__(self, table: Table, user_id: str, thread_id: str, *, by: str, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._thread_id = thread_id
        self._by = by
        self._partition = keys.log(user_id, thread_id)
        self._limits = limits

    def require(self) -> None:
        """Raises NotFound when there is no such thread, or another command has deleted it."""
        row = self._table.get(keys.thread(self._user_id, self._thread_id))
        if row is None or row.get("deleted_by", self._by) != self._by:
            raise NotFound("no such thread", field="thread_id")

    def hide(self) -> None:
        """From now on nothing of the thread can be read, and workers stop. A thread that is gone stays so."""
        now = int(self._table.now())
        tombstone = {"deleted_at": now, "deleted_by": self._by, "expires_at": now + self._limits.tombstone_s}
        row = keys.thread(self._user_id, self._thread_id)
        there = PRESENT & Attr("deleted_at").not_exists()
        self._write(update(row, sets=tombstone, removes=["title", "metadata", "activity", "asked"], when=there))
        flag = keys.deleted(self._user_id, self._thread_id)
        self._table.write(put({**flag, "expires_at": now + self._limits.deleted_flag_s}))

    def end_run(self, run_id: str, *, owner: str = "") -> None:
        """A run of the thread ends without an event, its text is forgotten; the lease of `owner` is released."""
        now = int(self._table.now() * 1000)
        ended = update(
            keys.run(self._user_id, run_id),
            sets={**_BLANK, "state": "stopped", "outcome": "stopped", "ended_at": now},
            when=Attr("state").is_in(sorted(OPEN)),
        )
        self._write(ended)
        self._table.write(delete(keys.run_pointer(self._user_id, run_id)))
        if owner:
            mine = Attr("lease_owner").eq(owner)
            self._write(update(keys.meta(self._partition), sets={}, removes=_LEASE, when=mine))

    def end_runs(self, start: Item | None = None) -> Item | None:
        """End the runs of the thread, also those that never came into the queue, and forget their texts.

        One page of the user's runs after the key `start`; where the next begins, None at the end.
        """
        runs = Key("SK").begins_with(keys.RUN)
        page = self._table.query(keys.user(self._user_id), runs, limit=self._limits.sweep_page, start=start)
        for run in (run for run in page.items if run["thread_id"] == self._thread_id):
            if run["state"] in OPEN:
                self.end_run(run["run_id"])
            row = keys.run(self._user_id, run["run_id"])
            self._write(update(row, sets=_BLANK, removes=["part_digests"], when=PRESENT))
            numbers = range(1, len(run.get("part_digests", ())) + 1)
            self._table.remove([keys.part(self._user_id, run["message_id"], number) for number in numbers])
        return page.next

    def sweep(self) -> bool:
        """Remove a page of the thread's log and transcript. False when nothing is left of them."""
        but_meta = Key("SK").lt(keys.META)
        found = self._table.query(self._partition, but_meta, limit=self._limits.sweep_page, expired=True).items
        self._table.remove([_key(row) for row in found])
        return bool(found)

    def finish(self, lease: Lease) -> None:
        """The head of the log is emptied last. It expires with the tombstone: a lease that is late finds it."""
        expires_at = int(self._table.now()) + self._limits.tombstone_s
        mine = Attr("lease_owner").eq(lease.owner)
        head = keys.meta(self._partition)
        self._write(update(head, sets={"expires_at": expires_at}, removes=[*_LEASE, "top"], when=mine))

    def _write(self, operation: Operation) -> None:
        """Write, unless there is nothing (any more) to be written to."""
        try:
            self._table.write(operation)
        except ConditionFailed:
            return


def _key(row: Item) -> keys.Key:
    return {"PK": row["PK"], "SK": row["SK"]}
