"""Stream events: in the thread's log, with seq."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType, field

from agentsocket.protocol.payload import JSONObject, Payload


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
    recommendations: list[JSONObject] = field(default_factory=list)
    action_plan: list[str] = field(default_factory=list)
    bytes: int | UnsetType = UNSET
    sha256: str | UnsetType = UNSET
    truncated: bool = False
