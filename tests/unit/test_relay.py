"""What a worker does with a run: attempts, takeovers, failures, and who gets to see it."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Failed, Report, Text, Thinking, ToolEnded, ToolStarted
from agentsocket.errors import BadRequest, RunUnfinished
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
    assert [c.connection_id for c in world.storage.for_user(ada).connections.live().connections] == ["a2"]
    assert world.storage.for_user(ada).run(accepted["run_id"]).state == "completed"


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


async def test_a_retry_queues_a_run_that_still_waits(world, ada):
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


async def test_an_agent_that_raises_ends_its_run_as_an_error(world, ada):
    world.agent = Scripted([Text("partial"), RuntimeError("secret detail")])
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    events = world.sockets.events("a1")
    assert kinds(events)[2:] == ["partial_result", "agent_error", "agent_completed"]
    assert events[-1]["payload"]["outcome"] == "error"
    assert "secret" not in str(events)
    assert world.storage.for_user(ada).run(accepted["run_id"]).state == "failed"


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


async def test_while_another_worker_holds_the_thread_the_record_waits(world, ada, storage):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    log = storage.for_user(ada).log(accepted["thread_id"])
    log.take_lease(Lease("other", accepted["run_id"], 1))
    with pytest.raises(RunUnfinished):
        await world.work()
    assert world.queue.hidden == [LIMITS.visibility_s, LIMITS.lease_s]
    assert world.sockets.events("a1") == []


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


async def test_a_record_of_a_finished_run_is_acknowledged_and_its_ending_pushed_again(world, ada):
    """The worker died between the ending and the last push."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    world.sockets.posted["a1"].clear()
    await world.work(record(ada, accepted))
    assert kinds(world.sockets.events("a1")) == ["agent_completed", "final_report"]
    assert len(world.agent.turns) == 1


async def test_a_record_without_a_run_is_acknowledged(world, ada):
    await world.work(RunRecord(RunRequest(ada.user, "t", "r"), "receipt"))
    assert world.agent.turns == []


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
    assert world.storage.for_user(ada).run(accepted["run_id"]).terminal


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
    failed, retried = user.run(accepted["run_id"]), user.run(again[0]["run_id"])
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


async def test_the_agent_knows_what_was_said_before(world, ada):
    world.connect(ada, "a1")
    first = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    world.send(ada, "a1", "and now?", message_id="m2", thread_id=first["thread_id"], context={"rate": 1.5})
    await world.work()
    turn = world.agent.turns[1]
    assert [(said.role, said.content) for said in turn.history] == [("user", "hi"), ("assistant", "one two")]
    assert turn.context == {"rate": 1.5}


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


async def test_an_agent_that_is_not_listed_is_refused(world, ada):
    world.connect(ada, "a1")
    with pytest.raises(BadRequest) as refused:
        world.send(ada, "a1", "hi", message_id="m1", agent="os.system")
    assert refused.value.field == "payload.agent"


async def test_ping_is_answered_and_writes_nothing(world, ada):
    assert world.say(ada, "nowhere", "ping") == [{}]


async def test_a_log_whose_tail_may_be_lost_begins_a_new_epoch(world, ada, clock, storage):
    """delivery.md, Cursors: a lease that was never released and whose tail has expired."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    adas = storage.for_user(ada)
    adas.log(accepted["thread_id"]).take_lease(Lease("died", "another-run", 1))
    clock.advance(LIMITS.event_row_s + LIMITS.lease_s + 1)
    await world.work()
    assert adas.threads.get(accepted["thread_id"]).epoch != accepted["epoch"]
    assert adas.run(accepted["run_id"]).state == "completed"


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
    assert world.storage.for_user(ada).run(accepted["run_id"]).state == "failed"


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
