"""E7: every public method of storage and of contexts, with two users on one table and one Redis.

Ada has something of everything. Bob calls a method with her ids and names: he asks for no key of hers, hears what he
would hear had she never been there, and nothing of hers changes. Ada's own call of the same kind finds or changes
something, so that the case is not about nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from agentsocket import principal
from agentsocket.contexts.contract import ContextStore
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.redis_store import RedisContexts
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.errors import AgentSocketError
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import create_table, mocked_aws, principal_of
from tests.support import redis_server
from tests.support.fakes import Clock
from tests.support.iam_recording import Recorder
from tests.support.two_users import (
    CASES,
    CONTEXT_CASES,
    ONLY_IN,
    Case,
    Remembered,
    connected,
    prepared,
    remembered,
    surface,
)

LIMITS = Limits(redis_timeout_ms=20_000, redis_connect_timeout_ms=20_000)
STORES = ("dynamodb", "redis", "tiered")
_NEW = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")  # a ULID, another one each time


class World:
    """A table with Ada in it, and one where she never was."""

    def __init__(self, client: Any, look: Any) -> None:
        """`look` is a second client, for what the test itself wants to know."""
        self.clock = Clock()
        self.recorder = Recorder(client)
        self.look = look
        for name in ("with", "without"):
            create_table(look, name)
        self.tables = {name: Table(client, name, now=self.clock) for name in ("with", "without")}
        self.with_ada, self.without = (
            Storage(self.tables[name], limits=LIMITS, generation="1") for name in ("with", "without")
        )
        # Whom the auth service could not be asked about: less goes without a look at the rows.
        self.ada, self.bob = (principal.checked(principal_of(name, self.clock), "degraded") for name in ("ada", "bob"))

    def adas_rows(self) -> list[Any]:
        rows = self.look.get_paginator("scan").paginate(TableName="with").build_full_result()["Items"]
        return [row for row in rows if belongs(row["PK"]["S"], self.ada)]


def belongs(partition: str, who: Principal) -> bool:
    return partition == f"USER#{who.user}" or partition.startswith(f"USER#{who.user}#")


@pytest.fixture(scope="module")
def clients() -> Iterator[tuple[Any, Any]]:
    with mocked_aws():
        yield boto3.client("dynamodb"), boto3.client("dynamodb")


@pytest.fixture
def world(clients: tuple[Any, Any]) -> Iterator[World]:
    client, look = clients
    yield World(client, look)
    for name in ("with", "without"):
        look.delete_table(TableName=name)


def outcome(call: Callable[[], Any], who: Principal) -> str:
    """What somebody hears, without what is new each time."""
    try:
        heard = repr(call())
    except AgentSocketError as error:
        heard = f"{type(error).__name__}: {error} {vars(error)}"
    return _NEW.sub("<new>", heard.replace(who.user, "<user>"))


@pytest.mark.parametrize(
    ("door", "beside"),
    [(Storage, "reachable"), (TableContexts, "state"), (RedisContexts, "state"), (TieredContexts, "state")],
)
def test_before_anyone_is_known_there_is_one_door_and_a_look_at_health(door, beside):
    """E7: nothing can be asked of anybody's rows before a principal is named."""
    assert {name for name in vars(door) if not name.startswith("_")} == {"for_user", beside}


EACH = [pytest.param(case, id=f"{name}-{number}") for name, cases in CASES.items() for number, case in enumerate(cases)]


def test_every_public_method_of_storage_has_a_case(world):
    """E7: a new method fails here until it has one."""
    found = set(surface(world.without.for_user(world.bob)))
    assert found - set(CASES) == set(), "methods without a case in tests/support/two_users.py"
    assert set(CASES) - found == set(), "cases of methods that are gone"


@pytest.mark.parametrize("case", EACH)
def test_another_user_s_names_read_change_and_tell_nothing(world: World, case: Case):
    """E7."""
    adas = world.with_ada.for_user(world.ada)
    bobs, alone = (storage.for_user(world.bob) for storage in (world.with_ada, world.without))
    hers = prepared(adas)
    for each in (bobs, alone):
        connected(each)
    if case.before is not None:
        case.before(adas)
    before = world.adas_rows()
    world.recorder.take()

    heard = outcome(lambda: case.call(bobs, hers), world.bob)
    asked = world.recorder.take()

    assert all(belongs(key, world.bob) for access in asked for key in access.keys)
    assert bool(asked) is not case.pure
    assert heard == outcome(lambda: case.call(alone, hers), world.bob)
    assert world.adas_rows() == before
    if not (case.pure or case.tells_nothing):
        hears = outcome(lambda: case.call(adas, hers), world.ada)
        assert hears != heard or world.adas_rows() != before, "the case is about nothing"


def test_what_two_users_call_the_same_gets_two_ids(world):
    """H7: ids that are derived from a client's own words, so that a command can be repeated."""
    adas, bobs = (world.with_ada.for_user(who) for who in (world.ada, world.bob))
    threads = {user.threads.create("the same", title="", metadata={})[0].thread_id for user in (adas, bobs)}
    assert len(threads) == len({user.runs.id_of("message") for user in (adas, bobs)}) == 2
    assert len({user.runs.retry(prepared(user).run).run_id for user in (adas, bobs)}) == 2


# Contexts.


@dataclass(frozen=True)
class Shared:
    """One Redis, for whoever Redis is told is asking."""

    process: redis_server.RedisProcess
    look: Any

    def only_for(self, who: Principal) -> RedisServer:
        """A connection that Redis itself lets touch that user's keys only; what it refuses is in its ACL log."""
        self.look.execute_command("ACL", "SETUSER", who.user, "reset", "on", ">word", f"~*{{{who.user}}}*", "+@all")
        return RedisServer("127.0.0.1", self.process.port, username=who.user, password="word", limits=LIMITS)

    def keys_of(self, who: Principal) -> dict[bytes, Any]:
        return {key: self.look.dump(key) for key in self.look.keys(f"*{who.user}*")}

    def refused(self) -> list[Any]:
        found: list[Any] = self.look.execute_command("ACL", "LOG")
        return found


@pytest.fixture(scope="module")
def process() -> Iterator[redis_server.RedisProcess]:
    with redis_server.running() as process:
        yield process


@pytest.fixture
def shared(process: redis_server.RedisProcess) -> Iterator[Shared]:
    with process.client() as look:
        look.flushall()
        look.execute_command("ACL", "LOG", "RESET")
        yield Shared(process, look)


class Stores:
    """The three context stores with Ada in them, and without; each user's own connection to Redis."""

    def __init__(self, kind: str, world: World, shared: Shared) -> None:
        self._kind, self._world = kind, world
        self._servers = {who.user: shared.only_for(who) for who in (world.ada, world.bob)}

    def of(self, who: Principal, table: str = "with") -> Any:
        """One user's contexts, in the world with Ada or in the one without."""
        return self._store(self._servers[who.user], table).for_user(who)

    def _store(self, server: RedisServer, name: str) -> ContextStore:
        table = TableContexts(self._world.tables[name], limits=LIMITS)
        if self._kind == "dynamodb":
            return table
        if self._kind == "redis":
            return RedisContexts(server, name, limits=LIMITS, now=self._world.clock)
        return TieredContexts(table, server, name, limits=LIMITS, expiry=self._world.clock)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


@pytest.mark.parametrize("kind", STORES)
def test_every_public_method_of_contexts_has_a_case(kind, world, shared):
    """E7: a new method fails here until it has one."""
    stores = Stores(kind, world, shared)
    found = set(surface(stores.of(world.bob)))
    stores.close()
    cases = {name for name in CONTEXT_CASES if kind in ONLY_IN.get(name, STORES)}
    assert found - cases == set(), "methods without a case in tests/support/two_users.py"
    assert cases - found == set(), "cases of methods that are gone"


def test_both_redis_users_are_kept_to_their_own_keys_by_redis_itself(shared, world):
    """What the tests below rely on: it refuses, and it remembers that it did."""
    server = shared.only_for(world.bob)
    assert server.get(f"with:{{{world.bob.user}}}:context:x") is None
    with pytest.raises(AgentSocketError):
        server.get(f"with:{{{world.ada.user}}}:context:x")
    assert len(shared.refused()) == 1
    server.close()


EACH_CONTEXT = [
    pytest.param(kind, call, id=f"{kind}-{name}-{number}")
    for name, calls in CONTEXT_CASES.items()
    for number, call in enumerate(calls)
    for kind in STORES
    if kind in ONLY_IN.get(name, STORES)
]


@pytest.fixture
def stores(request: pytest.FixtureRequest, world: World, shared: Shared) -> Iterator[Stores]:
    opened = Stores(request.param, world, shared)
    yield opened
    opened.close()


@pytest.mark.parametrize(("stores", "call"), EACH_CONTEXT, indirect=["stores"])
def test_another_user_s_names_reach_nothing_that_is_remembered(
    stores: Stores, world: World, shared: Shared, call: Callable[[Any, Remembered], Any]
):
    """E7."""
    adas, bobs, alone = stores.of(world.ada), stores.of(world.bob), stores.of(world.bob, "without")
    thread, _ = world.with_ada.for_user(world.ada).threads.create("command", title="", metadata={})
    hers = remembered(adas, thread.thread_id)

    def kept() -> Any:
        return world.adas_rows(), shared.keys_of(world.ada)

    before = kept()
    world.recorder.take()

    heard = outcome(lambda: call(bobs, hers), world.bob)

    assert all(belongs(key, world.bob) for access in world.recorder.take() for key in access.keys)
    assert shared.refused() == []
    assert heard == outcome(lambda: call(alone, hers), world.bob)
    assert kept() == before
    assert outcome(lambda: call(adas, hers), world.ada) != heard or kept() != before, "the case is about nothing"
