"""Coalescing: when text goes out. What goes out is shown in test_relay.py."""

from __future__ import annotations

import asyncio

import pytest

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.limits import Limits
from agentsocket.worker.publisher import flush_interval_s
from tests.support.fakes import Scripted
from tests.support.waiting import until
from tests.support.world import World


@pytest.mark.parametrize(("age", "interval"), [(0, 0.1), (0.999, 0.1), (1.0, 0.25), (60, 0.25)])
def test_text_is_gathered_briefly_at_first_and_longer_later(age, interval):
    assert flush_interval_s(age, Limits()) == interval


def partials(world):
    return [e["payload"]["content"] for e in world.sockets.events("a1") if e["type"] == "partial_result"]


async def run(storage, runtime, ada, script):
    world = World(storage, runtime, Scripted(script))
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    return world


async def test_the_first_delta_goes_out_at_once_and_the_next_are_gathered(storage, runtime, ada):
    world = await run(storage, runtime, ada, [*(Text(f"{n} ") for n in range(50)), Report()])
    assert partials(world) == ["0 ", "".join(f"{n} " for n in range(1, 50))]


async def test_text_comes_before_the_event_that_follows_it(storage, runtime, ada):
    world = await run(storage, runtime, ada, [Text("a"), Text("b"), Thinking("c"), Text("d"), Report()])
    kinds = [e["type"] for e in world.sockets.events("a1")]
    assert kinds[2:6] == ["partial_result", "partial_result", "agent_thinking", "partial_result"]
    assert partials(world) == ["a", "b", "d"]


async def test_gathered_text_goes_out_while_the_agent_is_silent(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("a"), Text("b"), 60.0]))
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await until(lambda: partials(world) == ["a", "b"])
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert partials(world) == ["a", "b"]


async def test_the_last_piece_says_that_it_is_the_last(storage, runtime, ada):
    world = await run(storage, runtime, ada, [Text("all"), Thinking("done"), Report()])
    complete = [e["payload"]["is_complete"] for e in world.sockets.events("a1") if e["type"] == "partial_result"]
    assert complete == [False, True]
    assert "".join(partials(world)) == "all"
