"""How much a user may ask for: one QUOTA row (security.md, Cost is an attack surface).

A bucket is kept as the moment at which it will be full again (the generic cell rate algorithm, as ATM Forum's traffic
management has it): one number, one conditional write per command, and nothing that has to be refilled. Runs stand in
the row by their ids, those that wait and those under way, so that counting them twice is impossible; the ids that a
crash has left behind are taken out when they would refuse somebody. Of those that wait, the oldest gets the next place.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from boto3.dynamodb.conditions import Attr, ConditionBase

from agentsocket import wording
from agentsocket.errors import Busy, ConditionFailed, RateLimited, TooManyRuns, Unavailable
from agentsocket.limits import DAY_S, Limits
from agentsocket.storage import keys
from agentsocket.storage.rows import Run
from agentsocket.storage.table import PRESENT, Item, Operation, Table, update

_COMMANDS = "commands_full_at"  # milliseconds since the epoch
_CONNECTS = "connects_full_at"
_TRIES = 4  # of a write that finds another command's in its way
_BUSY_MS = 5000  # the wait when too many runs are queued, and how often their rows are checked
_IN_FLIGHT_MS = 30_000  # longer than an acceptance takes: its run's row may not be there yet


class Quotas:
    """One user's quotas."""

    def __init__(self, table: Table, user_id: str, *, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._key = keys.quota(user_id)
        self._limits = limits

    # Buckets.

    def spend(self, cost: int) -> None:
        """Take `cost` commands out of the bucket: one write, or two in a burst, or none for 0. Raises RateLimited."""
        if cost:
            limits = self._limits
            self._take(_COMMANDS, cost * 1000 // limits.commands_per_s, self._command_room(), self._command_limit())

    def connect(self) -> None:
        """One more socket is opened: one write, or two in a burst. Raises RateLimited."""
        price = 60_000 // self._limits.connects_per_min
        self._take(_CONNECTS, price, self._limits.connects_per_min * price, self._connect_limit())

    def _take(self, bucket: str, price: int, room: int, limit: str) -> None:
        now = self._now_ms()
        full = Attr(bucket).not_exists() | Attr(bucket).lte(now)
        beginning = {"day": self._day(), "runs": 0}
        try:
            expiry = self._expiry() | {bucket: now + price}
            self._table.write(update(self._key, sets=expiry, defaults=beginning, when=full))
        except ConditionFailed:
            self._take_further(bucket, price, now + room - price, limit)

    def _take_further(self, bucket: str, price: int, latest: int, limit: str) -> None:
        """The bucket is not full: what is missing from it adds up, as far as it goes."""
        try:
            further = update(self._key, sets=self._expiry(), adds={bucket: price}, when=Attr(bucket).lte(latest))
            self._table.write(further)
        except ConditionFailed as refused:
            raise _too_many(limit, (refused.row or {}).get(bucket, latest) - latest) from None

    # Runs.

    def admit(self, run_id: str, cost: int) -> None:
        """A message that becomes a run, which counts for `cost` commands: one write, or two in a burst.

        Raises RateLimited, also when the day's runs are used up, and Busy when too many wait. Who then does not accept
        the message takes it back.
        """
        usual: Item = {_COMMANDS: 0, "day": self._day(), "runs": 0}
        row: Item | None = usual
        for _ in range(_TRIES):
            try:
                self._table.write(self._admission(run_id, cost, row or {}))
            except ConditionFailed as refused:
                row = refused.row
                self._require_room(run_id, cost, row or {})
            else:
                return
        raise Unavailable("concurrent commands of this user changed its quotas; retry")

    def _admission(self, run_id: str, cost: int, row: Item) -> Operation:
        """The write that admits a run where the row is much like this one: what differs from it refuses the write."""
        limits, now, today = self._limits, self._now_ms(), self._day()
        price = cost * 1000 // limits.commands_per_s
        sets: Item = self._expiry() | {"admitted_at": now}
        adds: dict[str, Any] = {"waiting": {run_id}}
        if row.get(_COMMANDS, 0) <= now:
            sets[_COMMANDS] = now + price
            allowed: ConditionBase = Attr(_COMMANDS).not_exists() | Attr(_COMMANDS).lte(now)
        else:
            adds[_COMMANDS] = price
            allowed = Attr(_COMMANDS).lte(now + self._command_room() - price)
        if row.get("day") == today:
            adds["runs"] = 1
            allowed &= Attr("day").eq(today) & Attr("runs").lt(limits.runs_per_day)
        else:
            sets |= {"day": today, "runs": 1}
            allowed &= Attr("day").not_exists() | Attr("day").ne(today)
        waits = Attr("waiting")
        allowed &= waits.not_exists() | waits.contains(run_id) | waits.size().lt(limits.max_waiting_runs)
        return update(self._key, sets=sets, adds=adds, when=allowed)

    def _require_room(self, run_id: str, cost: int, row: Item) -> None:
        limits, now = self._limits, self._now_ms()
        price = cost * 1000 // limits.commands_per_s
        missing_ms = row.get(_COMMANDS, 0) - (now + self._command_room() - price)
        if missing_ms > 0:
            raise _too_many(self._command_limit(), missing_ms)
        if row.get("day") == self._day() and row.get("runs", 0) >= limits.runs_per_day:
            wait_ms = DAY_S * 1000 - now % (DAY_S * 1000)
            raise RateLimited(
                f"daily limit of {limits.runs_per_day:,} runs reached; it resets at 00:00 UTC", retry_after_ms=wait_ms
            )
        waiting = row.get("waiting", set()) - {run_id}
        if len(waiting) >= limits.max_waiting_runs:
            self.spend(cost)  # a refusal is paid for: it may read every queued run
            if row.get("looked_at", 0) > now - _BUSY_MS or not self._remove_stale("waiting", row, waiting):
                raise Busy(
                    f"{len(waiting)} runs are already queued; {wording.retry(_BUSY_MS)}", retry_after_ms=_BUSY_MS
                )

    def take_back(self, run_id: str, *, waits: bool = False) -> None:
        """A message that was admitted became no new run; `waits` when it is one that waits already."""
        discarded = {} if waits else {"waiting": {run_id}}
        today = Attr("day").eq(self._day()) & Attr("runs").gt(0)
        self._write(update(self._key, sets={}, adds={"runs": -1}, discards=discarded, when=today))

    def begin(self, run: Run) -> int:
        """The run is under way from now on. Returns what the user has spent this month, in millionths of a dollar.

        Safe to repeat. Raises TooManyRuns when others are under way, as many as may be, or an older one waits too.
        """
        others, mine = Attr("running"), {run.run_id}
        room = others.not_exists() | others.size().lt(self._limits.runs_at_once)
        # Who has a place keeps it, also when its worker died and an older run lines up: else both would wait for ever.
        allowed = others.contains(run.run_id) | room & self._turn_of(run, Attr("next_at").gte(run.accepted_at))
        discarded, passed = {"waiting": mine}, ["next_run", "next_at", "next_until"]
        begun = update(self._key, sets={}, adds={"running": mine}, discards=discarded, removes=passed, when=allowed)
        for _ in range(_TRIES):
            try:
                return self._spent(self._table.write(begun, returning="ALL_NEW"))
            except ConditionFailed as refused:
                row = refused.row or {}
                if not self._remove_stale("running", row, row.get("running", set())):
                    break
        self._reserve_next_place(run)
        raise TooManyRuns("the user's other runs have to end first")

    def _turn_of(self, run: Run, younger: ConditionBase) -> ConditionBase:
        """The next place is kept for nobody, for this run, or for one that is `younger`."""
        place = Attr("next_run")
        return place.not_exists() | place.eq(run.run_id) | Attr("next_until").lt(self._now_ms()) | younger

    def _reserve_next_place(self, run: Run) -> None:
        """The next place is this run's, if it is the oldest of those that ask; for as long as it keeps asking."""
        until = self._now_ms() + 3 * self._limits.run_retry_s * 1000
        sets = {"next_run": run.run_id, "next_at": run.accepted_at, "next_until": until}
        self._write(update(self._key, sets=sets, when=self._turn_of(run, Attr("next_at").gt(run.accepted_at))))

    def end(self, run_id: str) -> None:
        """The run is not under way any more, and does not wait. Safe to repeat."""
        discarded = {"running": {run_id}, "waiting": {run_id}}
        self._write(update(self._key, sets={}, discards=discarded, when=PRESENT))

    def _remove_stale(self, kind: Literal["waiting", "running"], row: Item, run_ids: set[str]) -> bool:
        """Take those out that a crash has left behind: neither waiting for a worker, nor with one."""
        asked, now = sorted(run_ids), self._now_ms()
        rows = self._table.get_many(*(keys.run(self._user_id, run_id) for run_id in asked)) if asked else []
        runs = {run_id: found for run_id, found in zip(asked, rows, strict=True) if found}
        queued_since = now - self._limits.waiting_s * 1000
        alive = {
            run_id
            for run_id, found in runs.items()
            if found["state"] == "accepted" and found["accepted_at"] > queued_since
        }
        if kind == "running":
            alive |= self._with_pointer(run_id for run_id, found in runs.items() if found["state"] == "running")
        elif row.get("admitted_at", 0) > now - _IN_FLIGHT_MS:
            alive |= run_ids - runs.keys()
        left = run_ids - alive
        discards: dict[str, set[str]] = {kind: left} if left else {}
        checked = {"looked_at": now} if kind == "waiting" else {}  # runs under way are checked each time
        if checked or discards:
            self._write(update(self._key, sets=checked, discards=discards, when=PRESENT))
        return bool(left)

    def _with_pointer(self, run_ids: Iterable[str]) -> set[str]:
        """Those whose newest attempt began within the hour: no attempt lasts longer."""
        pointers = {run_id: keys.run_pointer(self._user_id, run_id) for run_id in run_ids}
        rows = self._table.get_many(*pointers.values()) if pointers else []
        return {run_id for run_id, row in zip(pointers, rows, strict=True) if row}

    # Money.

    def charge(self, microdollars: int) -> int:
        """Something was paid for the user. Returns what has been spent this month, in millionths of a dollar."""
        month = self._month()
        try:
            same = Attr("month").eq(month)
            row = self._table.write(
                update(self._key, sets={}, adds={"spent": microdollars}, when=same), returning="ALL_NEW"
            )
        except ConditionFailed:
            sets = self._expiry() | {"month": month, "spent": microdollars}
            other = Attr("month").not_exists() | Attr("month").ne(month)
            try:
                row = self._table.write(update(self._key, sets=sets, when=other), returning="ALL_NEW")
            except ConditionFailed:  # another run was the month's first
                return self.charge(microdollars)
        return self._spent(row)

    def _spent(self, row: Item) -> int:
        return row.get("spent", 0) if row.get("month") == self._month() else 0

    def _write(self, operation: Operation) -> None:
        """Write, unless there is nothing to be written to."""
        try:
            self._table.write(operation)
        except ConditionFailed:
            return

    def _expiry(self) -> Item:
        """The row ends by itself when its user comes no more."""
        return {"expires_at": int(self._table.now()) + self._limits.quota_row_s}

    def _command_room(self) -> int:
        return self._limits.command_burst * 1000 // self._limits.commands_per_s

    def _command_limit(self) -> str:
        return f"limit of {self._limits.commands_per_s:,} commands per second"

    def _connect_limit(self) -> str:
        return f"limit of {self._limits.connects_per_min:,} new connections per minute"

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)

    def _day(self) -> int:
        """Days since the epoch: a day ends at midnight, UTC."""
        return int(self._table.now()) // DAY_S

    def _month(self) -> str:
        return datetime.fromtimestamp(self._table.now(), UTC).strftime("%Y-%m")


def _too_many(limit: str, wait_ms: int) -> RateLimited:
    return RateLimited(f"{limit} reached; {wording.retry(wait_ms)}", retry_after_ms=max(1, wait_ms))
