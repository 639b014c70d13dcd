"""Which runs of a thread are under way and how the others ended, as the thread's frames tell it."""

from __future__ import annotations

from agentsocket_client.frames import Frame, Payload

_REMEMBERED = 256  # ended runs, so that a late message_accepted does not revive one


class Runs:
    """Feed it what happens in a thread; ask it which runs are active, and for a run's outcome."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}  # run id -> message id; accepted, no event seen yet
        self._nested: dict[str, set[str]] = {}  # run id -> ids of its nested agents; an event was seen
        self._ended: dict[str, str] = {}

    @property
    def active(self) -> bool:
        """Whether any run is believed to go on."""
        return bool(self._waiting or self._nested)

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._waiting or run_id in self._nested

    def outcome(self, run_id: str) -> str | None:
        """success, stopped, error or timeout; `unknown` if only a snapshot tells that it is over; None: not over."""
        return self._ended.get(run_id)

    def accepted(self, payload: Payload) -> None:
        """A message_accepted. The run's events may have overtaken it, even its last."""
        run_id = str(payload.get("run_id"))
        if run_id not in self._ended and run_id not in self._nested:
            self._waiting[run_id] = str(payload.get("message_id"))

    def event(self, frame: Frame) -> None:
        """A stream event, in order. After success the final_report is the last; otherwise the root agent_completed."""
        run_id = frame.get("run_id")
        if run_id is None or run_id in self._ended:
            return
        self._waiting.pop(run_id, None)
        nested = self._nested.setdefault(run_id, set())
        payload = frame["payload"]
        if frame["type"] == "agent_started" and payload.get("parent_agent_id") is not None:
            nested.add(str(payload.get("agent_id")))
        elif (outcome := _outcome(frame, nested)) is not None:
            self._end(run_id, outcome)

    def snapshot(self, payload: Payload) -> None:
        """A thread_snapshot: what had begun and is not its active run has ended meanwhile."""
        messages, active = payload.get("messages"), payload.get("active_run")
        seen = [str(each.get("message_id")) for each in messages or [] if isinstance(each, dict)]
        current = active.get("run_id") if isinstance(active, dict) else None
        begun = set(self._nested) | {run for run, message in self._waiting.items() if message in seen}
        for run_id in begun - {current}:
            answered = any(message.startswith(f"{run_id}.") for message in seen)
            self._end(run_id, "success" if answered else "unknown")
        if current is not None and current not in self._ended:
            self._waiting.pop(current, None)
            self._nested.setdefault(current, set())

    def _end(self, run_id: str, outcome: str) -> None:
        self._waiting.pop(run_id, None)
        self._nested.pop(run_id, None)
        self._ended[run_id] = outcome
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]


def _outcome(frame: Frame, nested: set[str]) -> str | None:
    """The run's outcome if this event is its last."""
    payload = frame["payload"]
    if frame["type"] == "final_report":
        return "success"
    if frame["type"] != "agent_completed" or str(payload.get("agent_id")) in nested:
        return None
    return None if payload.get("outcome") == "success" else str(payload.get("outcome"))
