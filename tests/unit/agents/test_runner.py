"""Code that is not ours runs here: it may yield, raise, or never come to be."""

from __future__ import annotations

import asyncio
import logging

import pytest

from agentsocket.agents import runner
from agentsocket.agents.contract import Failed, Text, Turn
from agentsocket.errors import Unavailable
from tests.support.fakes import Scripted

SECRET = "what the user said"


class Tool:
    """Declares what it remembers, and records whether it was closed."""

    remembers = ("user.likes", "thread.plan")

    def __init__(self):
        self.closed = False

    async def run(self, turn):
        try:
            while True:
                yield Text(turn.text)
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def turn_for(_names):
    return Turn("r", SECRET)


def events(agent, turn_for=turn_for):
    return runner.events(lambda: agent, turn_for, name="scripted")


async def collected(stream):
    return [event async for event in stream]


async def test_what_an_agent_yields_comes_in_its_order():
    agent = Scripted([Text("a"), Text("b")])
    assert await collected(events(agent)) == [Text("a"), Text("b")]
    assert agent.turns == [Turn("r", SECRET)]


async def test_what_an_agent_raises_is_its_last_event_and_quotes_nothing(caplog):
    """security.md, Logs: the text of a stranger's exception may hold the user's message."""
    got = await collected(events(Scripted([Text("a"), RuntimeError(SECRET)])))
    assert got[0] == Text("a")
    [failed] = got[1:]
    assert isinstance(failed, Failed)
    assert (failed.error_type, failed.is_recoverable) == ("internal", False)
    assert SECRET not in str(failed)
    [record] = caplog.records
    assert (record.message, record.agent, record.error) == ("agent_failed", "scripted", "RuntimeError")
    assert record.exc_info is None
    assert SECRET not in str(vars(record))


async def test_an_agent_that_cannot_be_made_fails_likewise(caplog):
    def missing():
        raise ImportError("no such library")

    [failed] = await collected(runner.events(missing, turn_for, name="scripted"))
    assert isinstance(failed, Failed)
    assert [(record.levelno, record.error) for record in caplog.records] == [(logging.ERROR, "ImportError")]


@pytest.mark.parametrize(("agent", "names"), [(Tool(), Tool.remembers), (Scripted([]), ())], ids=["some", "none"])
async def test_a_turn_is_made_with_what_the_agent_declares(agent, names):
    asked = []

    async def recording(declared):
        asked.append(tuple(declared))
        return Turn("r", "hi")

    stream = events(agent, recording)
    await anext(stream, None)
    await stream.aclose()
    assert asked == [names]


async def test_a_turn_that_cannot_be_made_is_no_fault_of_the_agent():
    """The worker leaves such a run in the queue."""

    async def unavailable(_names):
        raise Unavailable("the table does not answer")

    agent = Scripted([Text("a")])
    with pytest.raises(Unavailable):
        await collected(events(agent, unavailable))
    assert agent.turns == []


async def test_whoever_stops_listening_closes_the_agent():
    """What it holds open, a connection to a model, ends with the run."""
    agent = Tool()
    stream = events(agent)
    assert await anext(stream) == Text(SECRET)
    assert not agent.closed
    await stream.aclose()
    assert agent.closed


async def test_a_cancelled_run_is_no_failure(caplog):
    agent = Tool()

    async def listen():
        return [event async for event in events(agent)]

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.closed
    assert caplog.records == []
