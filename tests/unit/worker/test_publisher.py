"""What the publisher writes: when text goes out, in which frames, and with which timestamps."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.limits import Limits
from agentsocket.worker.publisher import flush_interval_s
from tests.support.fakes import Scripted
from tests.support.waiting import until
from tests.support.world import World

LIMITS = Limits()


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Text("one "), Text("two"), Report()]))


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


async def test_a_long_question_reaches_the_agent_whole_and_the_devices_by_its_start(world, ada):
    long = "zeile, " * 10_000
    world.connect(ada, "a1")
    world.send(ada, "a1", long, message_id="m1")
    await world.work()
    assert world.agent.turns[0].text == long
    question = world.sockets.events("a1")[0]["payload"]
    assert question["truncated"] is True
    assert question["bytes"] == len(long)
    assert len(question["content"]) <= LIMITS.preview_bytes


async def test_a_long_answer_travels_in_frames_that_fit(world, ada):
    answer = '"quoted"\n' * 20_000
    world.agent = Scripted([Text(answer), Report()])
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    events = world.sockets.events("a1")
    partials = [event["payload"] for event in events if event["type"] == "partial_result"]
    assert "".join(partial["content"] for partial in partials) == answer
    offsets = [sum(len(p["content"]) for p in partials[:n]) for n in range(len(partials))]
    assert [partial["offset"] for partial in partials] == offsets
    assert [partial["is_complete"] for partial in partials] == [False] * (len(partials) - 1) + [True]
    report = events[-1]["payload"]
    assert (report["truncated"], report["bytes"]) == (True, len(answer))
    assert all(len(json.dumps(event)) <= LIMITS.max_outbound_frame_bytes for event in events)


async def test_timestamps_never_decrease_within_a_run(world, ada, clock):
    """B4: also when the machine's clock steps back."""
    world.agent = Scripted([Thinking("a"), Text("b"), Report()])
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    original = world.agent.run

    async def stepping(turn):
        async for event in original(turn):
            clock.advance(-1)
            yield event

    world.agent.run = stepping
    await world.work()
    stamps = [event["timestamp"] for event in world.sockets.events("a1")]
    assert stamps == sorted(stamps)
    assert len({event["run_id"] for event in world.sockets.events("a1")}) == 1
