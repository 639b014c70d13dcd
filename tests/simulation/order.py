"""The order of one run, as protocol.md has it: what its events may be, and what they come to. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Frame = dict[str, Any]

TERMINAL = "agent_completed"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a thread's transcript, with its whole text."""

    message_id: str
    role: str
    text: str


def outcome_of(events: Sequence[Frame]) -> str | None:
    """How a run ended; None if it has not."""
    endings = [event for event in events if event["type"] == TERMINAL]
    return str(endings[-1]["payload"]["outcome"]) if endings else None


def run_violations(events: Sequence[Frame], answer: Sequence[Line] = ()) -> Iterator[str]:
    """What is wrong with a whole run's events, in order of seq (protocol.md, Order of one run), and its answer."""
    kinds = [event["type"] for event in events]
    if kinds[:2] != ["user_message", "agent_started"] or kinds.count("user_message") != 1:
        yield f"it begins with {kinds[:2]}"
    attempts = [event["payload"]["attempt"] for event in events if event["type"] == "agent_started"]
    if attempts != list(range(1, len(attempts) + 1)):
        yield f"its attempts are {attempts}"
    if kinds.count(TERMINAL) != 1:
        yield f"it has {kinds.count(TERMINAL)} endings"
        return
    success = outcome_of(events) == "success"
    if kinds[-2:] != [TERMINAL, "final_report"] if success else kinds[-1] != TERMINAL or "final_report" in kinds:
        yield f"it ends with {kinds[-2:]}"
        return
    if any(later["timestamp"] < earlier["timestamp"] for earlier, later in pairwise(events)):
        yield "its timestamps decrease"
    yield from _middle(events, attempts[-1] if attempts else 0)
    yield from _text(events, answer) if success else (["it failed, and has an answer"] if answer else [])


def _middle(events: Sequence[Frame], last_attempt: int) -> Iterator[str]:
    attempt, tools = 0, set[str]()
    for event in events:
        payload = event["payload"]
        if event["type"] == "agent_started":
            attempt, tools = payload["attempt"], set()
        elif "agent_id" in payload and payload["agent_id"] != f"{event['run_id']}.{attempt}":
            yield f"event {event['seq']} is of {payload['agent_id']}, while attempt {attempt} goes on"
        if event["type"] == "tool_executing":
            tools.add(payload["tool_call_id"])
        elif event["type"] == "tool_completed" and payload["tool_call_id"] not in tools:
            yield f"tool {payload['tool_call_id']} completes before it begins"
    if attempt != last_attempt:
        yield f"it ends in attempt {attempt} of {last_attempt}"


def _text(events: Sequence[Frame], answer: Sequence[Line]) -> Iterator[str]:
    """The joined partial results of the last attempt are the report's text and the transcript's."""
    report = events[-1]["payload"]
    text = ""
    for event in events:
        payload = event["payload"]
        if event["type"] == "partial_result" and payload["message_id"] == report["message_id"]:
            if payload["offset"] != len(text):
                yield f"event {event['seq']} has offset {payload['offset']} after {len(text)} characters"
            text += payload["content"]
    if report.get("truncated"):
        if report["sha256"] != hashlib.sha256(text.encode()).hexdigest():
            yield "the joined partial results are not the report's text"
    elif report["content"] != text:
        yield "the joined partial results are not the report's text"
    if [(line.message_id, line.text) for line in answer] != [(report["message_id"], text)]:
        yield f"the transcript has {len(answer)} answers of it, or another text"
