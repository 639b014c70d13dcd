"""A thread's log: its lease, its events in contiguous seqs, its transcript (delivery.md, Lease and attempts).

A not-exists condition guards each slot, not the lease: a writer that loses a slot reads the lease and goes on at the
new tail if the lease is its own. A run begins and ends in one transaction each. A write whose answer was lost is
recognised by what it left: this writer's own owner, attempt and event id.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from boto3.dynamodb.conditions import Attr, Key
from msgspec import Struct

from agentsocket.errors import (
    ConditionFailed,
    LeaseHeld,
    LeaseLost,
    RunOver,
    ThreadDeleted,
    TransactionCancelled,
    Unavailable,
)
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.long_texts import Contents, Line
from agentsocket.storage.rows import LogEvent, Message, Meta, Run
from agentsocket.storage.run_states import AFTER, OPEN, Outcome
from agentsocket.storage.table import ABSENT, PRESENT, Item, Operation, Table, delete, put, update

EventsAt = Callable[[int], Sequence[LogEvent]]


class Lease(Struct, frozen=True):
    """The right to write a thread for one run. `owner` is this worker's alone; `attempt` counts from 1."""

    owner: str
    run_id: str
    attempt: int


class LeaseGrant(Struct, frozen=True):
    """What was found when the lease was taken: the tail, and whether its numbering can still be trusted.

    `fresh`: the last lease before it was released.
    """

    top: int
    intact: bool
    fresh: bool


class ThreadLog:
    """One thread's log and transcript; the texts of that are `contents`."""

    def __init__(self, table: Table, user_id: str, thread_id: str, *, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._thread_id = thread_id
        self._partition = keys.log(user_id, thread_id)
        self._limits = limits
        self.contents = Contents(table, self._partition, limits=limits)

    # The lease.

    def take_lease(self, lease: Lease) -> LeaseGrant:
        """Become the thread's writer. Raises LeaseHeld while another worker is."""
        now = self._now_ms()
        free = Attr("lease_owner").not_exists() | Attr("lease_until").lt(now) | Attr("lease_owner").eq(lease.owner)
        until = self._lease_until()
        sets = {"lease_owner": lease.owner, "lease_run": lease.run_id, "lease_until": until}
        operation = update(keys.meta(self._partition), sets=sets, defaults={"unreleased_since": until}, when=free)
        try:
            before = Meta.of(self._table.write(operation, returning="ALL_OLD"))
        except ConditionFailed as refused:
            raise LeaseHeld((Meta.of(refused.row).lease_until - now) / 1000) from None
        # No ending since, and events of that time may have expired: seqs above META's top may have been used.
        forgotten = now - (self._limits.event_row_s - self._limits.lease_s) * 1000
        since = before.unreleased_since
        return LeaseGrant(self._top(before), intact=not 0 < since < forgotten, fresh=not since)

    def _release(self, lease: Lease, *, fresh: bool) -> None:
        """Give back a lease under which nothing was written."""
        removes = ["lease_owner", "lease_run", "lease_until", *(["unreleased_since"] if fresh else [])]
        try:
            mine = Attr("lease_owner").eq(lease.owner)
            self._table.write(update(keys.meta(self._partition), sets={}, removes=removes, when=mine))
        except ConditionFailed:
            return

    def renew_lease(self, lease: Lease, *, top: int) -> None:
        """Keep the lease, and note how far the log has come. Raises LeaseLost, but not after the run's own ending."""
        sets = {"lease_until": self._lease_until(), "top": top}
        mine = Attr("lease_owner").eq(lease.owner)
        try:
            self._table.write(update(keys.meta(self._partition), sets=sets, when=mine))
        except ConditionFailed:
            if not self._has_ended(lease):
                raise LeaseLost("another worker holds the lease of the thread") from None

    def _has_ended(self, lease: Lease) -> bool:
        """Whether the lease is gone because its own worker has ended the run."""
        found = self._table.get(keys.run(self._user_id, lease.run_id))
        return found is not None and Run.of(found).terminal and found["owner"] == lease.owner

    # Writing.

    def start(
        self, run: Run, lease: Lease, events_at: EventsAt, *, seq: int, question: Line, fresh: bool = False
    ) -> int:
        """Begin an attempt in one transaction: count it, point to the run, append its first events.

        The first attempt also writes the question to the transcript. Returns the seq of the first event. Raises
        LeaseLost, or ThreadDeleted; a `fresh` lease for a run that has ended meanwhile leaves no trace.
        """
        first_seq = run.first_seq

        def operations(at: int) -> list[Operation]:
            sets = {"state": "running", "attempts": lease.attempt, "owner": lease.owner, "first_seq": first_seq or at}
            uncounted = Attr("attempts").eq(lease.attempt - 1) & Attr("state").is_in(sorted(OPEN))
            own = [
                update(keys.run(self._user_id, run.run_id), sets=sets, when=uncounted),
                put(self._pointer(run)),
                *(self._put_event(event, lease) for event in events_at(at)),
            ]
            return own if run.attempts else [*own, *self.contents.transcribe(at, question)]

        try:
            return self._transact(lease, operations, seq=seq, done=lambda found: found.attempts == lease.attempt)
        except RunOver:
            self._release(lease, fresh=fresh)
            raise

    def append(self, lease: Lease, event_at: Callable[[int], LogEvent], *, seq: int) -> LogEvent:
        """Write one event at `seq`, or at the tail if that slot is taken. Raises LeaseLost."""
        for _ in range(self._limits.slots_tried):
            event = event_at(seq)
            try:
                self._table.write(self._put_event(event, lease))
            except ConditionFailed as refused:
                if refused.row and (refused.row["owner"], refused.row["event_id"]) == (lease.owner, event.event_id):
                    return event
            else:
                return event
            seq = self._tail_of(lease)
        raise Unavailable(f"no free slot in the log after {self._limits.slots_tried} tries; retry")

    def finish(self, lease: Lease, events_at: EventsAt, *, seq: int, outcome: Outcome, answer: Line | None) -> int:
        """End the run in one transaction: last events, transcript, state, top, lease. Returns their first seq.

        Raises LeaseLost, also when the run has been ended by another worker, and ThreadDeleted.
        """

        def operations(at: int) -> list[Operation]:
            events = events_at(at)
            ended = {
                "state": AFTER[outcome],
                "outcome": outcome,
                "ended_at": self._now_ms(),
                "last_seq": events[-1].seq,
            }
            mine = Attr("state").is_in(sorted(OPEN)) & Attr("owner").eq(lease.owner)
            removes = ["lease_owner", "lease_run", "lease_until", "unreleased_since"]
            return [
                *(self._put_event(event, lease) for event in events),
                *(self.contents.transcribe(events[-1].seq, answer) if answer else []),
                update(keys.run(self._user_id, lease.run_id), sets=ended, when=mine),
                update(
                    keys.meta(self._partition),
                    sets={"top": events[-1].seq},
                    removes=removes,
                    when=Attr("lease_owner").eq(lease.owner),
                ),
                delete(keys.run_pointer(self._user_id, lease.run_id)),
                update(
                    keys.thread(self._user_id, self._thread_id),
                    sets={"activity": self._now_ms()},
                    when=PRESENT & Attr("deleted_at").not_exists(),
                ),
            ]

        return self._transact(lease, operations, seq=seq, done=lambda found: found.terminal)

    def _transact(
        self,
        lease: Lease,
        operations: Callable[[int], list[Operation]],
        *,
        seq: int,
        done: Callable[[Run], bool],
    ) -> int:
        """Write at `seq` or at the tail. When refused, the run's row tells whether it is done, and by whom."""
        for _ in range(self._limits.slots_tried):
            try:
                self._table.transact(*operations(seq))
            except TransactionCancelled:
                rows = keys.run(self._user_id, lease.run_id), keys.thread(self._user_id, self._thread_id)
                found, thread = self._table.get_many(*rows)
                run = Run.of(found) if found else None
                if run and done(run) and run.owner == lease.owner:
                    return seq
                if run is None or run.terminal or done(run):
                    raise (RunOver if run and run.terminal else LeaseLost)("another worker has taken the run") from None
                if thread is None or "deleted_at" in thread:
                    raise ThreadDeleted("the thread has been deleted") from None
            else:
                return seq
            seq = self._tail_of(lease)
        raise Unavailable(f"the transaction was refused {self._limits.slots_tried} times; retry")

    def _tail_of(self, lease: Lease) -> int:
        """The next free slot, for who lost one. Raises LeaseLost when the thread is another worker's."""
        meta = self.meta()
        if meta.lease_owner != lease.owner:
            raise LeaseLost("another worker holds the lease of the thread")
        return self._top(meta) + 1

    def _top(self, meta: Meta) -> int:
        """The highest seq ever used. Expired rows count while they are there: they still occupy their slots."""
        newest = self._table.query(
            self._partition, Key("SK").begins_with(keys.EVENT), limit=1, newest_first=True, expired=True
        )
        return max([meta.top, *(LogEvent.of(item).seq for item in newest.items)])

    def _lease_until(self) -> int:
        return self._now_ms() + self._limits.lease_s * 1000

    def _put_event(self, event: LogEvent, lease: Lease) -> Operation:
        plain = len(event.frame) <= self._limits.plain_event_bytes
        row = {
            **keys.event(self._partition, event.seq),
            "event_id": event.event_id,
            "run_id": event.run_id,
            "owner": lease.owner,
            "attempt": event.attempt,
            "frame": event.frame.decode() if plain else zlib.compress(event.frame),
            "expires_at": self._now_s() + self._limits.event_row_s,
        }
        return put(row, when=ABSENT)

    def _pointer(self, run: Run) -> Item:
        key = keys.run_pointer(self._user_id, run.run_id)
        return {
            **key,
            "thread_id": self._thread_id,
            "connection_id": run.connection_id,
            "expires_at": self._now_s() + self._limits.run_pointer_s,
        }

    # Reading.

    def meta(self) -> Meta:
        """The head of the log, read consistently."""
        return Meta.of(self._table.get(keys.meta(self._partition)))

    def top(self) -> int:
        """The highest seq of the log, 0 when it is empty."""
        return self._top(self.meta())

    def events(self, *, after: int, up_to: int | None = None, limit: int) -> tuple[list[LogEvent], bool]:
        """Events with `after` < seq <= `up_to` in order, at most `limit` and 1 MB; and whether more follow."""
        last = keys.LAST_SEQ if up_to is None else up_to
        if last <= after:
            return [], False
        between = Key("SK").between(keys.event_sort(after + 1), keys.event_sort(last))
        page = self._table.query(self._partition, between, limit=limit)
        return [LogEvent.of(item) for item in page.items], page.more

    def messages(self, *, up_to: int, limit: int) -> list[Message]:
        """The newest `limit` messages of the transcript with seq <= `up_to`, oldest first."""
        return self.history(up_to=up_to, limit=limit)[0][::-1]

    def history(self, *, up_to: int, limit: int) -> tuple[list[Message], bool]:
        """The newest messages with seq <= `up_to`, newest first, `limit` and 1 MB at most; and whether more follow."""
        between = Key("SK").between(keys.message_sort(0), keys.message_sort(up_to))
        page = self._table.query(self._partition, between, limit=limit, newest_first=True)
        return [Message.of(item) for item in page.items], page.more

    def _now_s(self) -> int:
        return int(self._table.now())

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)
