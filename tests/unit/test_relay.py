"""The steps of a message's life: what is accepted and queued, and which connections get the events."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.errors import BadRequest
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits()
ENDING = ["agent_completed", "final_report"]


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Thinking("a"), Text("one "), Text("two"), Report()]))


def kinds(events):
    return [event["type"] for event in events]


async def test_every_subscribed_device_gets_the_same_events_in_the_same_order(world, ada):
    """E8."""
    world.connect(ada, "a1")
    world.connect(ada, "a2")
    first = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    assert world.sockets.events("a2") == []
    world.say(ada, "a2", "subscribe", thread_id=first["thread_id"], since={"epoch": first["epoch"], "seq": 7})
    world.send(ada, "a1", "again", message_id="m2", thread_id=first["thread_id"])
    await world.work()
    second_run = world.sockets.events("a1")[7:]
    assert second_run == world.sockets.events("a2")
    assert [event["seq"] for event in second_run] == list(range(8, 15))


async def test_another_user_gets_nothing(world, ada, bob):
    """E1."""
    world.connect(ada, "a1")
    world.connect(bob, "b1")
    world.send(ada, "a1", "hi", message_id="m1")
    world.send(bob, "b1", "ho", message_id="m1")
    await world.work()
    await world.work()
    runs = [{event["run_id"] for event in world.sockets.events(c)} for c in ("a1", "b1")]
    assert [len(run) for run in runs] == [1, 1]
    assert runs[0] != runs[1]
    assert world.sockets.events("a1")[0]["payload"]["content"] == "hi"


async def test_a_connection_that_is_not_live_gets_no_push(world, ada, storage, clock):
    storage.for_user(ada).connections.open("a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    assert world.sockets.events("a1") == []


async def test_a_gone_connection_is_forgotten_and_the_run_goes_on(world, ada):
    world.connect(ada, "a1")
    world.connect(ada, "a2")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.sockets.gone.add("a1")
    await world.work()
    assert [c.connection_id for c in world.storage.for_user(ada).connections.activity().connections] == ["a2"]
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "completed"


async def test_an_expired_connection_gets_no_push(world, ada, clock):
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    clock.advance(900 + LIMITS.token_grace_s + 1)
    await world.work()
    assert world.sockets.events("a1") == []


async def test_a_throttled_connection_delays_no_other(world, ada):
    """J8."""
    world.runtime = replace(world.runtime, limits=Limits(drain_s=1))
    world.connect(ada, "a1")
    world.connect(ada, "a2")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    for device in ("a1", "a2"):
        world.say(ada, device, "subscribe", thread_id=accepted["thread_id"])
    world.sockets.busy.add("a1")
    world.send(ada, "a2", "again", message_id="m2", thread_id=accepted["thread_id"])
    await world.work()
    assert kinds(world.sockets.events("a2"))[-1] == "final_report"
    assert len(world.sockets.events("a1")) == 7


async def test_a_retry_queues_a_run_that_is_not_running_yet(world, ada):
    """delivery.md, Accept: the crash between put and send heals on the client's retry."""
    world.connect(ada, "a1")
    first = world.send(ada, "a1", "hi", message_id="m1")
    world.queue.waiting.clear()
    world.queue.seen.clear()
    again = world.send(ada, "a1", "hi", message_id="m1")
    assert (again["run_id"], again["duplicate"]) == (first["run_id"], True)
    await world.work()
    assert kinds(world.sockets.events("a1"))[-1] == "final_report"


async def test_a_retry_of_a_finished_run_queues_nothing(world, ada):
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    world.queue.seen.clear()
    world.send(ada, "a1", "hi", message_id="m1")
    assert world.queue.waiting == []


async def test_an_agent_that_is_not_listed_is_refused(world, ada):
    world.connect(ada, "a1")
    with pytest.raises(BadRequest) as refused:
        world.send(ada, "a1", "hi", message_id="m1", agent="os.system")
    assert refused.value.field == "payload.agent"
    assert refused.value.message == "unknown agent `os.system`; allowed: usage_analyst"


async def test_ping_gets_its_reply_and_writes_nothing(world, ada):
    assert world.say(ada, "nowhere", "ping") == [{}]
