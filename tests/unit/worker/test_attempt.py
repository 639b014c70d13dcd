"""Attempts at a run: how each ends, and what the next one does after its worker was killed."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Failed, Report, Text, Thinking
from agentsocket.errors import RunUnfinished, Unavailable
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.limits import Limits
from agentsocket.storage.thread_log import Lease
from tests.support.fakes import Scripted
from tests.support.waiting import until
from tests.support.world import World

LIMITS = Limits()
ENDING = ["agent_completed", "final_report"]


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Thinking("a"), Text("one "), Text("two"), Report()]))


def kinds(events):
    return [event["type"] for event in events]


def record(who, accepted):
    return RunRecord(RunRequest(who.user, accepted["thread_id"], accepted["run_id"]), "receipt")


async def test_an_agent_that_raises_ends_its_run_as_an_error(world, ada):
    world.agent = Scripted([Text("partial"), RuntimeError("secret detail")])
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    events = world.sockets.events("a1")
    assert kinds(events)[2:] == ["partial_result", "agent_error", "agent_completed"]
    assert events[-1]["payload"]["outcome"] == "error"
    assert "secret" not in str(events)
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "failed"


async def test_an_agent_may_say_that_it_failed(world, ada):
    world.agent = Scripted([Failed("timeout", "m", "The model is slow.", "Try again.", is_recoverable=True)])
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    error = world.sockets.events("a1")[2]["payload"]
    assert (error["error_type"], error["user_message"], error["is_recoverable"]) == (
        "timeout",
        "The model is slow.",
        True,
    )


async def test_a_run_past_its_deadline_ends_as_timeout(storage, runtime, ada):
    limits = Limits(run_deadline_s=1)
    slow = World(storage, replace(runtime, limits=limits), Scripted([Text("x"), 60.0, Text("never")]))
    slow.connect(ada, "a1")
    slow.send(ada, "a1", "hi", message_id="m1")
    await slow.work()
    assert slow.sockets.events("a1")[-1]["payload"]["outcome"] == "timeout"


async def test_a_killed_worker_s_run_goes_on_as_the_next_attempt(world, ada, clock):
    """F6, in one process: the new attempt takes back the text, and the run still ends once."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("half an ans"), 60.0])
    killed = asyncio.create_task(world.work(record(ada, accepted)))
    await until(lambda: "partial_result" in kinds(world.sockets.events("a1")))
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    clock.advance(LIMITS.lease_s + 1)
    world.agent = Scripted([Text("the answer"), Report()])
    await world.work(record(ada, accepted))

    seen = {event["seq"]: event for event in world.sockets.events("a1")}
    assert kinds(seen.values()) == [
        "user_message",
        "agent_started",
        "partial_result",
        "agent_started",
        "partial_result",
        "partial_result",
        "agent_completed",
        "final_report",
    ]
    assert list(seen) == list(range(1, 9))
    starts = [event["payload"]["attempt"] for event in seen.values() if event["type"] == "agent_started"]
    assert starts == [1, 2]
    assert seen[8]["payload"]["content"] == "the answer"
    assert seen[3]["payload"]["message_id"] != seen[5]["payload"]["message_id"] == seen[8]["payload"]["message_id"]


async def test_what_a_killed_worker_appended_and_did_not_push_its_successor_pushes(world, ada, clock):
    """F6: the sender follows no thread, and gets its run from the beginning."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent, world.sockets.busy = Scripted([Text("half"), 60.0]), {"a1"}
    killed = asyncio.create_task(world.work(record(ada, accepted)))
    await until(lambda: world.storage.for_user(ada).log(accepted["thread_id"]).top() == 3)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    clock.advance(LIMITS.lease_s + 1)
    world.agent, world.sockets.busy = Scripted([Report()]), set()
    await world.work(record(ada, accepted))
    seqs = [event["seq"] for event in world.sockets.events("a1")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_record_of_a_finished_run_is_acknowledged_and_its_ending_pushed_again(world, ada):
    """The worker died between the ending and the last push."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    world.sockets.posted["a1"].clear()
    await world.work(record(ada, accepted))
    assert kinds(world.sockets.events("a1")) == ["agent_completed", "final_report"]
    assert len(world.agent.turns) == 1


async def poisoned(world, record, clock):
    """The record of a run that kills its worker three times, and then its closing delivery."""
    world.agent = Scripted([60.0])
    for attempt in range(1, 4):
        killed = asyncio.create_task(world.work(record))
        await until(lambda: len(world.agent.turns) >= attempt)  # noqa: B023 (awaited within the round)
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        clock.advance(LIMITS.lease_s + 1)
    await world.work(record)
    assert len(world.agent.turns) == 3


async def test_a_poison_run_ends_after_three_attempts_with_a_copy_in_the_dead_letters(world, ada, clock):
    """F7: a fourth delivery runs no agent."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await poisoned(world, record(ada, accepted), clock)
    assert [request.run_id for request in world.queue.buried] == [accepted["run_id"]]
    await world.work(record(ada, accepted))  # a duplicate of the record is no redriven copy
    last = world.sockets.events("a1")[-2:]
    assert kinds(last) == ["agent_error", "agent_completed"]
    assert last[1]["payload"]["outcome"] == "error"
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).terminal


async def test_a_redriven_record_of_a_failed_run_is_a_new_run(world, ada, clock):
    """F7: the same question again, as often as the record comes one run."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await poisoned(world, record(ada, accepted), clock)
    before = len(world.sockets.events("a1"))
    world.agent = Scripted([Text("at last"), Report()])
    redriven = RunRecord(world.queue.buried[0], "receipt")
    await world.work(redriven)
    again = world.sockets.events("a1")[before:]
    assert kinds(again) == ["user_message", "agent_started", "partial_result", "partial_result", *ENDING]
    assert len({event["run_id"] for event in again} | {accepted["run_id"]}) == 2
    assert (again[0]["payload"]["message_id"], again[1]["payload"]["attempt"]) == ("m1", 1)
    await world.work(redriven)
    assert len(world.agent.turns) == 1
    user = world.storage.for_user(ada)
    failed, retried = user.runs.get(accepted["run_id"]), user.runs.get(again[0]["run_id"])
    assert (failed.state, retried.state) == ("failed", "completed")
    assert (retried.first_seq, retried.last_seq) == (again[0]["seq"], again[-1]["seq"])


async def test_a_redriven_run_that_fails_again_can_be_redriven_again(world, ada, clock):
    """F7: each closing delivery buries the run that it closed."""
    world.connect(ada, "a1")
    await poisoned(world, record(ada, world.send(ada, "a1", "hi", message_id="m1")), clock)
    await poisoned(world, RunRecord(world.queue.buried[0], "receipt"), clock)
    first, second = world.queue.buried
    assert first.run_id != second.run_id
    world.agent = Scripted([Text("at last"), Report()])
    await world.work(RunRecord(second, "receipt"))
    assert kinds(world.sockets.events("a1")[-2:]) == ENDING


async def test_a_redriven_record_of_a_run_that_succeeded_runs_nothing(world, ada):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    await world.work(RunRecord(RunRequest(ada.user, accepted["thread_id"], accepted["run_id"], retry=True), "receipt"))
    assert len(world.agent.turns) == 1


async def test_the_agent_knows_what_was_said_before(world, ada):
    world.connect(ada, "a1")
    first = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    world.send(ada, "a1", "and now?", message_id="m2", thread_id=first["thread_id"], context={"rate": 1.5})
    await world.work()
    turn = world.agent.turns[1]
    assert [(said.role, said.content) for said in turn.history] == [("user", "hi"), ("assistant", "one two")]
    assert turn.context == {"rate": 1.5}


@pytest.mark.parametrize("broken", ["missing", "unmakeable"])
async def test_an_agent_that_cannot_be_made_ends_its_run_as_an_error(world, ada, broken):
    """Accepted for an agent that a deployment has removed meanwhile, or broken."""

    def unmakeable():
        raise ImportError("no such library")

    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agents = {} if broken == "missing" else {"usage_analyst": unmakeable}
    await world.work()
    assert kinds(world.sockets.events("a1"))[-2:] == ["agent_error", "agent_completed"]
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "failed"


async def test_the_events_of_earlier_attempts_are_pushed_by_the_next_one_as_far_as_the_buffer_goes(world, ada, clock):
    """A connection that lacks more is better served by a replay."""
    world.runtime = replace(world.runtime, limits=Limits(tail_max_events=8))
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent, world.sockets.busy = Scripted([*(Thinking(str(number)) for number in range(6)), 60.0]), {"a1"}
    killed = asyncio.create_task(world.work(record(ada, accepted)))
    await until(lambda: world.storage.for_user(ada).log(accepted["thread_id"]).top() == 8)
    killed.cancel()
    await asyncio.gather(killed, return_exceptions=True)
    clock.advance(LIMITS.lease_s + 1)
    world.agent, world.sockets.busy = Scripted([Report()]), set()
    await world.work(record(ada, accepted))
    assert [event["seq"] for event in world.sockets.events("a1")] == [5, 6, 7, 8, 9, 10, 11]


async def test_a_user_without_budget_gets_an_ending_and_no_agent(world, ada):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.storage.for_user(ada).quotas.charge(LIMITS.month_budget_cents * 10_000)
    await world.work(record(ada, accepted))
    error, completed = world.sockets.events("a1")[-2:]
    assert (error["payload"]["error_type"], completed["payload"]["outcome"]) == ("budget_exhausted", "error")
    assert world.agent.turns == []


async def test_a_deleted_thread_s_run_ends_silently(world, ada):
    """H5: no event, no text in its row; and it waits for no lease, though another worker holds it."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.storage.for_user(ada).log(accepted["thread_id"]).take_lease(Lease("other", "another run", 1))
    world.say(ada, "a1", "delete_thread", thread_id=accepted["thread_id"])
    await world.work(record(ada, accepted))
    run = world.storage.for_user(ada).runs.get(accepted["run_id"])
    assert (run.state, run.content, world.sockets.events("a1"), world.agent.turns) == ("stopped", "", [], [])


async def test_a_worker_whose_storage_fails_says_that_the_record_comes_again(world, ada):
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    offload = world.runtime.offload

    async def failing(function, *args, **kwargs):
        if function.__name__ == "append":
            raise Unavailable("the table does not answer")
        return await offload(function, *args, **kwargs)

    world.runtime = replace(world.runtime, offload=failing)
    with pytest.raises(RunUnfinished, match="lease lost or storage unavailable; the record will be redelivered"):
        await world.work()
