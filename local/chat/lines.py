"""Frames as plain lines of text, and the cleaning that keeps a frame from driving the terminal. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Payload = dict[str, Any]

# Everything that moves a cursor, rings, answers back, reverses the reading direction, or cannot be encoded.
_UNSAFE = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_QUESTION_CHARACTERS = 200  # the sender knows the rest


def clean(value: object) -> str:
    """Any value of a frame as text that only prints: tabs and line ends stay, other control characters go."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(value: object) -> str:
    """As `clean`, with line ends shown as \\n."""
    return clean(value).replace("\n", "\\n").replace("\t", " ")


def line(frame: dict[str, Any]) -> str:
    """A frame as one line: its type, two spaces, and what a person wants to know of it."""
    words = _DESCRIBE.get(frame["type"], _anything)(frame["payload"])
    return f"{one_line(frame['type'])}  {' '.join(one_line(word) for word in words if word not in (None, ''))}"


def dollars(value: object) -> str:
    """An amount of money as frames carry it, a number or a decimal string."""
    try:
        return f"${float(str(value)):,.2f}"
    except ValueError:
        return one_line(value)


def recommendations(payload: Payload) -> list[tuple[str, str, str]]:
    """Title, detail and savings of each recommendation of a final_report, whatever shape they have."""
    listed = payload.get("recommendations")
    return [_recommendation(each) for each in listed] if isinstance(listed, list) else []


def action_plan(payload: Payload) -> list[str]:
    """The steps of a final_report's plan."""
    listed = payload.get("action_plan")
    return [one_line(step) for step in listed] if isinstance(listed, list) else []


def _recommendation(value: object) -> tuple[str, str, str]:
    if not isinstance(value, dict):
        return one_line(value), "", ""
    savings = value.get("savings_usd")
    title = value.get("title") or {key: each for key, each in value.items() if key not in {"detail", "savings_usd"}}
    return one_line(title), one_line(value.get("detail")), "" if savings is None else dollars(savings)


def _user_message(payload: Payload) -> list[object]:
    text = one_line(payload.get("content"))
    return [text if len(text) <= _QUESTION_CHARACTERS else f"{text[:_QUESTION_CHARACTERS]}..."]


def _started(payload: Payload) -> list[object]:
    attempt = payload.get("attempt")
    return [payload.get("agent_name"), f"attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else None]


def _tool_completed(payload: Payload) -> list[object]:
    return [
        payload.get("tool_name"),
        payload.get("outcome"),
        f"{payload.get('duration_ms')} ms",
        payload.get("result_preview"),
    ]


def _error_of_agent(payload: Payload) -> list[object]:
    return [payload.get("user_message") or payload.get("message"), payload.get("suggested_action")]


def _final_report(payload: Payload) -> list[object]:
    found = [" ".join(filter(None, each)) for each in recommendations(payload)]
    return [payload.get("content"), *(f"| {each}" for each in found)]


def _snapshot(payload: Payload) -> list[object]:
    messages = payload.get("messages")
    return [f"{len(messages) if isinstance(messages, list) else 0} messages, up to event {payload.get('seq')}"]


def _anything(payload: Payload) -> list[object]:
    return [payload or None]


_DESCRIBE: dict[str, Callable[[Payload], list[object]]] = {
    "user_message": _user_message,
    "agent_started": _started,
    "agent_thinking": lambda payload: [payload.get("thought")],
    "tool_executing": lambda payload: [payload.get("tool_name"), payload.get("arguments")],
    "tool_completed": _tool_completed,
    "partial_result": lambda payload: [payload.get("content")],
    "agent_error": _error_of_agent,
    "agent_recovery": lambda payload: [payload.get("kind")],
    "agent_completed": lambda payload: [
        payload.get("agent_name"),
        payload.get("outcome"),
        f"{payload.get('duration_ms')} ms",
    ],
    "final_report": _final_report,
    "thread_snapshot": _snapshot,
    "disconnect": lambda payload: [payload.get("code"), payload.get("reason")],
    "error": lambda payload: [payload.get("code"), payload.get("message")],
}
