"""The agent of docs/agents.md, run as it stands there."""

from __future__ import annotations

from typing import Any

import msgspec

from agentsocket.agents import runner
from agentsocket.agents.contract import AgentEvent, Remember, Text, Thinking, Turn
from tests.support.pages import blocks, text

AGENT, _, TESTED = [block.text for block in blocks("docs/agents.md") if block.kind == "python"]


def names() -> dict[str, Any]:
    """What the page's agent and its test define."""
    found: dict[str, Any] = {}
    exec(AGENT + TESTED, found)  # noqa: S102 (our own page)
    return found


async def test_the_agent_of_the_page_answers_and_remembers():
    async def turn(remembers):
        return Turn("run-1", "hello", remembered={name: {} for name in remembers})

    said = [event async for event in runner.events(names()["Parrot"], turn, name="parrot")]
    assert said == [
        Thinking("Repeating, for the 1. time."),
        Text("hello"),
        Remember("thread.count", {"times": 1}),
    ]


async def test_the_pages_own_test_of_it_works():
    assert (await names()["events"]("hello"))[-1] == Remember("thread.count", {"times": 2})


def test_the_tables_name_every_field_of_a_turn_and_every_event():
    fields = msgspec.structs.fields(Turn)
    assert all(f"| `{field.name}` |" in text("docs/agents.md") for field in fields)
    events = [event.__name__ for event in AgentEvent.__args__]
    assert all(f"| `{name}(" in text("docs/agents.md") for name in events)
