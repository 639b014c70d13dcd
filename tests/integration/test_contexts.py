"""Many writers and readers at once, on a DynamoDB that loses nothing (ministack) and a real Redis (K4, K6, K7)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from agentsocket.contexts.contract import Contexts, ContextStore, UserContexts, change
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.redis_store import RedisContexts
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.errors import BadRequest, NotFound, Unavailable, VersionConflict
from agentsocket.limits import Limits
from agentsocket.principal import Principal, of_queued
from agentsocket.storage import keys
from agentsocket.storage.table import Table, put
from local.emulators.ministack import Ministack
from tests.conftest import create_table
from tests.support.waiting import TIME_FACTOR

LIMITS = Limits(redis_timeout_ms=int(5000 * TIME_FACTOR), redis_connect_timeout_ms=int(5000 * TIME_FACTOR))
WRITERS = 6
ROUNDS = 15


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Table]]:
    """Makes clients of one table, each as a process of its own has it."""
    loop = asyncio.new_event_loop()
    ministack = Ministack(tmp_path_factory.mktemp("ministack"))
    loop.run_until_complete(ministack.start())
    access = ministack.access

    def client() -> Table:
        config = Config(connect_timeout=5, read_timeout=60, max_pool_connections=2 * WRITERS)
        session = boto3.Session(access.aws_access_key_id, access.aws_secret_access_key, region_name=access.region_name)
        made = session.client("dynamodb", endpoint_url=access.endpoint_url, config=config)
        return Table(made, "agentsocket", now=time.time)

    create_table(client()._client)
    yield client
    loop.run_until_complete(ministack.stop())
    loop.close()


@dataclass
class Deployment:
    """Stores of one kind on the same tiers, as many processes have them."""

    make: Callable[[], ContextStore]
    table: Table
    servers: list[RedisServer] = field(default_factory=list)
    user: Principal = field(default_factory=lambda: of_queued(uuid4().hex))

    def process(self) -> UserContexts:
        return self.make().for_user(self.user)


@pytest.fixture(params=["dynamodb", "redis", "tiered"])
def deployment(request, database, redis_process) -> Iterator[Deployment]:
    table, name = database(), uuid4().hex

    def server() -> RedisServer:
        servers.append(redis_process.server(LIMITS))
        return servers[-1]

    def make() -> ContextStore:
        if request.param == "redis":
            return RedisContexts(server(), name, limits=LIMITS, now=time.time)
        rows = TableContexts(table, limits=LIMITS)
        return rows if request.param == "dynamodb" else TieredContexts(rows, server(), name, limits=LIMITS)

    deployment = Deployment(make, table)
    servers = deployment.servers
    yield deployment
    for each in servers:
        each.close()


def at_once(*tasks: Callable[[], None]) -> None:
    """Run all in threads, and raise what one of them raised."""
    failed: list[BaseException] = []

    def run(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failed.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_many_writers_lose_no_update_and_each_version_has_one_author(deployment):
    """K4, K6: every process loads, counts one up, saves; who is told of a conflict begins again."""
    won: list[int] = []
    lost: list[int] = []

    def count(own: Contexts) -> None:
        for _ in range(ROUNDS):
            while True:
                found = own.load("a")
                try:
                    saved = own.save("a", {"n": found.value.get("n", 0) + 1}, version=found.version)
                except VersionConflict:
                    lost.append(found.version)
                else:
                    won.append(saved.version)
                    break

    at_once(*(partial(count, deployment.process().own) for _ in range(WRITERS)))
    assert deployment.process().own.load("a").value == {"n": WRITERS * ROUNDS}
    assert len(set(won)) == len(won) == WRITERS * ROUNDS
    assert lost, "they did meet"


def test_changes_of_different_members_all_come_to_be(deployment):
    """K4: a change that meets another is made again."""

    def finish(number: int) -> None:
        change(deployment.process().own, "a", {f"of {number}": {"done": True}})

    at_once(*(partial(finish, number) for number in range(WRITERS)))
    assert deployment.process().own.load("a").value == {f"of {n}": {"done": True} for n in range(WRITERS)}


def test_creations_at_once_keep_to_the_limit(deployment):
    """K1: strictly, though nobody counts the rows."""
    created: list[str] = []

    def create(number: int, own: Contexts) -> None:
        for n in range(12):
            while True:
                try:
                    created.append(own.save(f"{number}.{n}", {}, version=0).name)
                except Unavailable:
                    continue
                except BadRequest:
                    pass
                break

    at_once(*(partial(create, number, deployment.process().own) for number in range(WRITERS)))
    assert len(created) == LIMITS.max_remembered
    assert all(deployment.process().own.load(name).version for name in created)


def test_a_thread_that_is_deleted_under_its_writers_keeps_nothing(deployment):
    """H5: whatever they are in the middle of."""
    thread = keys.thread(deployment.user.user, "t1")
    deployment.table.write(put({**thread, "thread_id": "t1"}))
    begun = threading.Event()

    def write(number: int, contexts: Contexts) -> None:
        for n in range(1000):
            found = contexts.load(f"{number}.{n % 3}")
            try:
                contexts.save(found.name, {"n": n}, version=found.version)
            except (NotFound, VersionConflict, Unavailable) as error:
                if isinstance(error, NotFound):
                    return
            if n == 5:
                begun.set()

    def delete() -> None:
        assert begun.wait(30 * TIME_FACTOR)
        user = deployment.process()
        deployment.table.write(put({**thread, "thread_id": "t1", "deleted_at": 1}))
        user.delete_thread("t1")
        time.sleep(0.2)
        user.delete_thread("t1")

    at_once(delete, *(partial(write, number, deployment.process().of_thread("t1")) for number in range(3)))
    left = [deployment.process().of_thread("t1").load(f"{n}.{m}").version for n in range(3) for m in range(3)]
    assert left == [0] * 9


def test_once_anyone_has_read_a_version_nobody_reads_an_older_one(database, redis_process):
    """K7: some readers get theirs from Redis, one always from DynamoDB, as who has seen a fault."""
    name, user, table = uuid4().hex, of_queued(uuid4().hex), database()
    servers = [redis_process.server(LIMITS) for _ in range(5)]
    stores = [TieredContexts(TableContexts(table, limits=LIMITS), server, name, limits=LIMITS) for server in servers]
    *processes, doubting = [store.for_user(user).own for store in stores]
    stores[-1]._cache._distrusted_until = time.time() + 3600
    seen, over = [0], threading.Event()
    lock = threading.Lock()

    def read(own: Contexts) -> None:
        while not over.is_set():
            with lock:
                before = seen[0]
            found = own.load("a").version
            assert found >= before, "an older one than somebody had read before this read began"
            with lock:
                seen[0] = max(seen[0], found)

    def write(own: Contexts, versions: list[int]) -> None:
        for n in range(150):
            try:
                versions.append(own.save("a", {"n": n}, version=own.load("a").version).version)
            except VersionConflict:
                continue
            with lock:
                seen[0] = max(seen[0], versions[-1])

    written: list[list[int]] = [[], []]

    def write_both() -> None:
        try:
            at_once(partial(write, processes[0], written[0]), partial(write, processes[1], written[1]))
        finally:
            over.set()

    at_once(write_both, *(partial(read, own) for own in (*processes[2:], doubting)))
    for server in servers:
        server.close()
    assert all(first < second for log in written for first, second in pairwise(log))
    assert seen[0] == max(written[0] + written[1])
