"""DynamoDB with Redis in front: what a reader can tell (K2, K3, K7). Redis is real; so is its death."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from agentsocket.contexts.contract import change
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.redis_store import RedisContexts
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.errors import NotFound, Unavailable, VersionConflict
from agentsocket.limits import Limits
from agentsocket.storage.table import Table
from tests.support.context_stores import Remembered, remembered
from tests.support.fault_injection import Died, Meddled, die
from tests.support.network_proxy import proxied
from tests.support.redis_server import PASSWORD, running
from tests.support.waiting import TIME_FACTOR

LIMITS = Limits(redis_timeout_ms=int(5000 * TIME_FACTOR), redis_connect_timeout_ms=int(5000 * TIME_FACTOR))
HURRIED = Limits(redis_timeout_ms=100)


class Moment:
    """Real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Process:
    """A process of the deployment: a store of its own, with its own client of Redis and of DynamoDB."""

    def __init__(self, world: Remembered, client: Any, port: int, *, limits: Limits = LIMITS) -> None:
        self.client = Meddled(client)
        meddled: Any = self.client
        self.moment = Moment()
        self.server = RedisServer("127.0.0.1", port, password=PASSWORD, limits=limits)
        rows = TableContexts(Table(meddled, "agentsocket", now=world.clock), limits=limits)
        self.store = TieredContexts(
            rows, self.server, world.deployment, limits=limits, expiry=world.clock, now=self.moment
        )
        self.user = self.store.for_user(world.principal("ada"))
        self.own = self.user.own

    def reads(self, name: str = "a") -> tuple[object, bool]:
        """What it loads, and whether that came from Redis."""
        self.client.reset()
        return self.own.load(name).value.get("n"), not self.client.names

    def let_pass(self, seconds: float, redis: Any) -> None:
        """Time goes by for the process and for the Redis behind the bare client `redis`."""
        self.moment.ahead += seconds
        for key in redis.keys("*"):
            redis.pexpire(key, redis.pttl(key) - int(seconds * 1000))


@pytest.fixture
def world(table, clock, redis_process):
    with remembered("tiered", table, clock, redis_process, limits=LIMITS) as world:
        world.begin_thread("ada", "t1")
        yield world


@pytest.fixture
def start(world, dynamodb, redis_process):
    """Starts processes of the deployment."""
    started = []

    def process(port: int = redis_process.port, **options) -> Process:
        started.append(Process(world, dynamodb, port, **options))
        return started[-1]

    yield process
    for each in started:
        each.server.close()


@pytest.fixture
def bare(redis_process):
    with redis_process.client() as client:
        yield client


def entries(bare, world):
    """What Redis holds for the user, by what is behind the hash tag: how long it will, in ms."""
    found = bare.keys(f"{world.deployment}*")
    return {key.decode().partition("}")[2].removeprefix(":"): bare.pttl(key) for key in found}


# --- without a fault


def test_reads_come_from_redis_also_in_another_process(start):
    """K2: DynamoDB is not asked."""
    writer, reader = start(), start()
    writer.own.save("a", {"n": 1}, version=0)
    assert [writer.reads(), reader.reads()] == [(1, True), (1, True)]


def test_what_redis_does_not_have_is_read_once_and_then_comes_from_it(start, bare, world):
    """K2."""
    writer, reader, another = start(), start(), start()
    writer.own.save("a", {"n": 1}, version=0)
    bare.delete(*bare.keys(f"{world.deployment}*"))
    assert [reader.reads(), reader.reads(), another.reads()] == [(1, False), (1, True), (1, True)]


def test_an_entry_lives_for_a_minute_at_most(start, bare, world):
    """K5: whatever it holds, and however often it is read."""
    process = start()
    kept = process.own.save("a", {"n": 1}, version=0)
    process.own.save("a", {"n": 2}, version=kept.version, lifetime_s=86_400)
    process.user.of_thread("t1").save("a", {}, version=0)
    for _ in range(3):
        process.own.load("a")
    left = entries(bare, world)
    assert left.keys() == {"context:a", "thread:t1:context:a"}
    assert all(0 < left_ms <= 60_000 for left_ms in left.values())


def test_what_has_ended_is_not_read_from_redis(start, world):
    """K5: an entry may outlive its context, by which it keeps older ones away."""
    process = start()
    process.own.save("a", {"n": 1}, version=0, lifetime_s=10)
    world.clock.advance(9)
    assert process.reads() == (1, True)
    world.clock.advance(1)
    assert process.reads() == (None, False)
    process.own.save("a", {"n": 2}, version=0)
    assert start().reads() == (2, True)


def test_24_hours_of_use(start, world):
    """K5: nothing ends early, nothing lives on, whichever tier answers."""
    processes = [start(), start()]
    ends = dict[str, float]()
    lifetimes = {"minute": 60, "hour": 3600, "day": 86_400}
    for step in range(150):
        now = world.clock()
        for name, lifetime_s in lifetimes.items():
            reader, writer = processes[step % 2], processes[step % 3 % 2]
            assert (reader.own.load(name).version > 0) == (now < ends.get(name, 0)), name
            if step % 5 == 0:
                writer.own.save(name, {}, version=writer.own.load(name).version, lifetime_s=lifetime_s)
                ends[name] = now + lifetime_s
        world.clock.advance(577)
    world.clock.advance(86_400)
    assert [process.own.load(name).version for process in processes for name in lifetimes] == [0] * 6


def test_a_refused_write_is_in_no_tier(start, bare, world):
    """K7."""
    process = start()
    first = process.own.save("a", {"n": 1}, version=0)
    second = process.own.save("a", {"n": 2}, version=first.version)
    with pytest.raises(VersionConflict):
        process.own.save("a", {"n": 3}, version=first.version)
    assert [start().own.load("a"), world.of("ada").own.load("a")] == [second, second]
    bare.delete(*bare.keys(f"{world.deployment}*"))
    assert start().own.load("a") == second


def test_a_slow_reader_does_not_put_back_what_was_replaced_meanwhile(start, bare, world):
    """K2, K7: Redis takes only what is newer."""
    writer, slow = start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    bare.delete(*bare.keys(f"{world.deployment}*"))
    slow.client.after[0] = lambda: writer.own.save("a", {"n": 2}, version=first.version)
    assert slow.own.load("a").value == {"n": 1}
    assert start().reads() == (2, True)


def test_a_reader_that_is_too_slow_offers_nothing(start, bare, world):
    """K2: the newer entry may have ended before its offer comes."""
    writer, slow = start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    bare.delete(*bare.keys(f"{world.deployment}*"))

    def replaced_and_over() -> None:
        writer.own.save("a", {"n": 2}, version=first.version)
        bare.delete(*bare.keys(f"{world.deployment}*"))

    slow.moment.ahead = -3  # as if its reading had begun three seconds ago
    slow.client.reset()
    slow.client.after[0] = replaced_and_over
    assert slow.own.load("a").value == {"n": 1}
    assert entries(bare, world).get("context:a", 0) <= 2000, "no more than a mark"
    assert start().reads() == (2, False)


def test_what_comes_late_is_kept_for_so_much_less(start, bare, world):
    """K2: the minute counts from when the reading began."""
    slow = start()
    slow.moment.ahead = -1
    slow.own.save("a", {"n": 1}, version=0)
    assert 0 < entries(bare, world)["context:a"] <= 59_000


def test_a_save_that_nobody_knows_of_leaves_nothing_old_in_redis(start):
    """K7: DynamoDB has it, the answer was lost."""
    writer, reader = start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)

    def lose() -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    writer.client.reset()
    writer.client.after[0] = lose
    with pytest.raises(Unavailable):
        writer.own.save("a", {"n": 2}, version=first.version)
    assert reader.reads() == (2, False)


def test_a_writer_that_is_too_slow_ends_what_is_older(start):
    """K2: its own entry might come too late, but no reader finds the one before."""
    writer, slow = start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    slow.moment.ahead = -3
    slow.own.save("a", {"n": 2}, version=first.version)
    assert [start().reads(), writer.reads()] == [(2, False), (2, False)]


def test_a_reader_from_before_a_slow_writer_puts_nothing_old_back(start, bare, world):
    """K2: it read just before the write took effect, and offers just after the writer came too late."""
    writer, slow, reader = start(), start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    bare.delete(*bare.keys(f"{world.deployment}*"))
    slow.moment.ahead = -3
    reader.client.reset()
    reader.client.after[0] = lambda: slow.own.save("a", {"n": 2}, version=first.version)
    assert reader.own.load("a").value == {"n": 1}
    assert start().reads() == (2, False)


def test_the_newest_version_is_never_refused_for_what_redis_has(start, bare, world):
    """K4: a version is compared with the one that decides."""
    writer, reader = start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    old = {key: (bare.get(key), bare.pttl(key)) for key in bare.keys(f"{world.deployment}*")}
    newest = writer.own.save("a", {"n": 2}, version=first.version)
    for key, (record, lifetime) in old.items():  # as after a fault that nobody here has noticed
        bare.set(key, record, px=lifetime)
    assert reader.own.load("a").value == {"n": 1}
    assert change(reader.own, "a", {"m": 3}, version=newest.version).value == {"n": 2, "m": 3}


def test_a_deleted_thread_s_context_is_not_put_back_by_a_slow_reader(start, bare, world):
    """H5."""
    worker, slow = start(), start()
    worker.user.of_thread("t1").save("a", {"n": 1}, version=0)
    bare.delete(*bare.keys(f"{world.deployment}*"))

    def delete() -> None:
        world.hide_thread("ada", "t1")
        worker.user.delete_thread("t1")

    slow.client.reset()
    slow.client.after[0] = delete
    slow.user.of_thread("t1").load("a")
    assert list(entries(bare, world)) == ["thread:t1:gone"]
    assert worker.user.of_thread("t1").load("a").version == 0
    with pytest.raises(NotFound):
        slow.user.of_thread("t1").save("a", {}, version=0)


def test_what_redis_alone_keeps_is_never_taken_for_an_entry(start, world, redis_process, clock):
    """The two share a server when a deployment changes from one to the other."""
    server = redis_process.server(LIMITS)
    alone = RedisContexts(server, world.deployment, limits=LIMITS, now=clock).for_user(world.principal("ada")).own
    alone.save("a", {"n": "alone"}, version=0)
    assert start().reads() == (None, False)
    clock.advance(1)
    start().own.save("a", {"n": "tiered"}, version=0)
    assert alone.load("a").value == {"n": "alone"}
    server.close()


def test_garbage_in_redis_is_no_context(start, bare, world):
    """Whoever wrote it."""
    process = start()
    saved = process.own.save("a", {"n": 1}, version=0)
    [key] = bare.keys(f"{world.deployment}*")
    for garbage in (b"", b"x", b"1 2", b"\xff\xff \xff {}", b"x y {}"):
        bare.set(key, garbage)
        assert process.own.load("a") == saved
    bare.delete(key)
    bare.lpush(key, "x")
    assert start().own.load("a") == saved


# --- faults


@contextmanager
def killed(process, wire, bare) -> Iterator[None]:
    process.kill()
    yield
    process.start()


@contextmanager
def deaf(process, wire, bare) -> Iterator[None]:
    wire.deaf = True
    yield
    wire.deaf = False


@contextmanager
def silent(process, wire, bare) -> Iterator[None]:
    wire.holding = True
    yield
    wire.holding = False


@contextmanager
def losing_answers(process, wire, bare) -> Iterator[None]:
    wire.losing = 1000
    yield
    wire.losing = 0


@contextmanager
def full(process, wire, bare) -> Iterator[None]:
    bare.config_set("maxmemory", 1)
    yield
    bare.config_set("maxmemory", 0)


@contextmanager
def locked(process, wire, bare) -> Iterator[None]:
    bare.config_set("requirepass", "another")
    bare.client_kill_filter(_type="normal", skipme=True)
    yield
    bare.config_set("requirepass", PASSWORD)


FAULTS = [killed, deaf, silent, losing_answers, full, locked]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_redis_fails_a_call_or_shows_what_is_old(fault, start):
    """K2, K3: who noticed reads from DynamoDB until all that Redis held before is over, and then from Redis again."""
    with running(persistent=True) as redis, proxied(redis.port) as wire, redis.client() as bare:
        process = start(wire.port, limits=HURRIED)
        version = process.own.save("a", {"n": 0}, version=0).version
        with fault(redis, wire, bare):
            for n in range(1, 6):
                version = process.own.save("a", {"n": n}, version=version).version
                assert process.reads() == (n, False)
            assert process.store.state() == "degraded"
        for _ in range(3):
            assert process.reads() == (5, False), "what Redis has now may be old"
        process.let_pass(61, bare)
        assert process.reads()[0] == 5
        assert process.reads() == (5, True)
        assert process.store.state() == "ok"


@pytest.mark.parametrize("fault", [killed, deaf])
def test_redis_that_returns_with_old_entries_is_brought_up_to_date_by_what_is_read(fault, start):
    """K3: then also a process that noticed nothing reads what is new."""
    with running(persistent=True) as redis, proxied(redis.port) as wire, redis.client() as bare:
        process, unaware = start(wire.port, limits=HURRIED), start(redis.port)
        first = process.own.save("a", {"n": 1}, version=0)
        with fault(redis, wire, bare):
            process.own.save("a", {"n": 2}, version=first.version)
        assert unaware.reads() == (1, True), "this is the minute after a fault"
        process.moment.ahead += 6  # the circuit lets one try
        assert process.reads() == (2, False)
        assert unaware.reads() == (2, True)


def test_who_noticed_nothing_reads_what_is_old_for_as_long_as_an_entry_lives_and_no_longer(start):
    """K2: a minute in a deployment, two seconds here."""
    brief = Limits(context_cache_s=2, redis_timeout_ms=LIMITS.redis_timeout_ms)
    with running() as redis, proxied(redis.port) as wire:
        process = start(wire.port, limits=Limits(context_cache_s=2, redis_timeout_ms=100))
        unaware = start(redis.port, limits=brief)
        first = process.own.save("a", {"n": 1}, version=0)
        assert unaware.reads() == (1, True)
        wire.deaf = True
        process.own.save("a", {"n": 2}, version=first.version)
        deadline = time.monotonic() + 2 * TIME_FACTOR
        while unaware.reads() == (1, True):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert unaware.reads()[0] == 2


def test_a_redis_that_is_away_is_not_waited_for_by_every_call(start):
    """K2: after three failures in a row nobody asks it for five seconds, then one does."""
    with running() as redis, proxied(redis.port) as wire:
        process = start(wire.port, limits=HURRIED)
        wire.deaf = True
        version = 0
        for _ in range(4):
            version = process.own.save("a", {}, version=version).version
        asked = wire.asked
        for _ in range(20):
            version = process.own.save("a", {}, version=version).version
            process.own.load("a")
        assert wire.asked == asked
        wire.deaf = False
        process.moment.ahead += 5
        process.own.save("a", {}, version=version)
        assert wire.asked > asked


def test_a_save_that_redis_was_not_told_of_is_not_forgotten_when_the_fault_is(start):
    """K2: the minute counts from the last save that was not offered, not from the last failure."""
    with running() as redis, proxied(redis.port) as wire, redis.client() as bare:
        process = start(wire.port, limits=HURRIED)
        version = process.own.save("a", {"n": 1}, version=0).version
        wire.deaf = True
        for name in "bcd":
            process.own.save(name, {}, version=0)
        wire.deaf = False
        process.let_pass(4, bare)  # the circuit is open still
        [entry] = bare.keys("*")
        bare.pexpire(entry, 60_000)  # another process read it just now
        process.own.save("a", {"n": 2}, version=version)
        process.let_pass(57, bare)  # a minute after the failures, not after the save
        assert process.reads() == (2, False)


def test_a_writer_that_dies_between_the_tiers_is_seen_whole_or_not_at_all(start):
    """K7: once anyone has seen what it wrote, everyone does."""
    writer, reader, doubting = start(), start(), start()
    first = writer.own.save("a", {"n": 1}, version=0)
    writer.client.reset()
    writer.client.after[0] = die
    with pytest.raises(Died):
        writer.own.save("a", {"n": 2}, version=first.version)
    assert reader.reads() == (1, True)
    with pytest.raises(VersionConflict):
        doubting.own.save("a", {"n": 3}, version=first.version)
    assert [doubting.own.load("a").value, reader.own.load("a").value] == [{"n": 2}, {"n": 2}]


def test_who_lost_to_a_newer_version_finds_it_at_the_next_load(start):
    """K4: also when Redis still has the one that lost."""
    with running() as redis, proxied(redis.port) as wire:
        cut_off, unaware = start(wire.port, limits=HURRIED), start(redis.port)
        first = cut_off.own.save("a", {"n": 1}, version=0)
        wire.deaf = True
        second = cut_off.own.save("a", {"n": 2}, version=first.version)
        stale = unaware.own.load("a")
        assert stale == first
        with pytest.raises(VersionConflict):
            unaware.own.save("a", {"n": 3}, version=stale.version)
        assert unaware.own.load("a") == second


def test_who_lost_to_the_end_of_a_context_finds_none_at_the_next_load(start, world):
    """K4."""
    process, unaware = start(), start()
    saved = process.own.save("a", {"n": 1}, version=0)
    world.table.remove([{"PK": f"USER#{world.principal('ada').user}", "SK": "CONTEXT#a"}])
    assert unaware.own.load("a") == saved
    with pytest.raises(VersionConflict):
        unaware.own.save("a", {}, version=saved.version)
    assert [unaware.own.load("a").version, process.own.load("a").version] == [0, 0]


def test_without_redis_from_the_start_everything_works(start, world):
    """L3."""
    process = start(1, limits=HURRIED)
    saved = process.own.save("a", {"n": 1}, version=0)
    assert process.own.load("a") == saved
    in_thread = process.user.of_thread("t1").save("a", {}, version=0)
    assert in_thread.version
    assert process.store.state() == "degraded"
    process.user.erase()
    assert process.own.load("a").version == 0


def test_without_dynamodb_nothing_is_saved_and_the_state_says_so(world, redis_process, clock):
    """K2: DynamoDB decides; L2."""
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    nowhere = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=config)
    lost = Process(world, nowhere, redis_process.port)
    saved = world.of("ada").own.save("a", {"n": 1}, version=0)
    assert lost.own.load("a") == saved, "Redis has it"
    with pytest.raises(Unavailable):
        lost.own.save("a", {"n": 2}, version=saved.version)
    with pytest.raises(Unavailable):
        lost.store.state()
    with pytest.raises(Unavailable):
        lost.own.load("a")
    assert world.of("ada").own.load("a") == saved
    lost.server.close()
