"""The threads a client follows: which frame belongs to which, which to resume, which to ask for next.

The order inside one thread is `threads`; sending what is decided here is `session`. No I/O.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from agentsocket_client import frames
from agentsocket_client.frames import Frame, Payload, Position, ResumePoint
from agentsocket_client.limits import Limits
from agentsocket_client.session_outputs import Event, Output
from agentsocket_client.threads import Phase, Thread


class Following:
    """All threads of one client. Times are seconds of the caller's clock."""

    def __init__(self, resume: Iterable[ResumePoint], *, limits: Limits, random: Callable[[], float]) -> None:
        self._limits = limits
        self._random = random
        self._threads: dict[str, Thread] = {}
        self._left: set[str] = set()  # unsubscribed: a late push must not bring it back
        for point in resume:
            self._thread(point["thread_id"], {"epoch": point["epoch"], "seq": point["seq"]})

    # What the client does.

    def resume(self, now: float) -> list[Payload]:
        """A connection begins: the resume list of its hello. What does not fit there is due at once (`missing`)."""
        for thread in self._threads.values():
            thread.disconnected()
        known = [thread for thread in self._threads.values() if thread.since() is not None]
        known.sort(key=lambda thread: (thread.runs.active, thread.heard), reverse=True)
        chosen = known[: self._limits.resume_threads]
        for thread in chosen:
            thread.asked(now)
        return [{"thread_id": thread.thread_id, **(thread.since() or {})} for thread in chosen]

    def follow(self, payload: Payload, now: float) -> Payload:
        """The payload of a subscribe or switch: from its `since` if it has one, else from where the thread stands."""
        thread_id = str(payload.get("thread_id"))
        self._left.discard(thread_id)
        if payload.get("since") is not None:
            self._threads.pop(thread_id, None)
        thread = self._thread(thread_id, payload.get("since"))
        thread.asked(now)
        since = thread.since()
        return {**payload, "since": since} if since else payload

    def refused(self, thread_id: str, not_before: float) -> None:
        """The subscribe failed for now."""
        if thread_id in self._threads:
            self._threads[thread_id].refused(not_before)

    def unfollow(self, thread_id: str) -> None:
        """The thread is followed no more."""
        self._threads.pop(thread_id, None)
        self._left.add(thread_id)

    def follow_only(self, *thread_ids: str) -> None:
        """These are followed, and no others any more."""
        for thread_id in [*self._threads]:
            if thread_id not in thread_ids:
                self.unfollow(thread_id)

    def mark_stale(self, *, but: str | None = None) -> None:
        """The server may have let go of every thread but this one: those that are followed are to be asked for anew."""
        for thread in self._threads.values():
            if thread.thread_id != but:
                thread.mark_stale()

    def ask_again(self, not_before: float) -> None:
        """Hello could not resume some thread: each that has no answer yet is due by itself."""
        for thread in self._threads.values():
            if thread.phase is Phase.ASKED:
                thread.refused(not_before)

    def due(self) -> float:
        """When a thread will have to be asked for, if nothing comes before; infinity: none."""
        times = [thread.due() for thread in self._candidates()]
        return min((time for time in times if time is not None), default=math.inf)

    def missing(self, now: float) -> Thread | None:
        """The thread to ask for now."""
        due = [(at, thread) for thread in self._candidates() if (at := thread.due()) is not None and at <= now]
        return min(due, key=lambda pair: pair[0])[1] if due else None

    def read(self, event: Event) -> None:
        """The caller has been given this event."""
        frame, kind = event.frame, event.frame["type"]
        thread = self._threads.get(thread_id_of(frame))
        if thread is not None and kind in frames.EVENTS:
            thread.read(event.epoch, frame["seq"])
        elif thread is not None and kind == "thread_snapshot":
            thread.read(event.epoch, frame["payload"]["seq"])

    def position(self, thread_id: str) -> Position:
        """How far the caller has read. Raises KeyError for a thread that is not followed."""
        return self._threads[thread_id].position()

    # What the server says.

    def subscribed(self, frame: Frame, now: float) -> list[Output]:
        """A replay or a snapshot follows. The `unsubscribed` of before may have come after `follow` was called."""
        self._left.discard(thread_id_of(frame))
        self._thread(thread_id_of(frame)).subscribed(frame["payload"], now)
        return []

    def batch(self, frame: Frame, now: float) -> list[Output]:
        """A page of a replay."""
        thread = self._threads.get(thread_id_of(frame))
        if thread is None:
            return []
        page = [
            {"thread_id": thread.thread_id, **event}
            for event in frame["payload"].get("events", [])
            if frames.is_frame(event) and isinstance(event.get("seq"), int)
        ]
        return _events(thread, thread.batch(page, more=bool(frame["payload"].get("more")), now=now))

    def snapshot(self, frame: Frame, now: float) -> list[Output]:
        """What there is instead of a replay; the caller is given it too."""
        thread = self._thread(thread_id_of(frame))
        if thread.is_behind(frame["payload"]):
            return []
        ready = thread.snapshot(frame["payload"], now)
        return [Event({"thread_id": thread.thread_id, **frame}, thread.epoch), *_events(thread, ready)]

    def accepted(self, frame: Frame, now: float) -> list[Output]:
        """A message_accepted; whoever writes to a thread follows it."""
        self._left.discard(thread_id_of(frame))
        self._thread(thread_id_of(frame)).accepted(frame["payload"], now)
        return []

    def heartbeat(self, frame: Frame, now: float) -> list[Output]:
        """A run goes on without anything to say."""
        for thread in self._threads.values():
            if thread.thread_id == thread_id_of(frame) or frame["payload"].get("run_id") in thread.runs:
                thread.heard = now
        return []

    def event(self, frame: Frame, now: float) -> list[Output]:
        """A stream event. One of an unknown type is not shown, but its seq counts."""
        thread_id = thread_id_of(frame)
        if thread_id in self._left:
            return []
        thread = self._thread(thread_id)
        return _events(thread, thread.event(frame, now))

    def _candidates(self) -> list[Thread]:
        """One at a time: while a thread is being answered, only that one can be due."""
        threads = list(self._threads.values())
        return [thread for thread in threads if thread.phase is not Phase.LIVE] or threads

    def _thread(self, thread_id: str, start: Position | None = None) -> Thread:
        if thread_id not in self._threads:
            self._threads[thread_id] = Thread(thread_id, start, limits=self._limits, random=self._random)
        return self._threads[thread_id]


def thread_id_of(frame: Frame) -> str:
    """The thread a frame is about: the envelope says so, or the payload."""
    return str(frame.get("thread_id") or frame["payload"].get("thread_id"))


def _events(thread: Thread, ready: list[Frame]) -> list[Output]:
    return [Event(frame, thread.epoch) for frame in ready if frame["type"] in frames.EVENTS]
