"""The wire, version 1: every payload that travels, in both directions, and the tables that name them (protocol.md).

One definition serves parsing and error messages (`frames.py`) and the published JSON Schema (`schema.py`).
"""

from __future__ import annotations

from agentsocket.protocol.commands import (
    ClientInfo,
    CommandId,
    Hello,
    Name,
    Ping,
    Position,
    RefreshToken,
    ResumePoint,
    SendMessage,
    Seq,
    Subscribe,
    Unsubscribe,
)
from agentsocket.protocol.control import (
    ActiveRun,
    Batch,
    DisconnectNotice,
    ErrorNotice,
    MessageAccepted,
    Pong,
    Subscribed,
    ThreadSnapshot,
    TokenExpiring,
    TokenRefreshed,
    Unsubscribed,
    Welcome,
)
from agentsocket.protocol.events import (
    AgentCompleted,
    AgentError,
    AgentStarted,
    AgentThinking,
    FinalReport,
    PartialResult,
    ToolCompleted,
    ToolExecuting,
    UserMessage,
)
from agentsocket.protocol.payload import JSONObject, Payload

COMMANDS: dict[str, type[Payload]] = {
    "hello": Hello,
    "user_message": SendMessage,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "refresh_token": RefreshToken,
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
    "token_refreshed": TokenRefreshed,
    "token_expiring": TokenExpiring,
    "pong": Pong,
    "disconnect": DisconnectNotice,
    "error": ErrorNotice,
}

__all__ = [
    "COMMANDS",
    "EVENTS",
    "CONTROL",
    "CommandId",
    "Name",
    "Seq",
    "JSONObject",
    "Payload",
    "ClientInfo",
    "Hello",
    "Ping",
    "Position",
    "RefreshToken",
    "ResumePoint",
    "SendMessage",
    "Subscribe",
    "Unsubscribe",
    "ActiveRun",
    "Batch",
    "DisconnectNotice",
    "ErrorNotice",
    "MessageAccepted",
    "Pong",
    "Subscribed",
    "ThreadSnapshot",
    "TokenExpiring",
    "TokenRefreshed",
    "Unsubscribed",
    "Welcome",
    "AgentCompleted",
    "AgentError",
    "AgentStarted",
    "AgentThinking",
    "FinalReport",
    "PartialResult",
    "ToolCompleted",
    "ToolExecuting",
    "UserMessage",
]
