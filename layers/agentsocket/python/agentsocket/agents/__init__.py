"""The agent seam: what an agent gets (a `Turn`) and what it yields (`AgentEvent`s). Nothing of ours is behind it.

An agent has no store, no socket and no queue to misuse. Tools run at least once: `Turn.run_id` and the tool call's id
make them idempotent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Said:
    """One earlier message of the thread; long ones are cut."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to answer. `context` is data that came with the message."""

    run_id: str
    text: str
    history: Sequence[Said] = ()
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thinking:
    """A step of reasoning, for people."""

    thought: str
    step: int | None = None
    total_steps: int | None = None


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call begins; `arguments` is shown to people, cut to 2 KB."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """The tool call `call_id` has ended; `result` is shown to people, cut to 2 KB."""

    call_id: str
    name: str
    outcome: Literal["success", "error"]
    result: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    delta: str


@dataclass(frozen=True, slots=True)
class Report:
    """What the answer comes to, beside its text. At most one, at the end."""

    recommendations: Sequence[dict[str, Any]] = ()
    action_plan: Sequence[str] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The agent cannot go on. `user_message` and `suggested_action` are shown to the person."""

    error_type: str
    message: str
    user_message: str
    suggested_action: str
    is_recoverable: bool = False


AgentEvent = Thinking | ToolStarted | ToolEnded | Text | Report | Failed


class Agent(Protocol):
    """Something that answers. Its name is the catalog's."""

    def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Answer one turn, event by event."""
