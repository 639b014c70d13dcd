"""Deleting a thread: hidden at once, also under a run, and swept by the worker (delivery.md, Delete)."""

from __future__ import annotations

import asyncio

import boto3
import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import Disconnect, NotFound, RunUnfinished, Unavailable
from agentsocket.inputs import Deletion, RunRecord, RunRequest
from agentsocket.limits import Limits
from agentsocket.storage.long_texts import Line
from agentsocket.storage.rows import LogEvent
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import Storage
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.waiting import TIME_FACTOR, until
from tests.support.world import World

LIMITS = Limits(look_every_ms=5, flush_fast_ms=60_000)
SECRET = "the combination is 4711"


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Text("It is "), Text(SECRET), Report()]))
    world.connect(ada, "a1")
    return world


def rows(about):
    """Everything in the table that names `about`, as text."""
    found = boto3.client("dynamodb").scan(TableName="agentsocket", ConsistentRead=True)["Items"]
    return [row for row in found if about in str(row)]


async def answered(world, ada, **payload):
    accepted = world.send(ada, "a1", f"remember: {SECRET}", **{"message_id": "m1"} | payload)
    await world.work()
    return accepted


async def test_nothing_of_a_deleted_thread_is_left(world, ada):
    """H5: log, transcript, long texts, and the question in the run's row."""
    kept = await answered(world, ada)
    long = SECRET * 2000
    world.send(ada, "a1", long, message_id="m2", thread_id=kept["thread_id"])
    await world.work()
    assert world.say(ada, "a1", "delete_thread", thread_id=kept["thread_id"]) == [{"thread_id": kept["thread_id"]}]
    await world.work()
    assert rows(SECRET) == []
    log = world.storage.for_user(ada).log(kept["thread_id"])
    assert (log.meta().top, log.events(after=0, limit=9), log.messages(up_to=99, limit=9)) == (0, ([], False), [])


async def test_it_cannot_be_read_or_written_from_the_moment_it_was_deleted(world, ada):
    """H5: later commands answer not_found, before anything is swept."""
    thread = (await answered(world, ada))["thread_id"]
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    with pytest.raises(NotFound):
        world.say(ada, "a1", "subscribe", thread_id=thread)
    with pytest.raises(NotFound):
        world.send(ada, "a1", "more", message_id="m2", thread_id=thread)
    with pytest.raises(NotFound):
        world.send(ada, "a1", f"remember: {SECRET}", message_id="m1")
    assert world.storage.for_user(ada).threads.page(limit=10) == ([], "")
    [tombstone] = [row for row in rows(thread) if row["SK"]["S"] == f"THREAD#{thread}"]
    assert not tombstone.keys() & {"title", "metadata", "activity"}


async def test_the_other_devices_are_notified_once(world, ada, bob):
    """H5: one `thread_deleted` each; not the sender, whose reply it is, and nobody else."""
    thread = (await answered(world, ada))["thread_id"]
    world.connect(ada, "a2")
    world.open(ada, "a3")
    world.connect(bob, "b1")
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    heard = {name: [f["payload"] for f in frames if f["type"] == "thread_deleted"] for name, frames in said(world)}
    assert heard == {"a1": [], "a2": [{"thread_id": thread}]}


def said(world):
    return list(world.sockets.posted.items())


async def test_expired_and_revoked_connections_are_not_notified(world, ada, clock):
    """J2: a socket whose token has expired, and one whose sign-in was ended."""
    thread = (await answered(world, ada))["thread_id"]
    world.connect(principal_of("ada", clock, lifetime_s=60), "expired")
    world.connect(replace(ada, session="ended"), "revoked")
    world.storage.for_user(ada).revocations.revoke(session="ended", not_before=int(clock()))
    clock.advance(60 + LIMITS.token_grace_s + 1)
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    assert [name for name, frames in said(world) if "thread_deleted" in {frame["type"] for frame in frames}] == []


async def test_the_command_sent_again_gets_its_reply_again_and_another_one_does_not(world, ada):
    """Its answer may have been lost; `say` uses one id for all commands."""
    thread = (await answered(world, ada))["thread_id"]
    deletion = world.say(ada, "a1", "delete_thread", thread_id=thread)
    assert world.say(ada, "a1", "delete_thread", thread_id=thread) == deletion
    with pytest.raises(NotFound):
        world.storage.for_user(ada).thread_deletion(thread, by="another").require()


async def test_another_user_s_thread_is_not_found(world, ada, bob):
    """E6."""
    thread = (await answered(world, ada))["thread_id"]
    world.connect(bob, "b1")
    with pytest.raises(NotFound):
        world.say(bob, "b1", "delete_thread", thread_id=thread)
    assert world.queue.waiting == []
    assert len(world.storage.for_user(ada).threads.page(limit=10)[0]) == 1


async def test_a_socket_whose_token_was_revoked_deletes_nothing(world, ada, clock):
    thread = (await answered(world, ada))["thread_id"]
    world.storage.for_user(ada).revocations.revoke(session="", not_before=int(clock()))
    with pytest.raises(Disconnect):
        world.say(ada, "a1", "delete_thread", thread_id=thread)
    assert len(world.storage.for_user(ada).threads.page(limit=10)[0]) == 1


async def test_a_running_run_ends_silently_and_the_sweep_follows(world, ada):
    """H5: during a run; no event after the deletion, and none of it stays."""
    world.agent = Scripted([Text(SECRET), Text("gathered, and never sent"), 60.0])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) == 3)
    world.say(ada, "a1", "delete_thread", thread_id=accepted["thread_id"])
    await asyncio.wait_for(working, 10 * TIME_FACTOR)
    user = world.storage.for_user(ada)
    assert user.runs.get(accepted["run_id"]).state == "stopped"
    assert user.log(accepted["thread_id"]).meta().lease_owner == ""
    assert len(world.sockets.events("a1")) == 3
    await world.work()
    assert rows(SECRET) == []
    assert user.connections.activity().running == []


async def test_queued_runs_end_silently(world, ada):
    """H5: with messages queued."""
    first = await answered(world, ada)
    waiting = world.send(ada, "a1", SECRET, message_id="m2", thread_id=first["thread_id"])
    before = len(world.sockets.events("a1"))
    world.say(ada, "a1", "delete_thread", thread_id=first["thread_id"])
    await world.work()
    assert world.storage.for_user(ada).runs.get(waiting["run_id"]).state == "stopped"
    assert len(world.agent.turns) == 1
    await world.work()
    assert rows(SECRET) == []
    assert len(world.sockets.events("a1")) == before


async def test_a_message_that_slips_in_behind_the_sweep_stays_unsaid(world, ada):
    """It was accepted just before the tombstone, and queued after the deletion."""
    first = await answered(world, ada)
    late = world.send(ada, "a1", SECRET, message_id="m2", thread_id=first["thread_id"])
    record = world.queue.take()
    world.say(ada, "a1", "delete_thread", thread_id=first["thread_id"])
    await world.work()
    await world.work(record)
    assert world.storage.for_user(ada).runs.get(late["run_id"]).state == "stopped"
    assert rows(SECRET) == []
    assert world.storage.for_user(ada).log(first["thread_id"]).meta().lease_owner == ""


async def test_a_command_that_died_after_queueing_is_finished_by_the_worker(world, ada):
    """delivery.md, Delete: what is queued will be hidden and swept, whoever dies."""
    thread = (await answered(world, ada))["thread_id"]
    await world.work(RunRecord(Deletion(ada.user, thread, "c9"), "receipt"))
    assert rows(SECRET) == []
    with pytest.raises(NotFound):
        world.storage.for_user(ada).threads.get(thread)


async def test_a_sweep_waits_for_the_worker_that_writes(world, ada):
    accepted = await answered(world, ada)
    log = world.storage.for_user(ada).log(accepted["thread_id"])
    log.take_lease(Lease("w1", accepted["run_id"], 1))
    world.say(ada, "a1", "delete_thread", thread_id=accepted["thread_id"])
    with pytest.raises(RunUnfinished):
        await world.work()
    assert world.queue.hidden[-1] == LIMITS.lease_s
    assert rows(SECRET) != []


@pytest.fixture
def small_pages(table, runtime, ada):
    """A world whose sweeps take three rows at a time."""
    limits = replace(LIMITS, sweep_page=3)
    storage = Storage(table, limits=limits, generation="1")
    world = World(storage, replace(runtime, limits=limits), Scripted([Text(SECRET), Report()]))
    world.connect(ada, "a1")
    return world


async def test_a_sweep_that_was_cut_short_goes_on(small_pages, ada, dynamodb, clock):
    """Some of the rows are gone; the record comes again."""
    world = small_pages
    thread = (await answered(world, ada))["thread_id"]
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    record, before, calls = world.queue.take(), len(rows(f"THREAD#{thread}")), []

    def refuse_the_second(**_kwargs):
        calls.append(True)
        if len(calls) == 2:
            raise Unavailable("not now")

    dynamodb.meta.events.register("before-call.dynamodb.BatchWriteItem", refuse_the_second)
    with pytest.raises(Unavailable):
        await world.work(record)
    assert 2 < len(rows(f"THREAD#{thread}")) < before
    clock.advance(LIMITS.lease_s + 1)
    await world.work(record)
    assert rows(SECRET) == []
    assert len(rows(f"THREAD#{thread}")) == 2  # the tombstone, and the empty head


async def test_the_runs_of_a_thread_are_found_among_many(small_pages, ada):
    """They lie among the user's others, on any page."""
    world = small_pages
    gone = await answered(world, ada)
    for number in range(8):
        world.send(ada, "a1", SECRET, message_id=f"m1{number}", thread_id=gone["thread_id"])
    world.queue.waiting.clear()
    world.say(ada, "a1", "delete_thread", thread_id=gone["thread_id"])
    await world.work()
    assert rows(SECRET) == []


async def test_a_sweep_of_many_pages_renews_what_it_holds(small_pages, ada, clock):
    world = small_pages
    thread = (await answered(world, ada))["thread_id"]
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    offload, pages = world.runtime.offload, []

    async def slow(function, *args, **kwargs):
        if function.__name__ == "sweep":
            pages.append(True)
            clock.advance(LIMITS.renew_every_s)
        return await offload(function, *args, **kwargs)

    world.runtime = replace(world.runtime, offload=slow)
    before = len(world.queue.hidden)
    await world.work()
    assert rows(SECRET) == []
    assert len(pages) > 3
    assert world.queue.hidden[before:] == [LIMITS.visibility_s] * len(pages)


async def test_a_long_sweep_keeps_its_lease_and_its_record(storage, runtime, ada, clock):
    """It renews between pages, and gives up when the thread is another worker's."""
    world = World(storage, runtime, Scripted([Text("a"), Report()]))
    world.connect(ada, "a1")
    thread = (await answered(world, ada))["thread_id"]
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    log = storage.for_user(ada).log(thread)
    offload, stolen = runtime.offload, []

    async def slow(function, *args, **kwargs):
        if function.__name__ == "sweep":
            clock.advance(LIMITS.lease_s + 1)
            log.take_lease(Lease("w2", "r", 1))
            stolen.append(True)
        return await offload(function, *args, **kwargs)

    world.runtime = replace(runtime, offload=slow)
    with pytest.raises(RunUnfinished):
        await world.work()
    assert stolen
    assert world.queue.hidden == [LIMITS.visibility_s] * 3  # of the run, of the sweep, and between its pages
    assert log.meta().lease_owner == "w2"


async def test_what_has_expired_goes_too(world, ada, clock):
    """DynamoDB deletes expired rows days late."""
    thread = (await answered(world, ada))["thread_id"]
    clock.advance(LIMITS.event_row_s + 1)
    await world.work(RunRecord(Deletion(ada.user, thread, "c9"), "receipt"))
    assert rows("EVENT#") == []


async def test_a_question_that_never_came_into_the_queue_goes_too(world, ada):
    """Accepted, and the queue did not answer: neither log nor transcript knows of it."""
    thread = (await answered(world, ada))["thread_id"]
    unsent = world.send(ada, "a1", SECRET, message_id="m2", thread_id=thread)
    long = world.send(ada, "a1", SECRET * 2000, message_id="m3", thread_id=thread)
    world.queue.waiting.clear()
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    await world.work()
    assert rows(SECRET) == []
    user = world.storage.for_user(ada)
    assert [user.runs.get(accepted["run_id"]).state for accepted in (unsent, long)] == ["stopped", "stopped"]


async def test_the_parts_of_a_question_go_too(world, ada):
    thread = (await answered(world, ada))["thread_id"]
    for number, text in ((1, SECRET), (2, " and back")):
        world.say(ada, "a1", "user_message", content=text, message_id="m2", thread_id=thread, part=number, parts=2)
    await world.work()
    world.say(ada, "a1", "delete_thread", thread_id=thread)
    await world.work()
    assert rows(SECRET) == []
    assert rows("PART#") == []
    assert rows("part_digests") == []


async def test_a_message_of_another_thread_stays(world, ada):
    kept = await answered(world, ada, message_id="m7")
    gone = await answered(world, ada)
    world.say(ada, "a1", "delete_thread", thread_id=gone["thread_id"])
    await world.work()
    user = world.storage.for_user(ada)
    assert user.runs.get(kept["run_id"]).content == f"remember: {SECRET}"
    assert [line.role for line in user.log(kept["thread_id"]).messages(up_to=99, limit=9)] == ["user", "assistant"]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_redriven_run_ends_with_its_thread(world, ada, clock, begun):
    """The copy of a failed run came back, its worker died, and the thread was deleted."""
    failed = world.send(ada, "a1", SECRET, message_id="m1")
    record = world.queue.take()
    user = world.storage.for_user(ada)
    fail(user, failed)
    redriven = RunRecord(replace(record.request, retry=True), "receipt")
    again = user.runs.retry(user.runs.get(failed["run_id"]))
    if begun:
        start(user, again, Lease("dead", again.run_id, 1), seq=3)
    world.say(ada, "a1", "delete_thread", thread_id=failed["thread_id"])
    await world.work(redriven)
    assert user.runs.get(again.run_id).state == "stopped"
    assert user.connections.activity().running == []
    clock.advance(LIMITS.lease_s + 1)
    await world.work()
    assert rows(SECRET) == []


def start(user, run, lease, *, seq):
    log = user.log(run.thread_id)
    log.take_lease(lease)
    opening = LogEvent(seq, f"{run.run_id}.1", run.run_id, 1, b"{}")
    log.start(run, lease, lambda _seq: [opening], seq=seq, question=Line(run.message_id, "user", ""))


def fail(user, accepted):
    run, lease = user.runs.get(accepted["run_id"]), Lease("w0", accepted["run_id"], 1)
    start(user, run, lease, seq=1)
    ending = LogEvent(2, "end", run.run_id, 1, b"{}")
    user.log(run.thread_id).finish(lease, lambda _seq: [ending], seq=2, outcome="error", answer=None)


async def test_a_deletion_is_the_first_one_s(world, ada):
    """A second one changes nothing: the first command, sent again, must still find its own."""
    thread = (await answered(world, ada))["thread_id"]
    user = world.storage.for_user(ada)
    user.thread_deletion(thread, by="first").hide()
    user.thread_deletion(thread, by="second").hide()
    user.thread_deletion(thread, by="first").require()
    with pytest.raises(NotFound):
        user.thread_deletion(thread, by="second").require()


async def test_a_sweep_that_lost_its_lease_leaves_the_head_to_who_has_it(world, ada, clock):
    user = world.storage.for_user(ada)
    thread = (await answered(world, ada))["thread_id"]
    mine, other = Lease("w1", "deletion", 1), Lease("w2", "deletion", 1)
    user.log(thread).take_lease(mine)
    clock.advance(LIMITS.lease_s + 1)
    user.log(thread).take_lease(other)
    user.thread_deletion(thread).finish(mine)
    assert user.log(thread).meta().lease_owner == "w2"
    user.thread_deletion(thread).finish(other)
    assert user.log(thread).meta().lease_owner == ""


async def test_a_record_of_a_run_in_a_swept_thread_is_acknowledged(world, ada):
    """A duplicate delivery of a finished run pushes nothing of it again."""
    accepted = await answered(world, ada)
    world.say(ada, "a1", "delete_thread", thread_id=accepted["thread_id"])
    await world.work()
    before = len(world.sockets.events("a1"))
    await world.work(RunRecord(RunRequest(ada.user, accepted["thread_id"], accepted["run_id"]), "receipt"))
    assert len(world.sockets.events("a1")) == before
    assert world.storage.for_user(ada).runs.get(accepted["run_id"]).state == "completed"
