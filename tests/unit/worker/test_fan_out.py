"""Send queues: heartbeats in a silence, and connections that do not keep up. More of them is in `test_relay.py`."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.waiting import TIME_FACTOR, until
from tests.support.world import World

LIMITS = Limits(look_every_ms=5, tail_max_events=10, post_backoff_ms=1, drain_s=1)


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Text("a"), 60.0]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
async def silent(world, ada):
    """A running run with three events and no more for now."""
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) == 3)
    yield accepted
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def heartbeats(world, connection_id):
    return [frame for frame in world.sockets.posted[connection_id] if frame["type"] == "heartbeat"]


async def test_a_silent_run_sends_a_heartbeat_every_quarter_minute(world, silent, clock):
    """B6."""
    for beat in (1, 2):
        clock.advance(LIMITS.heartbeat_s)
        await until(lambda: len(heartbeats(world, "a1")) >= beat)  # noqa: B023 (awaited within the round)
        await asyncio.sleep(0.05)
        assert len(heartbeats(world, "a1")) == beat
    last = heartbeats(world, "a1")[-1]
    assert last["payload"] == {"run_id": silent["run_id"]}
    assert last["thread_id"] == silent["thread_id"]
    assert "seq" not in last


async def test_a_run_with_events_sends_no_heartbeat(world, silent, clock):
    """B6."""
    clock.advance(LIMITS.heartbeat_s - 1)
    await asyncio.sleep(0.1)
    assert heartbeats(world, "a1") == []


async def test_a_run_that_has_not_begun_sends_no_heartbeat(world, ada, clock):
    """Its start may take long; no client must believe that it is running."""
    reached = asyncio.Event()
    offload = world.runtime.offload

    async def held(function, *args, **kwargs):
        if function.__name__ == "start":
            reached.set()
            await asyncio.sleep(60)
        return await offload(function, *args, **kwargs)

    world.runtime = replace(world.runtime, offload=held)
    world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await asyncio.wait_for(reached.wait(), 5 * TIME_FACTOR)
    clock.advance(LIMITS.heartbeat_s * 2)
    await asyncio.sleep(0.1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert world.sockets.posted["a1"] == []


class Gate:
    """A socket whose posts wait until it is opened; the others go through at once."""

    def __init__(self, runtime, connection_id):
        self._offload = runtime.offload
        self._connection_id = connection_id
        self.opened = asyncio.Event()

    async def offload(self, function, *args, **kwargs):
        if function.__name__ == "post" and args[0] == self._connection_id:
            await self.opened.wait()
        return await self._offload(function, *args, **kwargs)


async def test_a_connection_that_falls_far_behind_is_disconnected(world, ada):
    """J8: slow_consumer; the other one gets everything meanwhile, and the slow one's row is gone."""
    gate = Gate(world.runtime, "slow")
    world.connect(ada, "slow")
    first = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("a"), Report()])
    await world.work()
    world.say(ada, "slow", "subscribe", thread_id=first["thread_id"])
    world.runtime = replace(world.runtime, offload=gate.offload)
    world.agent = Scripted([*[Thinking(str(number)) for number in range(LIMITS.tail_max_events + 5)], 0.2, Report()])
    second = world.send(ada, "a1", "again", message_id="m2", thread_id=first["thread_id"])
    working = asyncio.create_task(world.work())
    before = len(world.sockets.events("a1"))
    await until(lambda: len(world.sockets.events("a1")) >= before + LIMITS.tail_max_events + 5)
    gate.opened.set()
    await asyncio.wait_for(working, 10 * TIME_FACTOR)
    said = world.sockets.posted["slow"][-1]
    assert (said["type"], said["payload"]["code"], said["payload"]["reconnect"]) == (
        "disconnect",
        "slow_consumer",
        True,
    )
    assert world.sockets.closed == ["slow"]
    live = world.storage.for_user(ada).connections.activity()
    assert [connection.connection_id for connection in live.connections] == ["a1"]
    events = [event for event in world.sockets.events("a1") if event["run_id"] == second["run_id"]]
    assert len(events) == LIMITS.tail_max_events + 5 + 4
    assert [event["seq"] for event in events] == list(range(events[0]["seq"], events[-1]["seq"] + 1))


async def test_a_slow_one_that_cannot_be_closed_keeps_its_row(world, ada):
    """Forgotten while it is open, nobody would watch it; its client asks again after 45 s of silence."""
    world.sockets.busy.add("a1")
    world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([*[Thinking(str(number)) for number in range(LIMITS.tail_max_events + 5)], 0.3, Report()])
    await asyncio.wait_for(world.work(), 10 * TIME_FACTOR)
    assert world.sockets.closed == []
    live = world.storage.for_user(ada).connections.activity()
    assert [connection.connection_id for connection in live.connections] == ["a1"]


async def test_a_connection_that_comes_late_to_a_long_run_is_no_slow_consumer(world, ada):
    """What the replay buffer has dropped before is in the log; its client asks for it."""
    first = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([*[Thinking(str(number)) for number in range(LIMITS.tail_max_events * 2)], 0.5, Report()])
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) >= LIMITS.tail_max_events * 2)
    world.connect(ada, "late")
    world.storage.for_user(ada).connections.subscribe("late", first["thread_id"], cursor=0)
    await asyncio.wait_for(working, 10 * TIME_FACTOR)
    assert world.sockets.closed == []
    assert world.sockets.events("late")[-1]["type"] == "final_report"
