"""What clients saw, judged: the promises of protocol.md and delivery.md as rules over a finished history. Pure.

Whoever plays a story (the simulation, or the integration tests over real sockets) fills a `History`; `violations` says
in sentences which promises were broken. Nothing here knows how the story was played, or when it may be judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tests.simulation.order import TERMINAL, Frame, Line, outcome_of, run_violations
from tests.simulation.snapshots import snapshot_violations


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing a device was given: a `frame` of `Client.frames()` with the epoch it was read under, or a mark.

    `left`: it follows the thread no more, and if it does again then from nothing. `at` is in seconds, of any clock.
    """

    at: float
    kind: Literal["frame", "left"]
    thread_id: str
    frame: Frame = field(default_factory=dict)
    epoch: str | None = None


@dataclass(slots=True)
class Device:
    """One client of a user, across all its connections.

    `follows`: the threads it must have read to the end; `asked`: run -> thread of the runs whose end it must have seen:
    if it is `present` at the end.
    """

    name: str
    user: str
    seen: list[Seen] = field(default_factory=list)
    follows: set[str] = field(default_factory=set)
    asked: dict[str, str] = field(default_factory=dict)
    present: bool = True

    def position(self, thread_id: str) -> int:
        """Up to which seq it has read a thread."""
        position = 0
        for entry in self.seen:
            if entry.thread_id == thread_id:
                position = _position(entry, position)
        return position


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a `message_accepted` said."""

    user: str
    message_id: str
    thread_id: str
    epoch: str
    run_id: str


@dataclass(slots=True)
class Log:
    """A thread as the server has it at the end: its events in order of seq, and its transcript."""

    user: str
    events: list[Frame] = field(default_factory=list)
    transcript: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class History:
    """A finished story. `stopped_at`: run -> the server's time, in ms, at which `stop_accepted` was said.

    `endings`: message -> the outcome that it must have had. `doomed` threads somebody wanted to delete, so that little
    can be said of them; for the `deleted` ones that was answered. `redriven` messages were asked once more by an
    operator. `unstoppable`: message -> the server's time, in ms, at which its run could not be stopped (any more).
    """

    devices: list[Device] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    logs: dict[str, Log] = field(default_factory=dict)
    doomed: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    endings: dict[str, str] = field(default_factory=dict)
    redriven: set[str] = field(default_factory=set)
    stopped_at: dict[str, int] = field(default_factory=dict)
    unstoppable: dict[str, int] = field(default_factory=dict)
    stop_delay_ms: int | None = None


def violations(history: History) -> list[str]:
    """Every broken promise, as a sentence; none is what is expected."""
    found = [*_acceptances(history), *_logs(history), *_deleted(history), *_stops(history), *_unstoppable(history)]
    for device in history.devices:
        found += [f"{device.name}: {what}" for what in _device(device, history)]
    return found


# One device.


def _device(device: Device, history: History) -> Iterator[str]:
    threads: dict[str, list[Seen]] = defaultdict(list)
    for seen in device.seen:
        threads[seen.thread_id].append(seen)
    owners = {each.thread_id: each.user for each in history.accepted}
    for thread_id, entries in threads.items():
        if owners.get(thread_id, device.user) != device.user:
            yield f"was given something of thread {thread_id}, which is {owners[thread_id]}'s"
        yield from _contiguous(thread_id, entries)
        if thread_id in history.logs and thread_id not in history.doomed:
            yield from _as_in_the_log(thread_id, entries, history.logs[thread_id])
    if device.present:
        yield from unread(device, history)


def unread(device: Device, history: History) -> Iterator[str]:
    """What a device should have seen, and has not (yet)."""
    for thread_id in sorted(device.follows - history.doomed):
        log = history.logs.get(thread_id)
        if log is not None and log.events and device.position(thread_id) != log.events[-1]["seq"]:
            yield f"has read thread {thread_id} up to {device.position(thread_id)} of {log.events[-1]['seq']}"
    for run_id, thread_id in device.asked.items():
        if thread_id not in history.doomed and thread_id in history.logs:
            last = max((each["seq"] for each in history.logs[thread_id].events if each["run_id"] == run_id), default=0)
            if device.position(thread_id) < last:
                yield f"has not seen the end of its run {run_id}"


def _contiguous(thread_id: str, entries: Sequence[Seen]) -> Iterator[str]:
    """Each event once and without a hole: from 1, or from where a snapshot stands.

    Who has left and comes back goes on where it stood when it asked, which may be before it had left.
    """
    last, epoch, anew = 0, None, False
    for entry in entries:
        if entry.kind == "left":
            epoch, anew = None, True
            continue
        if entry.epoch is not None and epoch is not None and entry.epoch != epoch:
            yield f"the epoch of thread {thread_id} changed from {epoch} to {entry.epoch}, and nothing was lost"
        epoch = entry.epoch or epoch
        if entry.frame["type"] == "thread_snapshot":
            if entry.frame["payload"]["seq"] < last and not anew:
                yield f"a snapshot of thread {thread_id} goes back from {last} to {entry.frame['payload']['seq']}"
            last, anew = entry.frame["payload"]["seq"], False
        elif "seq" in entry.frame:
            seq = entry.frame["seq"]
            if seq != last + 1 and not (anew and seq <= last):
                yield f"event {seq} of thread {thread_id} follows {last}"
            last, anew = seq, False


def _as_in_the_log(thread_id: str, entries: Sequence[Seen], log: Log) -> Iterator[str]:
    stored = {event["seq"]: event for event in log.events}
    for entry in entries:
        seq = entry.frame.get("seq")
        if seq is not None and not _same(entry.frame, stored.get(seq)):
            yield f"event {seq} of thread {thread_id} is not what the log has"
        if entry.kind == "frame" and entry.frame["type"] == "thread_snapshot":
            wrong = snapshot_violations(entry.frame["payload"], log.events, log.transcript)
            yield from (f"a snapshot of thread {thread_id}: {what}" for what in wrong)


def _same(frame: Frame, stored: Frame | None) -> bool:
    return stored is not None and {**frame, "thread_id": ""} == {**stored, "thread_id": ""}


def _position(entry: Seen, before: int) -> int:
    if entry.kind != "frame":
        return before
    if entry.frame["type"] == "thread_snapshot":
        return int(entry.frame["payload"]["seq"])
    return int(entry.frame.get("seq", before))


# The log.


def _acceptances(history: History) -> Iterator[str]:
    """The same message is the same run, also from two devices; an epoch lasts."""
    runs: dict[tuple[str, str], Accepted] = {}
    epochs: dict[str, str] = {}
    for each in history.accepted:
        first = runs.setdefault((each.user, each.message_id), each)
        if (first.run_id, first.thread_id) != (each.run_id, each.thread_id):
            yield f"message {each.message_id} was accepted as two runs"
        if epochs.setdefault(each.thread_id, each.epoch) != each.epoch:
            yield f"the epoch of thread {each.thread_id} changed, and nothing was lost"


def _logs(history: History) -> Iterator[str]:
    accepted: dict[str, list[Accepted]] = defaultdict(list)
    for each in history.accepted:
        accepted[each.thread_id].append(each)
    for thread_id in accepted.keys() - history.logs.keys() - history.doomed:
        yield f"thread {thread_id} has accepted runs, and no log"
    for thread_id, log in history.logs.items():
        if thread_id not in history.doomed:
            yield from (f"thread {thread_id}: {what}" for what in _log(log))
            yield from (what for each in accepted[thread_id] for what in _run(each, log, history))


def _log(log: Log) -> Iterator[str]:
    seqs = [event["seq"] for event in log.events]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"its log has holes: {seqs}"
    runs: dict[str, list[Frame]] = defaultdict(list)
    for event in log.events:
        runs[event["run_id"]].append(event)
    for run_id, events in runs.items():
        answer = [line for line in log.transcript if line.message_id.startswith(f"{run_id}.")]
        yield from (f"run {run_id}: {what}" for what in run_violations(events, answer))


def _run(each: Accepted, log: Log, history: History) -> Iterator[str]:
    """An accepted run has ended, as it had to, and its question stands in the transcript once."""
    wanted = history.endings.get(each.message_id)
    outcome = outcome_of([event for event in log.events if event["run_id"] == each.run_id])
    if outcome is None or wanted not in (None, outcome):
        yield f"run {each.run_id} of message {each.message_id} ended as {outcome}, not as {wanted or 'anything'}"
    questions = sum(line.message_id == each.message_id for line in log.transcript)
    if questions != 1 and not (questions and each.message_id in history.redriven):
        yield f"the transcript has message {each.message_id} {questions} times"


# Deleting and stopping.


def _deleted(history: History) -> Iterator[str]:
    for thread_id in sorted(history.deleted):
        if thread_id in history.logs and history.logs[thread_id].transcript:
            yield f"thread {thread_id} was deleted, and its transcript is left"


def _unstoppable(history: History) -> Iterator[str]:
    """Who could not stop a run came after its end."""
    runs = {each.message_id: each for each in history.accepted}
    for message_id, at in history.unstoppable.items():
        run = runs.get(message_id)
        if run is not None and (run.thread_id in history.doomed or run.thread_id not in history.logs):
            continue
        events = [each for each in history.logs[run.thread_id].events if each["run_id"] == run.run_id] if run else []
        ends = [each["timestamp"] for each in events if each["type"] == TERMINAL]
        if not ends or ends[0] > at:
            yield f"the run of message {message_id} could not be stopped at {at}, and ended at {ends}"


def _stops(history: History) -> Iterator[str]:
    """Said only of stories without faults: `stop_delay_ms` is None for others. A stop may precede its run."""
    if history.stop_delay_ms is None:
        return
    stopped = dict(history.stopped_at)
    for log in history.logs.values():
        for event in log.events:
            run_id, at = event["run_id"], event["timestamp"]
            if event["type"] == "agent_started" and run_id in stopped:
                stopped[run_id] = max(stopped[run_id], at)
            spoken = event["type"] in ("partial_result", "agent_thinking", "tool_executing")
            if spoken and run_id in stopped and at > stopped[run_id] + history.stop_delay_ms:
                yield f"run {run_id} was stopped at {stopped[run_id]}, and spoke at {at}"
