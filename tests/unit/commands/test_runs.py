"""`stop_agent`: by run or by message; before the run, queued and running (delivery.md, Stop)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Text
from agentsocket.errors import BadRequest, Disconnect, NotFound, NotStoppable
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.waiting import TIME_FACTOR, until
from tests.support.world import World

LIMITS = Limits(look_every_ms=5)


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Text("so far"), 0.3, Text("too late"), 60.0]))
    world.connect(ada, "a1")
    return world


def ending(world, who, accepted):
    events, _ = world.storage.for_user(who).log(accepted["thread_id"]).events(after=0, limit=100)
    return [msgspec.json.decode(event.frame) for event in events]


async def worked(world):
    await asyncio.wait_for(world.work(), 10 * TIME_FACTOR)


@pytest.mark.parametrize("by", ["run_id", "message_id"])
async def test_a_running_run_is_stopped(world, ada, by):
    """J9: nothing of the model after the stop; the ending says so."""
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(worked(world))
    await until(lambda: len(world.sockets.events("a1")) == 3)
    assert world.say(ada, "a1", "stop_agent", **{by: accepted[by]}) == [{"run_id": accepted["run_id"]}]
    await working
    events = ending(world, ada, accepted)
    assert [event["type"] for event in events] == ["user_message", "agent_started", "partial_result", "agent_completed"]
    assert events[-1]["payload"]["outcome"] == "stopped"
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "stopped"
    assert world.sockets.events("a1")[-1]["type"] == "agent_completed"


async def test_a_queued_run_is_stopped_when_its_turn_comes(world, ada):
    """J9."""
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.say(ada, "a1", "stop_agent", run_id=accepted["run_id"])
    await worked(world)
    assert ending(world, ada, accepted)[-1]["payload"]["outcome"] == "stopped"


async def test_a_stop_that_overtakes_its_message_stops_it_too(world, ada):
    """J9."""
    [stopped] = world.say(ada, "a1", "stop_agent", message_id="m1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    assert accepted["run_id"] == stopped["run_id"]
    await worked(world)
    assert ending(world, ada, accepted)[-1]["payload"]["outcome"] == "stopped"


async def test_another_run_goes_on(world, ada):
    world.agent = Scripted([Text("done")])
    world.say(ada, "a1", "stop_agent", message_id="another")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await worked(world)
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "completed"


async def test_what_has_ended_cannot_be_stopped(world, ada):
    world.agent = Scripted([Text("done")])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await worked(world)
    for by in ("run_id", "message_id"):
        with pytest.raises(NotStoppable):
            world.say(ada, "a1", "stop_agent", **{by: accepted[by]})


async def test_nobody_stops_another_user_s_run(world, ada, bob):
    """E6: not found, as if it were nowhere; by message it is a message of one's own."""
    world.connect(bob, "b1")
    world.agent = Scripted([Text("done")])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    with pytest.raises(NotFound):
        world.say(bob, "b1", "stop_agent", run_id=accepted["run_id"])
    [own] = world.say(bob, "b1", "stop_agent", message_id="m1")
    assert own["run_id"] != accepted["run_id"]
    await worked(world)
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "completed"


@pytest.mark.parametrize("payload", [{}, {"run_id": "r", "message_id": "m"}])
def test_a_stop_names_one_thing(world, ada, payload):
    with pytest.raises(BadRequest, match="give exactly one of run_id and message_id"):
        world.say(ada, "a1", "stop_agent", **payload)


def test_a_revoked_token_stops_nothing(world, ada):
    """C3."""
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at)
    with pytest.raises(Disconnect):
        world.say(ada, "a1", "stop_agent", message_id="m1")
    assert world.storage.for_user(ada).connections.activity().stops == frozenset()


async def test_a_stop_that_precedes_its_message_is_soon_forgotten(world, ada, clock):
    """Every worker of the user reads it; a known run's is kept as long as the run may wait."""
    user = world.storage.for_user(ada)
    world.say(ada, "a1", "stop_agent", message_id="early")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.say(ada, "a1", "stop_agent", message_id="m1")
    clock.advance(LIMITS.early_stop_row_s)
    assert user.connections.activity().stops == {accepted["run_id"]}
    clock.advance(LIMITS.stop_row_s - LIMITS.early_stop_row_s)
    assert user.connections.activity().stops == frozenset()
