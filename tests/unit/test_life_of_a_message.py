"""One message from `$connect` to `$disconnect` through the real steps and the real storage; only AWS is little."""

from __future__ import annotations

import pytest

from agentsocket import relay
from agentsocket.agents.contract import AgentEvent, Report, Text, Thinking, ToolEnded, ToolStarted
from agentsocket.inputs import SocketRequest
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage.user import Storage
from tests.support.fakes import Scripted
from tests.support.world import World

SCRIPT: list[AgentEvent] = [
    Thinking("Reading.", 1, 2),
    ToolStarted("1", "count", "3 lines"),
    ToolEnded("1", "count", "success", "3", 5),
    Text("Three "),
    Text("lines."),
    Report(recommendations=[{"title": "none"}], metrics={"rows": 3}),
]


@pytest.fixture
def world(storage: Storage, runtime: Runtime) -> World:
    return World(storage, runtime, Scripted(SCRIPT))


async def test_life_of_a_message(world: World, ada: Principal) -> None:
    """B1, B3, B5: every event type in the legal order, one terminal, the joined text is the final text."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "count this", message_id="m1")
    assert accepted["duplicate"] is False
    await world.work()

    events = world.sockets.events("a1")
    assert [event["type"] for event in events] == [
        "user_message",
        "agent_started",
        "agent_thinking",
        "tool_executing",
        "tool_completed",
        "partial_result",
        "partial_result",
        "agent_completed",
        "final_report",
    ]
    assert [event["seq"] for event in events] == list(range(1, 10))
    assert {event["run_id"] for event in events} == {accepted["run_id"]}
    partials = [event["payload"]["content"] for event in events if event["type"] == "partial_result"]
    assert "".join(partials) == events[-1]["payload"]["content"] == "Three lines."

    relay.disconnect(SocketRequest(ada, "a1"), storage=world.storage)
    assert world.storage.for_user(ada).connections.activity().connections == []
