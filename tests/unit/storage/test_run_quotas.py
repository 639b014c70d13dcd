"""How many runs a user may have: a day, waiting, at once; what they may cost; and how often a user may connect."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from agentsocket.agents.contract import Report, Text, Used
from agentsocket.errors import Busy, IdempotencyConflict, NotFound, RateLimited, RunUnfinished, TooManyRuns
from agentsocket.inputs import RunRecord
from agentsocket.limits import DAY_S, Limits
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.user import Storage
from agentsocket.worker.agent_events import AgentLoop
from agentsocket.worker.lease_renewal import Deadline
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(
    runs_per_day=5,
    max_waiting_runs=3,
    runs_at_once=2,
    connects_per_min=4,
    run_output_tokens=1000,
    month_budget_cents=10,
    command_burst=1000,
)
CENT = 10_000  # millionths of a dollar


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def quotas(storage, ada):
    return storage.for_user(ada).quotas


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("Yes."), Report()]))
    world.connect(ada, "a1")
    return world


def row(storage, who):
    """What is kept of a user's quotas."""
    return storage._table.get({"PK": f"USER#{who.user}", "SK": "QUOTA"})


async def ask(world, who, message_id, **payload):
    """A message, and its run."""
    world.send(who, "a1", "hi", message_id=message_id, **payload)
    await world.work()


# A day's runs.


async def test_so_many_runs_a_day_and_then_tomorrow(world, ada, clock):
    """The wait it names is the one that helps."""
    for number in range(5):
        await ask(world, ada, f"m{number}")
    with pytest.raises(RateLimited) as refused:
        world.send(ada, "a1", "hi", message_id="m5")
    wait_s = (refused.value.retry_after_ms or 0) / 1000
    assert 0 < wait_s <= DAY_S
    clock.advance(wait_s - 1)
    with pytest.raises(RateLimited):
        world.storage.for_user(ada).quotas.admit("r", 1)
    clock.advance(1)
    for number in range(3):
        world.storage.for_user(ada).quotas.admit(f"r{number}", 1)


async def test_a_message_that_comes_again_counts_once(world, ada):
    world.send(ada, "a1", "hi", message_id="m1")
    for _ in range(10):
        assert world.send(ada, "a1", "hi", message_id="m1")["duplicate"] is True
    assert (row(world.storage, ada)["runs"], len(row(world.storage, ada)["waiting"])) == (1, 1)
    await world.work()
    assert world.send(ada, "a1", "hi", message_id="m1")["duplicate"] is True
    kept = row(world.storage, ada)
    assert kept["runs"] == 1
    assert not kept.keys() & {"waiting", "running"}


async def test_a_message_that_was_accepted_is_found_again_when_no_other_would_be_accepted(world, ada):
    """Its answer was lost: who asks again must hear of its run, not that there may be none."""
    for number in range(5):
        await ask(world, ada, f"m{number}")
    assert world.send(ada, "a1", "hi", message_id="m0")["duplicate"] is True
    with pytest.raises(RateLimited):
        world.send(ada, "a1", "hi", message_id="m5")
    assert row(world.storage, ada)["runs"] == 5


@pytest.mark.parametrize("attempt", [{"thread_id": "nowhere"}, {"content": "other"}], ids=["no thread", "conflict"])
def test_a_message_that_is_refused_counts_nothing(world, ada, attempt):
    world.send(ada, "a1", "hi", message_id="m1")
    before = {name: row(world.storage, ada)[name] for name in ("runs", "waiting")}
    message_id = "m1" if "content" in attempt else "m2"
    with pytest.raises((NotFound, IdempotencyConflict)):
        world.say(ada, "a1", "user_message", **{"content": "hi", "message_id": message_id, **attempt})
    after = row(world.storage, ada)
    assert after["runs"] == before["runs"]
    assert after["waiting"] == before["waiting"]


def test_parts_count_as_one_run_and_as_commands_each(world, ada, clock):
    for number in (1, 2):
        world.say(ada, "a1", "user_message", content="hi", message_id="m1", part=number, parts=2)
    kept = row(world.storage, ada)
    assert kept["runs"] == 1
    assert kept["commands_full_at"] == clock() * 1000 + 3 * 50, "a hello and two parts"


# Waiting.


@pytest.mark.parametrize("later_s", [0, 10], ids=["at once", "later"])
def test_beyond_so_many_that_wait_a_message_is_refused(world, ada, clock, later_s):
    for number in range(3):
        world.send(ada, "a1", "hi", message_id=f"m{number}")
    clock.advance(later_s)
    with pytest.raises(Busy) as refused:
        world.send(ada, "a1", "hi", message_id="m3")
    assert refused.value.temporary
    assert refused.value.retry_after_ms
    assert world.send(ada, "a1", "hi", message_id="m1")["duplicate"] is True, "one that waits already is no further one"
    assert len(world.queue.waiting) == 3


async def test_a_run_that_has_ended_waits_no_more(world, ada):
    for number in range(3):
        world.send(ada, "a1", "hi", message_id=f"m{number}")
    await world.work()
    assert world.send(ada, "a1", "hi", message_id="m3")["duplicate"] is False
    assert len(row(world.storage, ada)["waiting"]) == 3


def test_runs_that_ask_for_a_place_do_not_keep_a_crash_s_leftovers_waiting(quotas, world, ada, clock):
    """They look at those under way every few seconds: that is no look at those that wait."""
    user = world.storage.for_user(ada)
    for number in range(2):
        quotas.begin(user.runs.accept(NewMessage(f"m{number}", "hi", None, "a1", "", "{}")).run)
    asking = accepted(world, ada, "m2")
    for number in range(2):
        quotas.admit(f"lost{number}", 1)
    clock.advance(60)
    with pytest.raises(TooManyRuns):
        quotas.begin(asking)
    world.send(ada, "a1", "hi", message_id="m3")
    assert len(row(world.storage, ada)["waiting"]) == 2


def test_what_a_crash_has_left_waiting_refuses_nobody(quotas, world, ada, clock):
    """Died between the quota and the run's row: the row is not there."""
    for number in range(3):
        quotas.admit(f"lost{number}", 1)
    clock.advance(60)
    world.send(ada, "a1", "hi", message_id="m1")
    assert len(row(world.storage, ada)["waiting"]) == 1


def test_users_do_not_count_for_each_other(storage, ada, bob):
    for number in range(3):
        storage.for_user(ada).quotas.admit(f"r{number}", 1)
    storage.for_user(bob).quotas.admit("r1", 1)
    assert (len(row(storage, ada)["waiting"]), row(storage, bob)["waiting"]) == (3, {"r1"})


@pytest.mark.parametrize("commands", [0, 5, 950])
@pytest.mark.parametrize("later_s", [0, 0.2, 3600, DAY_S])
def test_whatever_was_before_a_run_is_admitted_once(quotas, storage, ada, clock, commands, later_s):
    """Bucket full or not, first of a day or not: two writes at most, and each counts exactly once."""
    quotas.spend(commands)
    quotas.admit("r1", 1)
    clock.advance(later_s)
    quotas.admit("r2", 1)
    kept = row(storage, ada)
    assert kept["waiting"] == {"r1", "r2"}
    assert kept["runs"] == (1 if later_s == DAY_S else 2)


def test_the_bucket_holds_messages_back_too(storage, table, ada, clock):
    """J4."""
    quotas = Storage(table, limits=Limits(command_burst=3, commands_per_s=1)).for_user(ada).quotas
    for number in range(3):
        quotas.admit(f"r{number}", 1)
    with pytest.raises(RateLimited) as refused:
        quotas.admit("r3", 1)
    assert refused.value.retry_after_ms == 1000
    assert len(row(storage, ada)["waiting"]) == 3
    clock.advance(1)
    quotas.admit("r3", 1)


def test_who_sends_many_at_once_gets_no_more_in(quotas, world, ada):
    """Those that are just being accepted have no row yet: they count."""
    for number in range(3):
        quotas.admit(f"being-accepted-{number}", 1)
    with pytest.raises(Busy):
        world.send(ada, "a1", "hi", message_id="m1")


def test_a_refusal_is_paid_for_and_the_waiting_are_not_looked_at_each_time(world, ada, clock):
    for number in range(3):
        world.send(ada, "a1", "hi", message_id=f"m{number}")
    looks = []
    world.storage._table._client.meta.events.register("before-call.dynamodb.BatchGetItem", lambda **_: looks.append(1))
    outcomes: Counter[str] = Counter()
    for _ in range(1100):
        try:
            world.storage.for_user(ada).quotas.admit("r9", 1)
        except (Busy, RateLimited) as refused:
            outcomes[refused.code] += 1
    assert outcomes["rate_limited"] > 50
    assert sum(looks) == 1


def test_who_waits_longer_than_the_queue_keeps_a_record_does_not_wait(world, ada, clock):
    """Its record was never sent, or is lost: no user is shut out for that."""
    for number in range(3):
        world.send(ada, "a1", "hi", message_id=f"m{number}")
    clock.advance(LIMITS.waiting_s)
    world.storage.for_user(ada).quotas.admit("r9", 1)
    assert row(world.storage, ada)["waiting"] == {"r9"}


# At once.


def accepted(world, who, message_id, connection_id="a1"):
    """A run that waits."""
    run = world.storage.for_user(who).runs.get(world.send(who, connection_id, "hi", message_id=message_id)["run_id"])
    assert run is not None
    return run


def test_so_many_run_at_once_and_the_next_one_waits(quotas, world, ada):
    runs = [accepted(world, ada, f"m{number}") for number in range(3)]
    for run in (*runs[:2], runs[1]):
        quotas.begin(run)
    with pytest.raises(TooManyRuns):
        quotas.begin(runs[2])
    quotas.end(runs[0].run_id)
    quotas.begin(runs[2])


def test_the_oldest_that_waits_gets_the_next_place(quotas, world, ada, clock):
    """Whoever comes first when one is free: also a message that was sent long after."""
    first, second = (accepted(world, ada, f"m{number}") for number in range(2))
    quotas.begin(first)
    quotas.begin(second)
    clock.advance(1)
    third = accepted(world, ada, "m2")
    clock.advance(1)
    fourth = accepted(world, ada, "m3")
    for run in (fourth, third, fourth):
        with pytest.raises(TooManyRuns):
            quotas.begin(run)
    quotas.end(first.run_id)
    with pytest.raises(TooManyRuns):
        quotas.begin(fourth)
    quotas.begin(third)
    quotas.end(second.run_id)
    quotas.begin(fourth)


def test_who_has_a_place_keeps_it_when_an_older_one_lines_up(quotas, world, ada, clock):
    """Its worker died, and its record is back: else each would wait for the other."""
    older = accepted(world, ada, "m0")
    clock.advance(1)
    first, second = (accepted(world, ada, f"m{number}") for number in (1, 2))
    quotas.begin(first)
    quotas.begin(second)
    with pytest.raises(TooManyRuns):
        quotas.begin(older)
    quotas.begin(first)


def test_a_place_is_not_kept_for_one_that_asks_no_more(quotas, world, ada, clock):
    first, second = (accepted(world, ada, f"m{number}") for number in range(2))
    quotas.begin(first)
    quotas.begin(second)
    third = accepted(world, ada, "m2")
    with pytest.raises(TooManyRuns):
        quotas.begin(third)
    quotas.end(first.run_id)
    clock.advance(3 * LIMITS.run_retry_s + 1)
    quotas.begin(accepted(world, ada, "m3"))


def test_a_place_is_kept_for_one_that_goes_on_asking(quotas, world, ada, clock):
    first, second = (accepted(world, ada, f"m{number}") for number in range(2))
    quotas.begin(first)
    quotas.begin(second)
    third = accepted(world, ada, "m2")
    for _ in range(6):
        with pytest.raises(TooManyRuns):
            quotas.begin(third)
        clock.advance(LIMITS.run_retry_s)
    quotas.end(first.run_id)
    with pytest.raises(TooManyRuns):
        quotas.begin(accepted(world, ada, "m3"))
    quotas.begin(third)


async def test_a_run_that_has_to_wait_is_no_attempt_and_runs_later(world, ada):
    first, second, third = (accepted(world, ada, f"m{number}") for number in range(3))
    user = world.storage.for_user(ada)
    for run in (first, second):
        user.quotas.begin(run)
    world.queue.waiting.sort(key=lambda request: request.run_id != third.run_id)
    record = world.queue.take()
    with pytest.raises(RunUnfinished):
        await world.work(record)
    assert world.queue.hidden[-1] == LIMITS.run_retry_s
    run = user.runs.get(third.run_id)
    assert run is not None
    assert (run.state, run.attempts) == ("accepted", 0)
    assert third.run_id in row(world.storage, ada)["waiting"]
    user.quotas.end(first.run_id)
    await world.work(record)
    run = user.runs.get(third.run_id)
    assert run is not None
    assert (run.state, run.attempts) == ("completed", 1)


async def test_runs_that_died_do_not_count_for_ever(world, ada, clock):
    """Their workers were killed, and their records are lost: no pointer is left after an hour, or none ever was."""
    died, never_began, third = (accepted(world, ada, f"m{number}") for number in range(3))
    user = world.storage.for_user(ada)
    for run in (died, never_began):
        user.quotas.begin(run)
    world.storage._table._client.update_item(
        TableName="agentsocket",
        Key={"PK": {"S": f"USER#{ada.user}"}, "SK": {"S": f"RUN#{died.run_id}"}},
        UpdateExpression="SET #s = :running",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":running": {"S": "running"}},
    )
    user.quotas.begin(third)
    assert row(world.storage, ada)["running"] == {never_began.run_id, third.run_id}
    clock.advance(LIMITS.waiting_s)
    world.connect(principal_of("ada", clock), "a2")
    user.quotas.begin(accepted(world, principal_of("ada", clock), "m3", "a2"))
    assert never_began.run_id not in row(world.storage, ada)["running"]


async def test_a_run_under_way_keeps_its_place(world, ada):
    """Its pointer says so: whoever comes finds it, and takes nothing from it."""
    seen = []

    class Looking(Scripted):
        async def run(self, turn):
            seen.append(row(world.storage, ada))
            user = world.storage.for_user(ada)
            user.quotas.begin(second)
            with pytest.raises(TooManyRuns):
                user.quotas.begin(third)
            async for event in super().run(turn):
                yield event

    world.agent = Looking([Text("Yes."), Report()])
    first, second, third = (accepted(world, ada, f"m{number}") for number in range(3))
    await world.work()
    assert seen[0]["running"] == {first.run_id}
    assert first.run_id not in seen[0]["waiting"]
    assert row(world.storage, ada)["running"] == {second.run_id}


async def test_a_redelivered_record_of_a_run_that_has_ended_frees_its_place(world, ada):
    """The worker died between the ending and that."""
    run = accepted(world, ada, "m1")
    record = world.queue.take()
    await world.work(record)
    world.storage.for_user(ada).quotas.begin(run)
    await world.work(RunRecord(record.request, "again"))
    assert "running" not in row(world.storage, ada)


async def test_a_run_of_a_deleted_thread_frees_its_place(world, ada):
    message = world.send(ada, "a1", "hi", message_id="m1")
    world.say(ada, "a1", "delete_thread", thread_id=message["thread_id"])
    await world.work()
    assert not row(world.storage, ada).keys() & {"waiting", "running"}


# Money.


def events(world, connection_id="a1"):
    return [(frame["type"], frame["payload"]) for frame in world.sockets.events(connection_id)]


async def test_what_models_wrote_and_cost_is_said_at_the_end(world, ada):
    world.agent = Scripted([Used(10, 5 * CENT), Used(20), Report()])
    await ask(world, ada, "m1")
    [completed] = [payload for kind, payload in events(world) if kind == "agent_completed"]
    assert completed["usage"] == {"output_tokens": 30, "microdollars": 5 * CENT}
    assert row(world.storage, ada)["spent"] == 5 * CENT


async def test_a_bill_that_comes_with_the_stop_is_paid(world, ada, runtime):
    """J9: what the model said is dropped, what it cost is not."""
    deadline = Deadline(asyncio.get_running_loop().time() + 3600)

    async def stopped():
        deadline.stop()
        yield Used(10, 3 * CENT)

    publisher: Any = None
    job = world.job(ada, world.send(ada, "a1", "hi", message_id="m1"))
    ending = await AgentLoop(job, publisher, deadline, asyncio.create_task).run(stopped())
    assert ending.outcome == "stopped"
    assert ending.usage == {"output_tokens": 10, "microdollars": 3 * CENT}
    assert row(world.storage, ada)["spent"] == 3 * CENT


async def test_who_has_spent_the_month_s_budget_gets_no_more_model_calls(world, ada, clock):
    """At the next call, and at the next run, whose agent is not even asked; a month later again."""
    world.agent = Scripted([Used(1, 9 * CENT), Used(1, 1 * CENT), Text("never said"), Report()])
    await ask(world, ada, "m1")
    world.agent = Scripted([Text("never asked"), Report()])
    await ask(world, ada, "m2")
    errors = [payload for kind, payload in events(world) if kind == "agent_error"]
    assert [error["error_type"] for error in errors] == ["budget_exhausted", "budget_exhausted"]
    assert not world.agent.turns
    assert Counter(payload["outcome"] for kind, payload in events(world) if kind == "agent_completed") == {"error": 2}
    clock.advance(32 * DAY_S)
    user = world.storage.for_user(ada)
    world.connect(principal_of("ada", clock), "a2")
    assert user.quotas.begin(accepted(world, principal_of("ada", clock), "m9", "a2")) == 0
    assert user.quotas.charge(7) == 7


async def test_a_run_s_models_may_write_so_much(world, ada):
    world.agent = Scripted([Used(600), Used(400), Text("Yes."), Used(1), Text("never said"), Report()])
    await ask(world, ada, "m1")
    kinds = [kind for kind, _ in events(world)]
    assert kinds[-2:] == ["agent_error", "agent_completed"]
    said = "".join(payload["content"] for kind, payload in events(world) if kind == "partial_result")
    assert said == "Yes."
    assert events(world)[-2][1]["error_type"] == "token_limit"


def test_the_row_ends_when_its_user_comes_no_more(storage, quotas, ada, clock):
    """Also after a refused connect of somebody who was erased."""
    for use in (quotas.connect, lambda: quotas.spend(1), lambda: quotas.admit("r1", 1), lambda: quotas.charge(1)):
        use()
        kept = row(storage, ada)
        assert clock() < kept["expires_at"] <= clock() + LIMITS.quota_row_s
        clock.advance(LIMITS.quota_row_s + 1)
        assert row(storage, ada) is None


# Connecting.


def test_so_many_connects_a_minute(world, ada, bob, clock):
    for number in range(3):
        world.open(ada, f"more{number}")
    with pytest.raises(RateLimited) as refused:
        world.open(ada, "too-many")
    live = world.storage.for_user(ada).connections.activity()
    assert {each.connection_id for each in live.connections} == {"a1", "more0", "more1", "more2"}
    world.open(bob, "b1")
    clock.advance((refused.value.retry_after_ms or 0) / 1000)
    world.open(ada, "later")
