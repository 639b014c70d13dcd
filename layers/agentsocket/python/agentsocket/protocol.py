"""The wire, version 1: every payload that travels, in both directions, and the tables that name them (protocol.md).

One definition serves parsing and error messages (`frames.py`) and the published JSON Schema (`schema.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

# "$(?!\n)": in Python "$" alone also matches before a final newline, in ECMA-262 (JSON Schema) it does not.
CommandId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", max_length=64)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)", max_length=64)]
Seq = Annotated[int, Meta(ge=0, le=10**12 - 1)]
JSONObject = dict[str, Any]


class Payload(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands under `payload`: absent optional fields are absent on the wire, unknown ones are refused."""


# Commands: client to server.


class Position(Payload):
    """How far a client has seen a thread: everything up to `seq` of `epoch`."""

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Seq


class ResumePoint(Position):
    """A thread to resume, and from where."""

    thread_id: Name


class ClientInfo(Payload):
    """What the client calls itself, for the operator's logs."""

    name: Annotated[str, Meta(max_length=64)] = ""
    version: Annotated[str, Meta(max_length=64)] = ""


class Hello(Payload):
    """The first command: makes the connection live for pushes."""

    protocol: Literal[1]
    client: ClientInfo = field(default_factory=ClientInfo)
    resume: Annotated[list[ResumePoint], Meta(max_length=20)] = []


class SendMessage(Payload):
    """The command `user_message`. `message_id` is its idempotency key."""

    content: Annotated[str, Meta(min_length=1)]
    message_id: CommandId  # no dot: `<run_id>.<attempt>` is an answer's
    thread_id: Name | UnsetType = UNSET
    agent: Name | UnsetType = UNSET
    context: JSONObject = {}


class Subscribe(Payload):
    """Follow a thread; `since` asks for what came after it."""

    thread_id: Name
    since: Position | UnsetType = UNSET


class Unsubscribe(Payload):
    """Stop following a thread."""

    thread_id: Name


class Ping(Payload):
    """Keeps the connection from idling."""


# Stream events: in the thread's log, with seq.


class UserMessage(Payload):
    """The question, so that other devices see it. Over 24 KB: its start, with `bytes` and `sha256` of the whole."""

    message_id: str
    content: str
    bytes: int | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    truncated: bool = False


class AgentStarted(Payload):
    """An agent begins; `attempt` n+1 takes back the text of attempt n."""

    agent_name: str
    agent_id: str
    attempt: int
    parent_agent_id: str | UnsetType = UNSET


class AgentThinking(Payload):
    """A step of the agent's reasoning, for people."""

    agent_name: str
    agent_id: str
    thought: str
    step: int | UnsetType = UNSET
    total_steps: int | UnsetType = UNSET


class ToolExecuting(Payload):
    """A tool call begins; `arguments` is a preview of at most 2 KB."""

    agent_name: str
    agent_id: str
    tool_call_id: str
    tool_name: str
    arguments: str
    truncated: bool = False


class ToolCompleted(Payload):
    """The tool call `tool_call_id` has ended."""

    agent_name: str
    agent_id: str
    tool_call_id: str
    tool_name: str
    outcome: Literal["success", "error"]
    result_preview: str
    duration_ms: int


class PartialResult(Payload):
    """A piece of the answer `message_id`; `offset` counts the characters before it."""

    agent_name: str
    agent_id: str
    message_id: str
    offset: int
    content: str
    is_complete: bool


class AgentError(Payload):
    """The agent met a fault; `user_message` and `suggested_action` are for the person."""

    agent_name: str
    agent_id: str
    error_type: str
    message: str
    user_message: str
    is_recoverable: bool
    suggested_action: str
    retry_after_ms: int | UnsetType = UNSET


class AgentCompleted(Payload):
    """The agent has ended; the root agent's is the run's one terminal event."""

    agent_name: str
    agent_id: str
    outcome: Literal["success", "stopped", "error", "timeout"]
    duration_ms: int
    usage: JSONObject | UnsetType = UNSET


class FinalReport(Payload):
    """The last event of a successful run. Over 24 KB: the text's start, with `bytes` and `sha256` of the whole."""

    message_id: str
    content: str
    agent_metrics: JSONObject
    total_duration_ms: int
    recommendations: list[JSONObject] = []
    action_plan: list[str] = []
    bytes: int | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    truncated: bool = False


# Control frames: server to client, no seq.


class Welcome(Payload):
    """Answers `hello`: the connection is live. `expires_at` is the token's end, in seconds since the epoch."""

    connection_id: str
    user_id: str
    expires_at: int
    max_message_bytes: int
    ping_interval_s: int


class MessageAccepted(Payload):
    """Answers `user_message`: the run exists and will end, whatever happens to this connection."""

    thread_id: str
    epoch: str
    run_id: str
    message_id: str
    duplicate: bool


class ActiveRun(Payload):
    """A run under way: the text of its newest attempt so far."""

    run_id: str
    message_id: str
    content: str
    truncated: bool = False


class Subscribed(Payload):
    """Answers `subscribe`: with `recovered`, batches follow up to `seq`; without, a `thread_snapshot`."""

    thread_id: str
    epoch: str
    seq: int
    recovered: bool
    reason: Literal["epoch", "trimmed", "limit"] | UnsetType = UNSET


class Unsubscribed(Payload):
    """Answers `unsubscribe`."""

    thread_id: str


class Batch(Payload):
    """A page of a replay, at most 30 KB: frames as they were in the log."""

    events: list[Raw]
    more: bool


class ThreadSnapshot(Payload):
    """A thread as of `seq`, for who cannot replay: the newest messages, and the run under way."""

    messages: list[JSONObject]
    epoch: str
    seq: int
    active_run: ActiveRun | UnsetType = UNSET


class Pong(Payload):
    """Answers `ping`."""


class DisconnectNotice(Payload):
    """Why the connection is about to be closed (API Gateway cannot send a close code of ours)."""

    code: str
    reason: str
    reconnect: bool
    retry_after_ms: int | UnsetType = UNSET


class ErrorNotice(Payload):
    """A command failed; `field` names the part of the frame that is to blame."""

    code: str
    message: str
    temporary: bool
    field: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET


COMMANDS: dict[str, type[Payload]] = {
    "hello": Hello,
    "user_message": SendMessage,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}
EVENTS: dict[str, type[Payload]] = {
    "user_message": UserMessage,
    "agent_started": AgentStarted,
    "agent_thinking": AgentThinking,
    "tool_executing": ToolExecuting,
    "tool_completed": ToolCompleted,
    "partial_result": PartialResult,
    "agent_error": AgentError,
    "agent_completed": AgentCompleted,
    "final_report": FinalReport,
}
CONTROL: dict[str, type[Payload]] = {
    "welcome": Welcome,
    "message_accepted": MessageAccepted,
    "subscribed": Subscribed,
    "unsubscribed": Unsubscribed,
    "batch": Batch,
    "thread_snapshot": ThreadSnapshot,
    "pong": Pong,
    "disconnect": DisconnectNotice,
    "error": ErrorNotice,
}
