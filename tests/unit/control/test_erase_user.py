"""Erasing a user: everything of theirs goes, nothing of anybody else's, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import boto3
import pytest
from msgspec.structs import replace

from agentsocket import principal
from agentsocket.agents.contract import AgentEvent, Remember, Report, Text, Turn
from agentsocket.aws.control_queue import ControlQueue
from agentsocket.contexts.contract import change
from agentsocket.control.erase_user import EraseUser, Unknown
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import Storage, UserStorage
from tests.conftest import ISSUER
from tests.support.context_stores import remembered
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(flush_fast_ms=60_000, sweep_page=3)
SECRET = "the combination is 4711"


class Orders:
    """The control queue: what it was told."""

    def __init__(self) -> None:
        self.revoked: list[tuple[str, str, int]] = []

    def revoke(self, issuer: str, subject: str, *, not_before: int) -> None:
        self.revoked.append((issuer, subject, not_before))


class Desk:
    """An operator at work: what he sees, and what happens while he waits."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[str] = []
        self.orders = Orders()
        self.meanwhile: list[Any] = []

    def sleep(self, seconds: float) -> None:
        self.world.runtime.clock.advance(seconds)  # type: ignore[attr-defined]
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def erase(self, subject: str = "ada", **options: Any) -> bool:
        given: dict[str, Any] = {
            "storage": self.world.storage,
            "contexts": self.world.contexts,
            "control_queue": cast(ControlQueue, self.orders),
            "sleep": self.sleep,
            "say": self.seen.append,
            "wait_s": 30.0,
        }
        return EraseUser(**given | options).run(ISSUER, subject)


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest.fixture
def world(storage, runtime, ada, bob):
    script: list[AgentEvent | Exception | float] = [
        Text(SECRET),
        Remember("notes", {"of": SECRET}),
        Remember("thread.notes", {"of": SECRET}),
        Report(),
    ]
    world = World(storage, replace(runtime, limits=LIMITS), Scripted(script))
    for who, connection in ((ada, "a1"), (bob, "b1")):
        world.connect(who, connection)
    return world


@pytest.fixture
def desk(world):
    return Desk(world)


async def lived(world: World, who: Principal, connection: str) -> list[str]:
    """Threads with everything in them, one of them deleted and not swept; parts, contexts. The threads' ids."""
    own = world.contexts.for_user(who).own
    change(own, "user.name", {"of": SECRET})
    threads = []
    for number in range(3):
        content = SECRET * 2000 if number == 1 else SECRET
        accepted = world.send(who, connection, content, message_id=f"m{number}")
        await world.work()
        threads.append(accepted["thread_id"])
        change(world.contexts.for_user(who).of_thread(accepted["thread_id"]), "thread.more", {"of": SECRET})
    world.say(who, connection, "delete_thread", thread_id=threads[2])
    world.say(who, connection, "create_thread", title=SECRET, metadata={"of": SECRET})
    world.send(who, connection, SECRET, message_id="parted", part=1, parts=2)
    world.say(who, connection, "stop_agent", message_id="never-came")
    return threads


def rows(who: Principal) -> list[dict[str, Any]]:
    """Everything in the table that is the user's."""
    found = boto3.client("dynamodb").scan(TableName="agentsocket", ConsistentRead=True)["Items"]
    return [cast(dict[str, Any], row) for row in found if row["PK"]["S"].startswith(f"USER#{who.user}")]


def kinds(who: Principal) -> set[str]:
    return {row["SK"]["S"].split("#")[0] for row in rows(who)}


async def test_nothing_of_the_user_is_left_and_nobody_else_loses_a_row(desk, world, ada, bob):
    await lived(world, ada, "a1")
    await lived(world, bob, "b1")
    kept = rows(bob)
    assert kinds(ada) >= {"LIVE", "RUN", "THREAD", "UPLOADS", "PART", "QUOTA", "CONTEXT", "META", "MESSAGE", "CONTENT"}
    assert desk.erase()
    assert SECRET not in json.dumps(rows(ada))
    assert kinds(ada) == {"THREAD", "LIVE", "META"}
    assert rows(bob) == kept


@pytest.mark.parametrize("kind", ["redis", "tiered"])
async def test_nothing_of_the_user_is_left_in_redis(desk, world, table, ada, bob, clock, redis_process, kind):
    """Neither where contexts live there alone nor where they are kept for a minute."""
    with remembered(kind, table, clock, redis_process) as kept, redis_process.client() as bare:

        def names(who: Principal) -> list[bytes]:
            return [key for key in bare.keys(f"{kept.deployment}*") if who.user.encode() in key]

        def texts(who: Principal) -> list[bytes]:
            return [bare.get(key) for key in names(who) if bare.type(key) == b"string" and b"context" in key]

        world.contexts = kept.store
        await lived(world, ada, "a1")
        await lived(world, bob, "b1")
        before = texts(bob)
        assert SECRET in str(texts(ada))
        assert SECRET in str(before)
        assert desk.erase()
        assert [name for name in names(ada) if not name.endswith(b":gone")] == []
        assert sorted(texts(bob)) == sorted(before)


async def test_what_stays_holds_ids_and_times_and_expires(desk, world, ada, clock):
    """Tombstones, the heads of their logs, and from when on tokens are refused."""
    threads, began = await lived(world, ada, "a1"), int(clock())
    desk.erase()
    for row in rows(ada):
        assert 0 < int(row["expires_at"]["N"]) - clock() <= LIMITS.tombstone_s + 60
        assert row.keys() <= {
            *("PK", "SK", "expires_at", "thread_id", "epoch", "created_at", "deleted_at", "deleted_by", "not_before")
        }
    [refused] = [row for row in rows(ada) if row["SK"]["S"].startswith("LIVE#REVOKED")]
    longest_s = Limits.AT_MOST["max_token_lifetime_s"] + LIMITS.revocation_slack_s
    assert int(refused["expires_at"]["N"]) >= began + longest_s
    said = desk.seen[-1]
    assert said.startswith("checked: nothing of the user is left but")
    assert f"{len(threads) + 1} THREAD" in said


async def test_what_has_expired_and_was_not_deleted_yet_goes_too(desk, world, ada, clock):
    """TTL lags by days."""
    await lived(world, ada, "a1")
    clock.advance(LIMITS.run_row_s + 1)
    assert desk.erase()
    assert SECRET not in json.dumps(rows(ada))
    assert "RUN" not in kinds(ada)


async def test_no_token_of_before_is_accepted_from_the_first_step_on(desk, world, ada, clock):
    """Sockets and commands: refused by the row; whoever closes sockets is told."""
    await lived(world, ada, "a1")
    began = int(clock())
    desk.erase()
    assert desk.orders.revoked == [(ISSUER, "ada", began + LIMITS.token_leeway_s)]
    with pytest.raises(TokenRejected):
        world.open(ada, "a2")
    with pytest.raises(TokenRejected):
        world.storage.for_user(ada).revocations.require_token()


async def test_no_token_of_before_is_accepted_as_long_as_the_longest_may_live(desk, world, ada, clock, table):
    """The deployment's tokens live a week; whoever erased did not know its limits, and no control queue was given."""
    await lived(world, ada, "a1")
    week_s = Limits.AT_MOST["max_token_lifetime_s"]
    longest = replace(LIMITS, max_token_lifetime_s=week_s)
    deployed = World(Storage(table, limits=longest), world.runtime, Scripted([]))
    old = replace(ada, expires_at=int(clock()) + week_s)
    assert desk.erase(control_queue=None)
    clock.advance(old.expires_at - clock() - 1)
    with pytest.raises(TokenRejected):
        deployed.open(old, "a2")


async def test_sockets_rows_stay_until_they_were_closed(desk, world, ada):
    """Control finds by them whom to tell; then they go too."""
    seen: list[str] = []
    desk.meanwhile.append(lambda: seen.extend(row["SK"]["S"] for row in rows(ada)))
    desk.erase()
    assert "LIVE#CONN#a1" in seen
    assert not [row for row in rows(ada) if "CONN" in row["SK"]["S"]]


async def test_who_comes_back_is_a_new_user(desk, world, ada, clock):
    await lived(world, ada, "a1")
    desk.erase()
    back = replace(ada, issued_at=int(clock()) + 1)
    world.connect(back, "a9")
    assert world.say(back, "a9", "list_threads") == [{"threads": []}]
    assert world.say(back, "a9", "get_context", name="user.name") == [{"name": "user.name", "value": {}, "version": 0}]


async def test_it_waits_for_the_run_that_writes_a_thread(desk, world, ada, clock):
    """Its lease is respected: the sweep comes after the worker's last write."""
    threads = await lived(world, ada, "a1")
    log = world.storage.for_user(ada).log(threads[0])
    lease = Lease("a worker", "r", 1)
    log.take_lease(lease)
    message = keys.message(keys.log(ada.user, threads[0]), 99)

    def last_words():
        texts = {**message, "content": SECRET}
        boto3.client("dynamodb").put_item(TableName="agentsocket", Item={name: {"S": t} for name, t in texts.items()})
        world.storage.for_user(ada).thread_deletion(threads[0]).end_run("r", owner="a worker")

    desk.meanwhile += [lambda: None, last_words]
    assert desk.erase()
    assert f"thread {threads[0]}: a run is under way, and ends" in desk.seen
    assert SECRET not in json.dumps(rows(ada))


async def test_a_worker_that_died_holds_nothing_up_for_longer_than_its_lease(desk, world, ada):
    threads = await lived(world, ada, "a1")
    world.storage.for_user(ada).log(threads[0]).take_lease(Lease("dead", "r", 1))
    assert desk.erase()


async def test_a_worker_that_wrote_nothing_leaves_no_head_for_ever(desk, world, ada):
    """It took the lease of a new thread, and died or met the tombstone."""
    accepted = world.send(ada, "a1", "a question", message_id="m1")
    world.storage.for_user(ada).log(accepted["thread_id"]).take_lease(Lease("dead", accepted["run_id"], 1))
    assert desk.erase()
    [head] = [row for row in rows(ada) if row["SK"]["S"] == "META"]
    assert "expires_at" in head


async def test_a_head_that_would_stay_for_ever_is_counted_as_left(world, ada):
    user = world.storage.for_user(ada)
    accepted = world.send(ada, "a1", "a question", message_id="m1")
    before = user.erasure.remaining()
    user.log(accepted["thread_id"]).take_lease(Lease("dead", accepted["run_id"], 1))
    assert user.erasure.remaining() - before == {"heads of threads": 1}


class Interrupted:
    """An agent that says when it is in the middle of its answer, and goes on when it may."""

    def __init__(self) -> None:
        self.there, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def run(self, _turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Text("as far as here ")
        self.there.set()
        await self.may_go_on.wait()
        yield Text(SECRET)
        yield Report()


async def test_a_run_under_way_ends_silently(desk, world, ada):
    """Its thread is gone, and the worker writes nothing any more: the run ends without an event."""
    await lived(world, ada, "a1")
    agent = Interrupted()
    world.agents["usage_analyst"] = lambda: agent
    accepted = world.send(ada, "a1", "a question", message_id="under-way")
    del world.queue.waiting[:-1]  # the deletion
    working = asyncio.create_task(world.work())
    await agent.there.wait()
    user = world.storage.for_user(ada)
    for thread_id in user.erasure.threads():
        user.thread_deletion(thread_id, by="erase-user").hide()
    user.erasure.revoke_tokens(not_before=2**40)
    written = told(user, accepted["thread_id"])
    agent.may_go_on.set()
    await working
    [run] = [row for row in rows(ada) if row["SK"]["S"] == f"RUN#{accepted['run_id']}"]
    assert (run["state"]["S"], run["outcome"]["S"], run["content"]["S"]) == ("stopped", "stopped", "")
    assert "agent_started" in written
    assert set(told(user, accepted["thread_id"])[len(written) :]) <= {"partial_result"}  # and no ending
    assert SECRET not in json.dumps(transcript(ada, accepted["thread_id"]))
    assert desk.erase()
    assert SECRET not in json.dumps(rows(ada))


def told(user: UserStorage, thread_id: str) -> list[str]:
    """The types of the events in a thread's log."""
    events, _more = user.log(thread_id).events(after=0, limit=100)
    return [json.loads(event.frame)["type"] for event in events]


def transcript(who: Principal, thread_id: str) -> list[dict[str, Any]]:
    return [row for row in rows(who) if row["PK"]["S"].endswith(thread_id) and row["SK"]["S"].startswith("MESSAGE#")]


async def test_a_command_that_is_refused_meanwhile_holds_nothing_up(desk, world, ada):
    """It counts, in a row that expires; and so it does when it comes again and again."""
    await lived(world, ada, "a1")
    user = world.storage.for_user(ada)
    user.erasure.remove_rows(live=True)
    assert "QUOTA" not in user.erasure.remaining()
    user.quotas.connect()
    assert "QUOTA" not in user.erasure.remaining()
    assert user.erasure.retained()["QUOTA"] == 1
    assert desk.erase()
    assert "QUOTA" not in kinds(ada)


async def test_what_a_command_wrote_meanwhile_goes_with_the_second_look(desk, world, ada):
    """It had been admitted before the first step."""
    await lived(world, ada, "a1")
    user = world.storage.for_user(ada)
    desk.meanwhile.append(lambda: user.threads.create("late", title=SECRET, metadata={}))
    desk.meanwhile.append(lambda: None)
    assert desk.erase()
    assert SECRET not in json.dumps(rows(ada))


async def test_it_says_so_when_something_goes_on_writing(desk, world, ada):
    """And does not go on for ever."""
    await lived(world, ada, "a1")
    assert not desk.erase(contexts=Restless(world))
    assert desk.seen[-1] == "still being written: 1 THREAD"


class Restless:
    """Contexts whose user begins a thread whenever all is forgotten."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made = 0

    def for_user(self, who: Principal) -> Any:
        self._threads = self._world.storage.for_user(who).threads
        return self

    def erase(self) -> None:
        self._made += 1
        self._threads.create(f"late-{self._made}", title=SECRET, metadata={})


async def test_a_crash_at_any_write_leaves_nothing_readable_and_the_next_time_finishes(world, ada, bob, dynamodb):
    """H5's rule for the whole of a user: hidden at once, and resumable from everywhere."""
    await lived(world, bob, "b1")
    world.queue.waiting.clear()
    kept = rows(bob)
    at, finished = 0, False
    while not finished:
        await lived_anew(world, ada, at)
        desk, crash = Desk(world), Crash(dynamodb, after=at)
        try:
            with crash:
                finished = desk.erase()
        except Unavailable:
            assert crash.writes == at
        if crash.writes:
            assert any(row["SK"]["S"] == "LIVE#REVOKED#ALL" for row in rows(ada))
        if crash.writes > 4:
            assert world.storage.for_user(ada).threads.page(limit=9)[0] == []
        assert Desk(world).erase()
        assert SECRET not in json.dumps(rows(ada))
        at += 3
    assert rows(bob) == kept
    assert at > 20


async def lived_anew(world: World, who: Principal, number: int) -> None:
    """Two threads of a user whose tokens are good again."""
    session = replace(who, issued_at=int(world.runtime.clock()) + 60 + number)
    world.connect(session, f"c{number}")
    change(world.contexts.for_user(who).own, "user.name", {"of": SECRET})
    for thread in range(2):
        world.send(session, f"c{number}", SECRET, message_id=f"m{number}-{thread}")
        await world.work()


class Crash:
    """A DynamoDB that takes so many writes and then none, for the length of the block."""

    def __init__(self, client: Any, *, after: int) -> None:
        self.writes = 0
        self._after = after
        self._events = client.meta.events

    def __enter__(self) -> None:
        self._events.register("before-call.dynamodb", self._count)

    def __exit__(self, *_: object) -> None:
        self._events.unregister("before-call.dynamodb", self._count)

    def _count(self, model: Any, **_rest: Any) -> None:
        if model.name in ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"):
            if self.writes >= self._after:
                raise Unavailable("the power is gone")
            self.writes += 1


async def test_a_user_who_never_was_is_an_error_and_nothing_is_written(desk, world, ada):
    await lived(world, ada, "a1")
    before = boto3.client("dynamodb").scan(TableName="agentsocket")["Items"]
    for _ in range(2):
        with pytest.raises(Unknown, match=f"issuer {ISSUER!r} and subject 'nobody'"):
            desk.erase("nobody")
    assert boto3.client("dynamodb").scan(TableName="agentsocket")["Items"] == before
    assert desk.orders.revoked == []


async def test_who_was_erased_may_be_erased_again(desk, world, ada):
    """Only tombstones, and which tokens are dead, are left of them."""
    await lived(world, ada, "a1")
    assert desk.erase()
    assert desk.erase()


async def test_what_redis_alone_remembers_of_a_user_goes_though_the_table_knows_nobody(
    desk, world, table, ada, clock, redis_process
):
    with remembered("redis", table, clock, redis_process) as kept:
        world.contexts = kept.store
        own = kept.store.for_user(principal.of_revocation(ISSUER, "carol")).own
        change(own, "user.name", {"of": SECRET})
        with pytest.raises(Unknown):
            desk.erase("carol")
        assert own.load("user.name").value == {}
