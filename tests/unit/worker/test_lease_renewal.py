"""Renewal and polling beside a running agent: a long run keeps its claims, and one that cannot renew them stops."""

from __future__ import annotations

import asyncio

import boto3
import msgspec
import pytest
from botocore.config import Config
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import LeaseHeld, RunUnfinished, Unavailable
from agentsocket.inputs import Revocation
from agentsocket.limits import Limits
from agentsocket.storage.table import Table
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import Storage
from agentsocket.worker.lease_renewal import Deadline
from tests.conftest import ISSUER
from tests.support.fakes import Scripted
from tests.support.waiting import TIME_FACTOR, until
from tests.support.world import World

LIMITS = Limits(look_every_ms=5)


@pytest.fixture
def world(storage, runtime):
    return World(storage, replace(runtime, limits=LIMITS), Scripted([Text("a"), 60.0]))


@pytest.fixture
async def running(world, ada):
    """A running run: its world, its accepted payload, and the task that works on it."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await until(lambda: bool(world.agent.turns))
    yield world, accepted, working
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def meta(world, who, accepted):
    return world.storage.for_user(who).log(accepted["thread_id"]).meta()


async def test_a_long_run_keeps_its_lease_and_its_record(running, ada, clock):
    world, accepted, working = running
    for _ in range(4):
        before = meta(world, ada, accepted).lease_until
        hidden = len(world.queue.hidden)
        clock.advance(LIMITS.renew_every_s)
        await until(lambda: meta(world, ada, accepted).lease_until > before)  # noqa: B023 (awaited within the round)
        assert len(world.queue.hidden) > hidden
    assert set(world.queue.hidden) == {LIMITS.visibility_s}
    log = world.storage.for_user(ada).log(accepted["thread_id"])
    with pytest.raises(LeaseHeld):
        log.take_lease(Lease("other", accepted["run_id"], 2))
    assert meta(world, ada, accepted).top == 3
    assert not working.done()


async def test_a_worker_that_lost_the_lease_stops_and_leaves_the_record(running, ada, clock):
    world, accepted, working = running
    log = world.storage.for_user(ada).log(accepted["thread_id"])
    clock.advance(LIMITS.lease_s + 1)
    log.take_lease(Lease("other", accepted["run_id"], 2))
    with pytest.raises(RunUnfinished):
        await working
    assert not world.storage.for_user(ada).runs.get(accepted["run_id"]).terminal


async def test_a_queue_that_fails_briefly_is_no_reason_to_stop(running, ada, clock):
    world, accepted, working = running
    world.queue.failing = True
    clock.advance(LIMITS.renew_every_s)
    await asyncio.sleep(0.1)
    assert not working.done()
    world.queue.failing = False
    before = meta(world, ada, accepted).lease_until
    await until(lambda: meta(world, ada, accepted).lease_until > before)


async def test_what_cannot_be_renewed_for_a_lease_s_length_is_given_up(running, clock):
    world, _, working = running
    world.queue.failing = True
    clock.advance(LIMITS.lease_s)
    with pytest.raises(RunUnfinished):
        await working


async def test_a_connection_that_subscribes_during_a_run_gets_it_from_there(world, ada):
    """D9: replay and live meet without a gap."""
    world.connect(ada, "a1")
    world.connect(ada, "a2")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("one "), 0.2, Text("two "), 0.5, Text("three"), Report()])
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) >= 3)
    since = {"epoch": accepted["epoch"], "seq": 0}
    _, batch = world.say(ada, "a2", "subscribe", thread_id=accepted["thread_id"], since=since)
    await working
    seen = {event["seq"]: event for event in [*batch["events"], *world.sockets.events("a2")]}
    assert list(seen.values()) == world.sockets.events("a1")


async def test_an_unavailable_table_leaves_the_record(world, ada, clock):
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    nowhere = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=config)
    world.storage = Storage(Table(nowhere, "agentsocket", now=clock), limits=LIMITS)
    with pytest.raises(Unavailable):
        await world.work()


async def test_a_queue_that_fails_at_the_start_does_not_keep_a_run_from_running(world, ada):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("a"), Report()])
    world.queue.failing = True
    await world.work()
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "completed"


async def test_a_renewal_that_meets_the_ending_is_no_loss(world, ada, storage):
    """The ending has given the lease back; its worker is not to conclude that another has it."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("a"), Report()])
    log = storage.for_user(ada).log(accepted["thread_id"])
    lease = None

    async def offload(function, *args, **kwargs):
        nonlocal lease
        result = function(*args, **kwargs)
        if getattr(function, "__name__", "") == "take_lease":
            lease = args[0]
        if getattr(function, "__name__", "") == "finish":
            log.renew_lease(lease, top=9)
        return result

    world.runtime = replace(world.runtime, offload=offload)
    await world.work()
    assert world.sockets.events("a1")[-1]["type"] == "final_report"


async def test_a_poll_that_fails_ends_no_run(world, ada):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.agent = Scripted([Text("a"), 0.1, Text("b"), Report()])
    failures = iter([True, True])

    async def offload(function, *args, **kwargs):
        if getattr(function, "__name__", "") == "live" and next(failures, False):
            raise Unavailable("the database is busy")
        return function(*args, **kwargs)

    world.runtime = replace(world.runtime, offload=offload)
    await world.work()
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).attempts == 1
    assert world.sockets.events("a1")[-1]["type"] == "final_report"


async def test_a_throttled_device_is_served_from_where_it_stands_when_it_takes_posts_again(world, ada):
    """J8: its events wait in the replay buffer; nothing has to be asked for."""
    world.runtime = replace(world.runtime, limits=replace(LIMITS, post_backoff_ms=1, post_backoff_cap_ms=20))
    world.connect(ada, "a1")
    world.send(ada, "a1", "hi", message_id="m1")
    world.sockets.busy.add("a1")
    world.agent = Scripted([Text("a"), 1.0, Text("b"), Report()])
    working = asyncio.create_task(world.work())
    await until(lambda: world.sockets.refused["a1"] >= 10)
    world.sockets.busy.clear()
    await working
    events = world.sockets.events("a1")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "final_report"


async def test_a_connection_that_unsubscribes_during_a_run_gets_no_more_of_it(world, ada):
    """Also the sender, who would get its own run without a subscription."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    thread = accepted["thread_id"]
    world.agent = Scripted([Text("a"), 0.5, Text("b"), 0.5, Text("c"), Report()])
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) == 3)
    world.say(ada, "a1", "subscribe", thread_id=thread, since={"epoch": accepted["epoch"], "seq": 3})
    await until(lambda: len(world.sockets.events("a1")) >= 4)
    world.say(ada, "a1", "unsubscribe", thread_id=thread)
    await asyncio.sleep(0.1)
    before = len(world.sockets.events("a1"))
    await working
    assert len(world.sockets.events("a1")) == before


async def test_a_run_whose_sign_in_has_ended_stops(running, ada, clock):
    """J3: no further event reaches anyone, and the run ends as stopped."""
    world, accepted, working = running
    await until(lambda: len(world.sockets.events("a1")) == 3)
    world.control(Revocation(ISSUER, "ada", "", int(clock())))
    await asyncio.wait_for(working, 10 * TIME_FACTOR)
    user = world.storage.for_user(ada)
    assert user.runs.get(accepted["run_id"]).state == "stopped"
    events, _ = user.log(accepted["thread_id"]).events(after=0, limit=100)
    assert msgspec.json.decode(events[-1].frame)["payload"]["outcome"] == "stopped"
    said = [frame["type"] for frame in world.sockets.posted["a1"]]
    assert said == ["user_message", "agent_started", "partial_result", "disconnect"]


async def test_a_run_that_was_accepted_just_before_the_sign_in_ended_stops_too(world, ada, clock):
    """The record is queued while its sender is revoked: the worker sees it at its first poll."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    world.control(Revocation(ISSUER, "ada", "", int(clock())))
    await asyncio.wait_for(world.work(), 10 * TIME_FACTOR)
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "stopped"


async def test_a_run_of_another_session_goes_on(running, ada, clock):
    world, _, working = running
    world.control(Revocation(ISSUER, "ada", "another", int(clock())))
    await asyncio.sleep(0.1)
    assert not working.done()


async def test_a_revoked_connection_gets_no_push_though_its_row_is_there_still(running, ada, clock):
    """J3: the worker sees the revocation itself; it need not wait for the socket to be closed."""
    world, _, working = running
    await until(lambda: len(world.sockets.events("a1")) == 3)
    world.storage.for_user(ada).revocations.revoke(session="", not_before=int(clock()))
    await asyncio.wait_for(working, 10 * TIME_FACTOR)
    assert [frame["type"] for frame in world.sockets.posted["a1"]] == [
        "user_message",
        "agent_started",
        "partial_result",
    ]


async def test_a_stop_ends_the_current_wait():
    deadline = Deadline(asyncio.get_running_loop().time() + 60)
    waiting = asyncio.create_task(deadline.wait_for(asyncio.Event().wait()))
    await asyncio.sleep(0)
    deadline.stop()
    with pytest.raises(TimeoutError):
        await waiting
    assert deadline.over
