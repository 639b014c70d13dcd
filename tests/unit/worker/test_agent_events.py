"""What becomes of an agent's events: published within limits, remembered, charged; until it ends or must stop."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Failed, Remember, Report, Text, Thinking, ToolEnded, ToolStarted, Used
from agentsocket.errors import ThreadDeleted
from agentsocket.limits import Limits
from agentsocket.protocol import messages
from agentsocket.worker.agent_events import AgentLoop, Ending, within_budget
from agentsocket.worker.lease_renewal import Deadline
from tests.support.fakes import Scripted
from tests.support.waiting import TIME_FACTOR
from tests.support.world import World

LIMITS = Limits()


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Thinking("a"), Text("one "), Text("two"), Report()]))


@pytest.fixture
def job(world, ada):
    world.connect(ada, "a1")
    return world.job(ada, world.send(ada, "a1", "hi", message_id="m1"))


def kinds(events):
    return [event["type"] for event in events]


async def test_a_report_that_would_not_fit_a_frame_is_cut_and_the_text_is_not(world, ada):
    advice = [{"title": "x" * 500} for _ in range(100)]
    world.agent = Scripted([Text("y" * 20_000), Report(recommendations=advice, action_plan=["z" * 500] * 100)])
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    report = world.sockets.events("a1")[-1]
    assert len(json.dumps(report)) <= LIMITS.max_outbound_frame_bytes
    assert report["payload"]["content"] == "y" * 20_000
    assert 0 < len(report["payload"]["recommendations"]) < 100


async def test_a_deadline_does_not_cut_into_an_append(storage, runtime, ada):
    """What is in the log is pushed, also when time ran out while it was being written."""

    async def offload(function, *args, **kwargs):
        result = function(*args, **kwargs)
        await asyncio.sleep(1.5 if getattr(function, "__name__", "") == "append" else 0)
        return result

    slow = replace(runtime, limits=Limits(run_deadline_s=1), offload=offload)
    world = World(storage, slow, Scripted([Thinking("a"), Thinking("b"), 60.0]))
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    events = world.sockets.events("a1")
    assert kinds(events)[2:] == ["agent_thinking", "agent_completed"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[-1]["payload"]["outcome"] == "timeout"


async def test_an_answer_without_end_is_ended(world, ada):
    world.agent = Scripted([*(Text("x" * 100_000) for _ in range(11)), Report()])
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    error, completed = world.sockets.events("a1")[-2:]
    assert (error["payload"]["error_type"], completed["payload"]["outcome"]) == ("answer_too_long", "error")


async def test_whatever_an_agent_says_fits_a_frame(world, ada):
    big = "\u0001" * 40_000
    world.agent = Scripted(
        [
            Thinking(big),
            ToolStarted(big, big, big),
            ToolEnded(big, big, "error", big, 1),
            Failed(big, big, big, big),
        ]
    )
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    events = world.sockets.events("a1")
    assert kinds(events)[2:] == ["agent_thinking", "tool_executing", "tool_completed", "agent_error", "agent_completed"]
    assert all(len(json.dumps(event)) <= LIMITS.max_outbound_frame_bytes for event in events)


class Stopping:
    """A publisher whose run is stopped while it publishes."""

    def __init__(self, deadline):
        self.deadline = deadline
        self.published = []

    async def text(self, delta):
        self.published.append(delta)
        self.deadline.stop()


@pytest.mark.parametrize("during", ["the agent's work", "ours"])
async def test_a_stop_is_heeded_whenever_it_comes(job, during):
    """J9: what comes at the very moment of the stop comes too late, and nobody waits for more."""
    deadline = Deadline(asyncio.get_running_loop().time() + 3600)
    publisher: Any = Stopping(deadline)

    async def events():
        if during == "the agent's work":
            deadline.stop()
        yield Text("said")
        await asyncio.Event().wait()

    loop = AgentLoop(job, publisher, deadline, asyncio.create_task)
    ending = await asyncio.wait_for(loop.run(events()), 10 * TIME_FACTOR)
    assert ending == Ending("stopped")
    assert publisher.published == ([] if during == "the agent's work" else ["said"])


class Recording:
    """A publisher that keeps what it is given."""

    def __init__(self):
        self.text_so_far = ""
        self.published = []

    async def text(self, delta):
        self.text_so_far += delta

    async def event(self, payload_of, **fields):
        self.published.append((payload_of, fields))


async def ended(job, *script, declared=(), limits=None):
    """How a loop over these events ends, and what it has published."""
    job = job if limits is None else dataclasses.replace(job, runtime=replace(job.runtime, limits=limits))
    publisher: Any = Recording()
    loop = AgentLoop(job, publisher, Deadline(asyncio.get_running_loop().time() + 3600), asyncio.create_task)
    loop.declared = declared

    async def events():
        for event in script:
            yield event

    return await loop.run(events()), publisher


async def test_an_agent_that_ends_has_succeeded_with_its_report(job):
    ending, publisher = await ended(job, Text("a"), Text("b"), Report(action_plan=["rest"], metrics={"n": 1}))
    assert (ending.outcome, publisher.text_so_far, publisher.published) == ("success", "ab", [])
    assert (ending.report.action_plan, ending.report.agent_metrics) == (["rest"], {"n": 1})
    assert ending.report.message_id == job.message_id
    assert ending.usage is None, "no model was called"


async def test_nothing_is_published_after_a_failure(job):
    failed = Failed("internal", "m", "It broke.", "Again.")
    ending, publisher = await ended(job, Text("a"), failed, Text("never"))
    assert (ending, publisher.text_so_far) == (Ending("error"), "a")
    [(payload_of, fields)] = publisher.published
    assert (payload_of, fields["user_message"]) == (messages.AgentError, "It broke.")


async def test_a_name_that_was_not_declared_is_refused_with_its_name_and_the_reason(job):
    ending, publisher = await ended(job, Remember("agent.notes", {"n": 1}), declared=("user.likes",))
    assert ending.outcome == "error"
    [(_, fields)] = publisher.published
    assert fields["error_type"] == "context_refused"
    assert fields["message"].startswith('context "agent.notes" was not changed: the agent does not declare this name')


async def test_a_context_that_is_too_large_is_refused_with_the_reason(job):
    ending, publisher = await ended(job, Remember("agent.notes", {"n": "x" * 30_000}), declared=("agent.notes",))
    [(_, fields)] = publisher.published
    assert (ending.outcome, fields["error_type"]) == ("error", "context_refused")
    assert '"agent.notes"' in fields["message"]


async def test_a_deleted_thread_ends_the_attempt(world, ada, job):
    """H5."""
    world.say(ada, "a1", "delete_thread", thread_id=job.run.thread_id)
    with pytest.raises(ThreadDeleted):
        await ended(job, Remember("thread.step", {"n": 1}), declared=("thread.step",))


async def test_what_models_cost_is_charged_and_reported(job):
    ending, _ = await ended(job, Used(10, 500), Used(5, 250))
    assert ending.usage == {"output_tokens": 15, "microdollars": 750}
    assert job.store.quotas.charge(0) == 750


async def test_a_run_that_writes_more_tokens_than_it_may_is_ended(job):
    ending, publisher = await ended(job, Used(11), Text("never"), limits=Limits(run_output_tokens=10))
    assert (ending.outcome, publisher.text_so_far) == ("error", "")
    assert publisher.published[0][1]["error_type"] == "token_limit"


@pytest.mark.parametrize(("spent", "within"), [(0, True), (9_999, True), (10_000, False), (10_001, False)])
def test_a_budget_of_a_cent_is_ten_thousand_millionths_of_a_dollar(spent, within):
    assert within_budget(spent, Limits(month_budget_cents=1)) is within
