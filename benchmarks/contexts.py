"""Contexts saved and loaded again, by 1, 10 and 100 writers at once, beside a loop that makes the same calls barely.

A writer is a process with clients of its own, as a Lambda environment is; each has a user of its own. The bare loop
makes the very calls that the store makes, with everything prepared that can be: no JSON, no checks, no errors of ours.
Each writer takes turns of milliseconds between the two, so that both meet the same machine. Redis is a real server
without persistence, DynamoDB the laptop's stand-in.

An earlier system claimed 692 a second, which never left its own process; ten times that is the aim on Redis.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import boto3
import redis
from botocore.config import Config

from agentsocket.contexts.contract import ContextStore
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.redis_store import SAVE, RedisContexts
from agentsocket.contexts.tiered import OFFER, OFFER_MS, TieredContexts
from agentsocket.limits import Limits
from agentsocket.principal import of_queued
from agentsocket.storage import keys
from agentsocket.storage.table import Table
from local.emulators.ministack import Ministack
from tests.conftest import create_table
from tests.support.redis_server import PASSWORD, running

WRITERS = (1, 10, 100)
MEASURED_S = 3
TURN = 10  # pairs of one way at a time
CLAIM_PER_S = 692
STORES = ("redis", "dynamodb", "tiered")
PATIENT = Limits(redis_timeout_ms=60_000, redis_connect_timeout_ms=60_000)
STATE = {"step": 7, "goal": "compare two quarters", "files": ["usage.csv"] * 5, "notes": "seen before " * 20}
TEXT = json.dumps(STATE, separators=(",", ":"))
_PATIENCE_S = 60

NAME = "agent.state"

Pair = Callable[[], None]  # one save and one load
Calls = tuple[Callable[[int], object], Callable[[], object]]  # of a version, and of what is there


@dataclass(frozen=True)
class Tiers:
    """What all writers use. The DynamoDB client is made once, and connects in each process anew."""

    port: int
    dynamodb: Any

    def client(self) -> Any:
        return redis.Redis(host="127.0.0.1", port=self.port, password=PASSWORD, protocol=2)


def measure() -> None:
    """Print one line per store and number of writers."""
    with running() as process, _dynamodb() as client:
        tiers = Tiers(process.port, client)
        for store in STORES:
            for writers in WRITERS:
                bare, ours = _together(store, writers, tiers)
                aim = f"   aim: {10 * CLAIM_PER_S}" if store == "redis" else ""
                beside = (
                    f"{ours / bare:4.2f} of it (aim: 0.8)   {ours / CLAIM_PER_S:5.1f} x the claim of {CLAIM_PER_S}/s"
                )
                line = f"  {store:<9}{writers:>4} writers {ours:7.0f} save+load/s   bare {bare:7.0f}/s   {beside}{aim}"
                print(line, flush=True)


def _together(store: str, writers: int, tiers: Tiers) -> tuple[float, float]:
    """Pairs a second of all writers, barely and by the store."""
    fork = multiprocessing.get_context("fork")
    start, results = fork.Barrier(writers), fork.Queue()
    users = [f"{store}.{writers}.{number}" for number in range(writers)]
    processes = [fork.Process(target=_write, args=(store, user, tiers, start, results)) for user in users]
    for process in processes:
        process.start()
    rates = [results.get(timeout=_PATIENCE_S) for _ in processes]
    for process in processes:
        process.join(_PATIENCE_S)
    results.close()
    bare, ours = (sum(column) for column in zip(*rates, strict=True))
    return bare, ours


def _write(store: str, user: str, tiers: Tiers, start: Barrier, results: Any) -> None:
    """One writer: both ways in turn, begun together with all others; how often each a second goes into `results`."""
    ways = [_bare(store, user, tiers), _ours(store, user, tiers)]
    for way in ways:
        way()
    took, done = [0.0, 0.0], 0
    start.wait(_PATIENCE_S)
    while sum(took) < MEASURED_S:
        done += TURN
        for index in (0, 1):
            took[index] += _time(ways[index])
    results.put([done / each for each in took])


def _time(pair: Pair) -> float:
    began = time.perf_counter()
    for _ in range(TURN):
        pair()
    return time.perf_counter() - began


def _ours(store: str, user: str, tiers: Tiers) -> Pair:
    own = _store(store, tiers).for_user(of_queued(user)).own
    version = 0

    def pair() -> None:
        nonlocal version
        version = own.save(NAME, STATE, version=version).version
        assert own.load(NAME).version == version

    return pair


def _store(store: str, tiers: Tiers) -> ContextStore:
    server = RedisServer("127.0.0.1", tiers.port, password=PASSWORD, limits=PATIENT)
    if store == "redis":
        return RedisContexts(server, "bench", limits=PATIENT, now=time.time)
    rows = TableContexts(Table(tiers.dynamodb, "agentsocket", now=time.time), limits=PATIENT)
    return rows if store == "dynamodb" else TieredContexts(rows, server, "bench", limits=PATIENT)


def _bare(store: str, user: str, tiers: Tiers) -> Pair:
    calls = {"redis": [_redis], "dynamodb": [_row], "tiered": [_row, _entry]}[store]
    saves, loads = zip(*(call(user, tiers) for call in calls), strict=True)
    version = 0

    def pair() -> None:
        nonlocal version
        version += 1
        for save in saves:
            save(version)
        loads[-1]()

    return pair


def _redis(user: str, tiers: Tiers) -> Calls:
    client, scope = tiers.client(), keys.redis_user("bare", user)
    key, names, sha = keys.redis_context(scope, NAME), keys.redis_names(scope), client.script_load(SAVE.text)

    def save(version: int) -> None:
        write_id = f"{version:016x}"
        record = f"{version} {write_id} - {TEXT}"
        client.evalsha(sha, 2, key, names, version - 1, record, 0, PATIENT.max_remembered, NAME, write_id, "")

    return save, lambda: client.get(key)


def _row(user: str, tiers: Tiers) -> Calls:
    client, table = tiers.dynamodb, "agentsocket"
    key = {name: {"S": value} for name, value in keys.context(keys.user(f"bare.{user}"), NAME).items()}
    row = {**key, "value": {"S": TEXT}, "write_id": {"S": "0" * 16}}
    unchanged: dict[str, Any] = {
        "ConditionExpression": "version = :v AND (attribute_not_exists(expires_at) OR expires_at > :now)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    client.put_item(TableName=table, Item={**row, "version": {"N": "0"}})

    def save(version: int) -> None:
        values = {":v": {"N": str(version - 1)}, ":now": {"N": "1800000000"}}
        item = {**row, "version": {"N": str(version)}}
        client.put_item(TableName=table, Item=item, ExpressionAttributeValues=values, **unchanged)

    return save, lambda: client.get_item(TableName=table, Key=key, ConsistentRead=True)


def _entry(user: str, tiers: Tiers) -> Calls:
    client, scope = tiers.client(), keys.redis_user("bare:cache", user)
    key, gone, sha = keys.redis_context(scope, NAME), keys.redis_gone(scope), client.script_load(OFFER.text)

    def save(version: int) -> None:
        now_ms = int(time.time() * 1000)
        client.evalsha(sha, 2, key, gone, version, f"{version} 0 {TEXT}", now_ms, OFFER_MS, 60_000)

    return save, lambda: client.get(key)


@contextmanager
def _dynamodb() -> Iterator[Any]:
    """A client of the laptop's DynamoDB that has not connected yet, with the table there."""
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory() as folder:
        ministack = Ministack(Path(folder))
        loop.run_until_complete(ministack.start())
        access = ministack.access
        session = boto3.Session(access.aws_access_key_id, access.aws_secret_access_key, region_name=access.region_name)
        config = Config(connect_timeout=_PATIENCE_S, read_timeout=_PATIENCE_S)
        make = partial(session.client, "dynamodb", endpoint_url=access.endpoint_url, config=config)
        create_table(make())
        try:
            yield make()
        finally:
            loop.run_until_complete(ministack.stop())
            loop.close()
