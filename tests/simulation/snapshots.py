"""What a `thread_snapshot` says, against the log that it stands in for (protocol.md, Resume). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tests.simulation.order import TERMINAL, Frame, Line

_SAYING = ("user_message", "final_report")
_MOST = 50  # messages in a snapshot
_FULL_BYTES = 8 * 1024  # a snapshot that leaves messages out is larger: two thirds of a frame, but for one preview


def snapshot_violations(payload: Frame, events: Sequence[Frame], transcript: Sequence[Line]) -> Iterator[str]:
    """What is wrong in a snapshot's payload: its messages, and the text of a run that was under way at its seq."""
    before = [event for event in events if event["seq"] <= payload["seq"]]
    yield from _messages(payload, [event for event in before if event["type"] in _SAYING], transcript)
    if "active_run" in payload:
        yield from _active(payload["active_run"], before)


def _messages(payload: Frame, said: Sequence[Frame], transcript: Sequence[Line]) -> Iterator[str]:
    """They are the newest ones, and as many as fit."""
    shown = payload["messages"]
    newest = [(event["payload"]["message_id"], event["seq"]) for event in said[max(0, len(said) - len(shown)) :]]
    if [(message["message_id"], message["seq"]) for message in shown] != newest:
        yield f"it shows messages {[message['message_id'] for message in shown]}, the newest are {newest}"
    elif len(shown) < min(len(said), _MOST) and len(json.dumps(payload)) < _FULL_BYTES:
        yield f"it shows {len(shown)} of {len(said)} messages"
    texts = {line.message_id: line for line in transcript}
    for message in shown:
        line = texts.get(message["message_id"])
        if line is None or not _is_of(message, line):
            yield f"what it shows of message {message['message_id']} is not in the transcript"


def _is_of(message: dict[str, Any], line: Line) -> bool:
    start = line.text[: len(message["content"])] if message.get("truncated") else line.text
    return bool(message["role"] == line.role and message["content"] == start)


def _active(active: dict[str, Any], before: Sequence[Frame]) -> Iterator[str]:
    mine = [event for event in before if event["run_id"] == active["run_id"]]
    if any(event["type"] == TERMINAL for event in mine):  # there may be none: it may have begun just after
        yield f"run {active['run_id']} is not under way"
    said = [event["payload"] for event in mine if event["type"] == "partial_result"]
    text = "".join(each["content"] for each in said if each["message_id"] == active["message_id"])
    if active["content"] != (text[: len(active["content"])] if active.get("truncated") else text):
        yield f"run {active['run_id']} has said {text[:40]!r}, and not {active['content'][:40]!r}"
