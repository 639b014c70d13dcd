"""Contexts in DynamoDB: what a call costs, and what happens when somebody dies, comes in between, or says it twice."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config

from agentsocket.contexts.contract import Context
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.errors import BadRequest, NotFound, Unavailable, VersionConflict
from agentsocket.limits import Limits
from agentsocket.storage.table import Table
from agentsocket.storage.thread_deletion import ThreadDeletion
from tests.support.context_stores import remembered
from tests.support.fault_injection import Meddled

LIMITS = Limits(max_remembered=3)


@pytest.fixture
def client(dynamodb):
    return Meddled(dynamodb)


@pytest.fixture
def world(client, clock, redis_process):
    with remembered("dynamodb", Table(client, "agentsocket", now=clock), clock, redis_process, limits=LIMITS) as world:
        world.begin_thread("ada", "t1")
        client.reset()
        yield world


def rows():
    return boto3.client("dynamodb").scan(TableName="agentsocket", ConsistentRead=True)["Items"]


def test_a_load_is_one_read_and_a_change_one_write(world, client):
    scope = world.of("ada").of_thread("t1")
    first = scope.save("a", {}, version=0)
    assert client.names == ["transact_write_items"]
    client.reset()
    scope.load("a")
    scope.save("a", {}, version=first.version)
    assert client.names == ["get_item", "put_item"]


def test_a_write_whose_answer_was_lost_is_recognised(world, client):
    """K4: the SDK writes a second time, and meets what it wrote itself."""
    own = world.of("ada").own
    first = own.save("a", {"n": 1}, version=0)
    client.twice = True
    second = own.save("a", {"n": 2}, version=first.version)
    assert own.load("a") == second


def test_a_creation_whose_answer_was_lost_is_recognised(world, client, dynamodb):
    """K4: also when the second transaction comes without the first one's token."""
    own = world.of("ada").own

    def twice(**parameters):
        dynamodb.transact_write_items(**parameters)
        return dynamodb.transact_write_items(**parameters)

    client.transact_write_items = twice
    created = own.save("a", {"n": 1}, version=0)
    assert own.load("a") == created


def test_a_creation_is_counted_once_however_often_it_is_refused(world):
    """K1."""
    own = world.of("ada").own
    first = own.save("a", {}, version=0)
    for _ in range(5):
        with pytest.raises(VersionConflict):
            own.save("a", {}, version=0)
    own.save("b", {}, version=0)
    own.save("c", {}, version=0)
    assert own.load("a") == first


def test_a_thread_that_was_never_there_gets_no_context(world):
    with pytest.raises(NotFound):
        world.of("ada").of_thread("t9").save("a", {}, version=0)
    assert [row for row in rows() if row["SK"]["S"].startswith("CONTEXT")] == []


def test_a_creation_that_meets_the_deletion_half_way_leaves_nothing(world, client):
    """H5: the thread is deleted and swept between the look and the write."""
    scope = world.of("ada").of_thread("t1")
    assert scope.load("a").version == 0

    def delete() -> None:
        world.hide_thread("ada", "t1")
        world.of("ada").delete_thread("t1")

    client.reset()
    client.before[0] = delete
    with pytest.raises(NotFound):
        scope.save("a", {}, version=0)
    assert [row for row in rows() if row["SK"]["S"].startswith("CONTEXT")] == []


def test_the_sweep_of_a_deleted_thread_takes_its_contexts(world):
    """H5: they lie before META in the thread's partition, their count too."""
    world.of("ada").of_thread("t1").save("a", {}, version=0)
    world.of("ada").of_thread("t1").save("z" * 64, {}, version=0, lifetime_s=1)
    world.clock.advance(10)
    erasure = ThreadDeletion(world.table, world.principal("ada").user, "t1", by="d1", limits=world.limits)
    erasure.hide()
    while erasure.sweep():
        pass
    assert [row for row in rows() if row["SK"]["S"].startswith("CONTEXT")] == []


def test_a_full_scope_is_not_counted_anew_at_every_try(world, client):
    """Cost is an attack surface: its rows are read once a minute."""
    own = world.of("ada").own
    for name in "abc":
        own.save(name, {}, version=0)
    with pytest.raises(BadRequest):
        own.save("d", {}, version=0)
    client.reset()
    with pytest.raises(BadRequest):
        own.save("d", {}, version=0)
    assert "query" not in client.names
    client.reset()
    world.clock.advance(60)
    with pytest.raises(BadRequest):
        own.save("d", {}, version=0)
    assert "query" in client.names


def test_room_is_found_at_the_moment_that_a_context_ends(world):
    """K5: not a minute later."""
    own = world.of("ada").own
    for name in "abc":
        own.save(name, {}, version=0, lifetime_s=10)
    with pytest.raises(BadRequest):
        own.save("d", {}, version=0)
    world.clock.advance(10)
    assert own.save("d", {}, version=0).version


def test_room_of_rows_that_dynamodb_has_removed_itself_is_found(world):
    """TTL deletes without a word."""
    own = world.of("ada").own
    for name in "abc":
        own.save(name, {}, version=0, lifetime_s=10)
    world.clock.advance(11)
    world.table.remove([{"PK": row["PK"]["S"], "SK": row["SK"]["S"]} for row in rows() if "write_id" in row])
    for name in "def":
        own.save(name, {}, version=0)
    with pytest.raises(BadRequest):
        own.save("g", {}, version=0)


def test_an_expired_row_that_a_slower_clock_revives_is_counted_still(world, client):
    """K1: between the count and what comes of it."""
    own = world.of("ada").own
    saved = {name: own.save(name, {}, version=0, lifetime_s=10) for name in "abc"}
    world.clock.advance(10)

    def revive() -> None:
        world.clock.advance(-1)
        own.save("a", {}, version=saved["a"].version)
        world.clock.advance(1)

    client.reset()
    client.before[3] = revive  # after the refusal, the look at it, and the query
    own.save("d", {}, version=0)
    own.save("e", {}, version=0)
    with pytest.raises(BadRequest):
        own.save("f", {}, version=0)
    assert [own.load(name).version > 0 for name in "abcde"] == [True, False, False, True, True]


def test_no_context_ends_early(world, clock):
    """K5: rows end at whole seconds."""
    own = world.of("ada").own
    clock.advance(0.9)
    saved = own.save("a", {}, version=0, lifetime_s=1)
    clock.advance(0.95)
    assert own.load("a") == saved
    clock.advance(1)
    assert own.load("a") == Context("a", {}, 0)


def test_24_hours_of_use(world, clock):
    """K5: nothing ends early, nothing lives on, no version comes twice."""
    own, ends, versions = world.of("ada").own, dict[str, float](), list[tuple[str, int]]()
    lifetimes = {"minute": 60, "hour": 3600, "day": 86_400}
    began = clock()
    while clock() < began + 86_400:
        for name, lifetime_s in lifetimes.items():
            found = own.load(name)
            assert (found.version > 0) == (clock() < ends.get(name, 0)), name
            if not found.version or int(clock()) % 7 == 0:
                saved = own.save(name, {"at": clock()}, version=found.version, lifetime_s=lifetime_s)
                ends[name] = clock() + lifetime_s
                versions.append((name, saved.version))
        clock.advance(437)
    assert len(versions) == len(set(versions))
    for name in lifetimes:
        of_name = [version for at, version in versions if at == name]
        assert of_name == sorted(of_name)
    clock.advance(86_400)
    assert [own.load(name).version for name in lifetimes] == [0, 0, 0]


def test_a_table_that_does_not_answer_is_unavailable(clock):
    """L2."""
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    nowhere = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=config)
    store = TableContexts(Table(nowhere, "agentsocket", now=clock), limits=LIMITS)
    with pytest.raises(Unavailable):
        store.state()
