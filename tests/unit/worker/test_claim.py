"""What a worker must have before it runs an agent: the run, a place, the lease."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.errors import RunUnfinished
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.limits import Limits
from agentsocket.storage.thread_log import Lease
from agentsocket.worker import claim
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits()


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Thinking("a"), Text("one "), Text("two"), Report()]))


def record(who, accepted):
    return RunRecord(RunRequest(who.user, accepted["thread_id"], accepted["run_id"]), "receipt")


async def test_while_another_worker_holds_the_lease_the_record_is_hidden(world, ada, storage):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    log = storage.for_user(ada).log(accepted["thread_id"])
    log.take_lease(Lease("other", accepted["run_id"], 1))
    with pytest.raises(RunUnfinished):
        await world.work()
    assert world.queue.hidden == [LIMITS.visibility_s, LIMITS.lease_s]
    assert world.sockets.events("a1") == []


@pytest.mark.parametrize("abandoned", [False, True])
async def test_a_worker_that_comes_too_late_gives_the_lease_back(world, ada, storage, clock, abandoned):
    """It read the run, was frozen, and woke after another worker had ended it: no trace, and no epoch renewed later."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    log = storage.for_user(ada).log(accepted["thread_id"])
    frozen, offload = asyncio.Event(), world.runtime.offload

    async def late(function, *args, **kwargs):
        if function.__name__ == "take_lease":
            await frozen.wait()
        return await offload(function, *args, **kwargs)

    world.runtime = replace(world.runtime, offload=late)
    waking = asyncio.create_task(world.work(record(ada, accepted)))
    await asyncio.sleep(0)
    world.runtime = replace(world.runtime, offload=offload)
    await world.work(record(ada, accepted))
    if abandoned:
        log.take_lease(Lease("dead", "another run", 1))
        clock.advance(LIMITS.lease_s + 1)
    frozen.set()
    with pytest.raises(RunUnfinished):
        await waking
    meta = log.meta()
    assert (meta.lease_owner, meta.lease_until, bool(meta.unreleased_since)) == ("", 0, abandoned)
    await world.work(record(ada, accepted))
    assert len(world.agent.turns) == 1


async def test_a_record_without_a_run_is_acknowledged(world, ada):
    await world.work(RunRecord(RunRequest(ada.user, "t", "r"), "receipt"))
    assert world.agent.turns == []


async def test_a_log_whose_tail_may_be_lost_begins_a_new_epoch(world, ada, clock, storage):
    """delivery.md, Cursors: a lease that was never released and whose tail has expired."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    adas = storage.for_user(ada)
    adas.log(accepted["thread_id"]).take_lease(Lease("died", "another-run", 1))
    clock.advance(LIMITS.event_row_s + LIMITS.lease_s + 1)
    await world.work()
    assert adas.threads.get(accepted["thread_id"]).epoch != accepted["epoch"]
    assert adas.runs.get(accepted["run_id"]).state == "completed"


async def test_a_worker_that_dies_before_the_new_epoch_does_not_hide_that_one_is_due(world, ada, clock, storage):
    """The second worker finds a fresh lapsed lease; that the log cannot be trusted is still known."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    log = storage.for_user(ada).log(accepted["thread_id"])
    log.take_lease(Lease("died", "another-run", 1))
    clock.advance(LIMITS.event_row_s + 1)
    assert log.take_lease(Lease("died too", accepted["run_id"], 1)).intact is False
    clock.advance(LIMITS.lease_s + 1)
    await world.work()
    assert storage.for_user(ada).threads.get(accepted["thread_id"]).epoch != accepted["epoch"]


@pytest.fixture
def job(world, ada):
    world.connect(ada, "a1")
    return world.job(ada, world.send(ada, "a1", "hi", message_id="m1"))


async def test_a_claim_is_a_place_and_the_lease(world, job, clock):
    claimed = await claim.claim(job)
    assert (claimed.spent, claimed.grant.top, claimed.taken_at) == (0, 0, clock())
    assert job.log.meta().lease_owner == job.lease.owner
    assert world.queue.hidden == []


async def test_a_run_beyond_those_that_may_run_takes_no_lease_and_says_when_it_returns(world, ada, job):
    for number in range(LIMITS.runs_at_once):
        other = world.job(ada, world.send(ada, "a1", "hi", message_id=f"other{number}"))
        other.store.quotas.begin(other.run)
    with pytest.raises(RunUnfinished, match=f"{LIMITS.runs_at_once} runs .* in {LIMITS.run_retry_s} s"):
        await claim.claim(job)
    assert world.queue.hidden == [LIMITS.run_retry_s]
    assert job.log.meta().lease_owner == ""


async def test_a_run_of_another_user_is_not_found(world, job, bob):
    store = world.storage.for_user(bob)
    assert (await claim.find(job.record.request, store, job.runtime))[0] is None


async def test_a_run_is_found_with_whether_its_thread_was_deleted(world, ada, job):
    run, is_deleted = await claim.find(job.record.request, job.store, job.runtime)
    assert (run, is_deleted) == (job.run, False)
    world.say(ada, "a1", "delete_thread", thread_id=job.run.thread_id)
    assert (await claim.find(job.record.request, job.store, job.runtime))[1] is True


async def test_a_record_that_cannot_be_hidden_returns_by_the_queue_s_own_time_out(world, job, caplog):
    world.queue.failing = True
    await claim.hide(job.record, 10, job.run_queue, job.runtime)
    assert [line.message for line in caplog.records] == ["visibility_not_set"]
