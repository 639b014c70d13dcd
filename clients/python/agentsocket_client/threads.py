"""The order of one thread: each event once, without a hole, across reconnects (protocol.md, Resume).

Pure: frames and the time go in, events that may be shown come out, and `due` says when to ask the server for what is
missing. Sending is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from agentsocket_client.backoff import Backoff
from agentsocket_client.frames import Frame, Payload, Position
from agentsocket_client.limits import Limits
from agentsocket_client.runs import Runs


class Phase(Enum):
    """Where a thread stands with the server. In all but LIVE, events are held back and no gap timer runs."""

    LIVE = "live"
    ASKED = "asked"  # hello or subscribe is out; even the epoch may turn out to be another one
    REPLAY = "replay"  # subscribed said recovered: batches follow, up to more: false
    SNAPSHOT = "snapshot"  # subscribed said not recovered: one thread_snapshot follows


class Thread:
    """One thread as this client has seen it. All times are seconds of the caller's clock."""

    def __init__(self, thread_id: str, start: Position | None, *, limits: Limits, random: Callable[[], float]) -> None:
        """`start` is the position to go on from; None: wherever the server's first answer begins."""
        self.thread_id = thread_id
        self.epoch = start["epoch"] if start else None
        self.seq = start["seq"] if start else None
        self.phase = Phase.LIVE
        self.runs = Runs()
        self.heard = 0.0
        self._limits = limits
        self._backoff = Backoff(limits.gap_s, limits.backoff_cap_s, random)
        self._read: Position = {"epoch": self.epoch, "seq": self.seq or 0}
        self._held: dict[int, Frame] = {}
        self._top = 0
        self._since = 0.0  # of the phase, or of the gap
        self._not_before = 0.0
        self._doubtful = False

    # What the client does.

    def asked(self, now: float) -> None:
        """hello or subscribe goes out for this thread."""
        self._enter(Phase.ASKED, now)
        self._doubtful = False
        self._not_before = now + self._backoff.next()

    def disconnected(self) -> None:
        """The connection is gone: what comes next has to be asked for."""
        self.phase = Phase.LIVE
        self._doubtful = True

    def mark_stale(self) -> None:
        """The server may not send what happens here any more: ask."""
        self._doubtful = True

    def refused(self, not_before: float) -> None:
        """The subscribe failed for now: ask again, not before that time."""
        self._doubtful = True
        self._not_before = max(self._not_before, not_before)

    def read(self, epoch: str | None, seq: int) -> None:
        """The caller has been given everything up to here."""
        self._read = {"epoch": epoch, "seq": seq}

    def position(self) -> Position:
        """How far the caller has read. The epoch of a new thread may have become known since."""
        return {"epoch": self._read["epoch"] or self.epoch, "seq": self._read["seq"]}

    def since(self) -> Position | None:
        """What to ask the server with: everything after this is missing. None: no position is known."""
        return None if self.epoch is None or self.seq is None else {"epoch": self.epoch, "seq": self.seq}

    # What the server says.

    def event(self, frame: Frame, now: float) -> list[Frame]:
        """A live event. Returns what may be shown now, in order: nothing, or this one and those that waited for it."""
        self.heard = now
        had_gap = bool(self._held)
        self._hold([frame])
        if self.phase is not Phase.LIVE:
            return []
        ready = self._release()
        if ready or not had_gap:
            self._since = now
        return ready

    def accepted(self, payload: Payload, now: float) -> None:
        """message_accepted: names the epoch of a new thread. A duplicate's events may have gone elsewhere: ask."""
        self.heard = now
        self.runs.accepted(payload)
        if self.epoch is None:
            self.epoch, self.seq = payload.get("epoch"), self.seq or 0
        self._doubtful |= bool(payload.get("duplicate")) or self.epoch != payload.get("epoch")

    def subscribed(self, payload: Payload, now: float) -> None:
        """The answer to hello or subscribe: a replay or a snapshot follows."""
        self.heard = now
        self._doubtful = False
        self._top = int(payload.get("seq", 0))
        if payload.get("recovered"):
            self.epoch = payload.get("epoch")
            self._enter(Phase.REPLAY, now)
        else:
            self._enter(Phase.SNAPSHOT, now)

    def batch(self, frames: list[Frame], *, more: bool, now: float) -> list[Frame]:
        """A page of a replay; the live events that were held back join at its end."""
        self.heard = self._since = now
        if self.seq is None and frames:
            self.seq = frames[0]["seq"] - 1
        self._hold(frames)
        if self.phase is not Phase.REPLAY:
            return self._release() if self.phase is Phase.LIVE else []
        if more:
            return self._release()
        if self.seq is None:  # nothing to replay and no position: go on where the log is
            self.seq = self._top
        return self._go_live(now)

    def is_behind(self, payload: Payload) -> bool:
        """A snapshot of before this position came twice, or late: it must not take back what was shown."""
        return payload.get("epoch") == self.epoch and int(payload.get("seq", 0)) < (self.seq or 0)

    def snapshot(self, payload: Payload, now: float) -> list[Frame]:
        """The thread as of the snapshot's seq. Events held under another epoch cannot be told apart: ask again."""
        self.heard = now
        if payload.get("epoch") != self.epoch and self._held:
            self._held.clear()
            self._doubtful = True
        self.epoch, self.seq = payload.get("epoch"), int(payload.get("seq", 0))
        self.runs.snapshot(payload)
        return self._go_live(now)

    def due(self) -> float | None:
        """When to ask the server for what is missing, if nothing else comes; None: nothing is.

        A position without an epoch cannot be asked with: the message_accepted that names it is still to come.
        """
        if self.epoch is None and self.seq is not None:
            return None
        if self._doubtful:
            return self._not_before
        if self.phase is not Phase.LIVE:
            return max(self._since + self._limits.reply_s, self._not_before)
        if self._held:
            return max(self._since + self._limits.gap_s, self._not_before)
        return self.heard + self._limits.silence_s if self.runs.active else None

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase, self._since = phase, now

    def _hold(self, frames: Iterable[Frame]) -> None:
        """Also what looks like a repetition: while an answer is out, the numbering may prove to be another one."""
        self._held.update((frame["seq"], frame) for frame in frames)

    def _go_live(self, now: float) -> list[Frame]:
        self._enter(Phase.LIVE, now)
        ready = self._release()
        if not self._held:
            self._backoff.reset()
        return ready

    def _release(self) -> list[Frame]:
        """Everything held that follows the position without a hole; a new thread begins at seq 1."""
        ready: list[Frame] = []
        while (frame := self._held.pop((self.seq or 0) + 1, None)) is not None:
            self.seq = frame["seq"]
            self.runs.event(frame)
            ready.append(frame)
        self._held = {seq: frame for seq, frame in self._held.items() if seq > (self.seq or 0)}
        return ready
