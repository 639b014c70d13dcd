"""The port for agents: what one gets (a `Turn`) and what it yields (`AgentEvent`s). It sees nothing of the server.

An agent has no store, no socket and no queue to misuse. Tools run at least once: `Turn.run_id` and the tool call's id
make them idempotent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct, field


class HistoryMessage(Struct, frozen=True):
    """One earlier message of the thread; long ones are cut."""

    role: str
    content: str


class Turn(Struct, frozen=True):
    """One message to reply to. `context` is data that came with it.

    `remembered` is what is remembered under the names that the agent declares, an empty object where nothing is.
    """

    run_id: str
    text: str
    history: Sequence[HistoryMessage] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    remembered: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Thinking(Struct, frozen=True):
    """A step of reasoning, for people."""

    thought: str
    step: int | None = None
    total_steps: int | None = None


class ToolStarted(Struct, frozen=True):
    """A tool call begins; `arguments` is shown to people, cut to 2 KB."""

    call_id: str
    name: str
    arguments: str


class ToolEnded(Struct, frozen=True):
    """The tool call `call_id` has ended; `result` is shown to people, cut to 2 KB."""

    call_id: str
    name: str
    outcome: Literal["success", "error"]
    result: str
    duration_ms: int


class Text(Struct, frozen=True):
    """The next piece of the agent's text."""

    delta: str


class Remember(Struct, frozen=True):
    """Change what is remembered under `name`, by an RFC 7386 merge patch: at once, and for the attempts after this one.

    A name that begins with `thread.` is the thread's own and ends with it; any other is the user's, in all threads;
    those that begin with `user.` clients see and change as well.
    """

    name: str
    patch: Mapping[str, Any]


class Used(Struct, frozen=True):
    """A model was called: what it wrote, in tokens, and what that cost, in millionths of a dollar."""

    output_tokens: int
    microdollars: int = 0


class Report(Struct, frozen=True):
    """What a turn results in, beside its text. At most one, at the end."""

    recommendations: Sequence[dict[str, Any]] = ()
    action_plan: Sequence[str] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Failed(Struct, frozen=True):
    """The agent cannot go on. `user_message` and `suggested_action` are shown to the person."""

    error_type: str
    message: str
    user_message: str
    suggested_action: str
    is_recoverable: bool = False


AgentEvent = Thinking | ToolStarted | ToolEnded | Text | Remember | Used | Report | Failed


class Agent(Protocol):
    """Something that replies to turns. Its name is the catalog's.

    An attribute `remembers`, a sequence of names, says what its turns are to bring as `remembered`, and what it may
    change by `Remember`.
    """

    def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Reply to one turn, event by event."""
