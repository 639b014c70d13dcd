"""One frame: building, reading and cutting it into pieces. What frames mean together is not here (`session`)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, TypeAlias, TypedDict

from agentsocket_client.errors import CommandFailed

Frame: TypeAlias = dict[str, Any]
Payload: TypeAlias = dict[str, Any]

EVENTS = frozenset(
    {
        "user_message",
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "partial_result",
        "agent_error",
        "agent_recovery",
        "agent_completed",
        "final_report",
    }
)

# Pushes without seq that the person at the client should know of.
NOTICES = frozenset({"token_expiring", "thread_created", "thread_renamed", "thread_deleted", "context"})

# Commands that follow a thread.
FOLLOWING = frozenset({"subscribe", "switch_thread"})

# Commands that may overtake others: they write nothing, or (stop_agent, refresh_token) nothing may hold them up.
UNORDERED = frozenset(
    {
        "ping",
        "stop_agent",
        "refresh_token",
        "get_health",
        "get_content",
        "get_context",
        "get_thread_history",
        "list_threads",
    }
)


class Position(TypedDict):
    """How far a thread has been read: everything up to `seq` of `epoch`. No epoch: the server has named none yet."""

    epoch: str | None
    seq: int


class ResumePoint(TypedDict):
    """A thread to go on with, and from where."""

    thread_id: str
    epoch: str
    seq: int


def new_id() -> str:
    """An id for a command or a message."""
    return uuid.uuid4().hex


def command(kind: str, payload: Payload) -> Frame:
    """A command frame with an id of its own."""
    return {"type": kind, "id": new_id(), "payload": payload}


def encode(frame: Frame, *, limit_bytes: int) -> str:
    """The frame's text. Raises CommandFailed `too_large` beyond `limit_bytes`, `bad_request` for what is not JSON."""
    try:
        text = json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:  # NaN, a lone surrogate, an object that JSON does not have
        raise CommandFailed("bad_request", f"the {frame['type']} is not JSON: {type(error).__name__}") from None
    if size > limit_bytes:
        raise CommandFailed("too_large", f"the {frame['type']} has {size:,} bytes; at most {limit_bytes:,} can be sent")
    return text


def decode(text: str | bytes) -> Frame | None:
    """The frame, or None for what is none: this client ignores what it does not know.

    API Gateway's own error, which has neither type nor payload, is a frame too (`is_gateway_fault`).
    """
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, dict):
        return None
    return frame if is_gateway_fault(frame) or is_frame(frame) else None


def is_frame(value: object) -> bool:
    """Whether `value` has the envelope's two required fields."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and isinstance(value.get("payload"), dict)


def is_gateway_fault(frame: Frame) -> bool:
    """API Gateway's own `{"message", "connectionId", "requestId"}`: some command failed, it does not say which."""
    return "type" not in frame and "connectionId" in frame and "requestId" in frame


def fragments(text: str, *, limit_bytes: int) -> str | list[str]:
    """`text` itself if it fits one WebSocket frame of `limit_bytes`, else pieces of it that do."""
    data = text.encode()
    return text if len(data) <= limit_bytes else list(_pieces(data, limit_bytes))


def _pieces(data: bytes, limit_bytes: int) -> Iterator[str]:
    start = 0
    while start < len(data):
        end = min(start + limit_bytes, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:  # never inside a character (UTF-8 continuation byte)
            end -= 1
        yield data[start:end].decode()
        start = end
