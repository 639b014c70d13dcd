"""L2: one object over both channels, that says what is well and how quickly it answers, and nothing else."""

from __future__ import annotations

import json
import socket
from typing import Any

import boto3
import pytest
from botocore.config import Config

from agentsocket import __version__
from agentsocket.commands import health
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.errors import Unavailable
from agentsocket.limits import Limits
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.support.fakes import Clock, Scripted
from tests.support.http_client import Client
from tests.support.world import World

LIMITS = Limits()
SECRETS = ("agentsocket", "127.0.0.1", "redis", "dynamodb", "Error", "Exception", "hush")


@pytest.fixture
def nowhere():
    """The address of a port at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()


def table_at(url: str | None, clock: Clock, name: str = "agentsocket") -> Table:
    once = Config(retries={"total_max_attempts": 1})
    client: Any = boto3.client("dynamodb", endpoint_url=url, config=once)
    return Table(client, name, now=clock)


def world_of(table: Table, runtime: Any) -> World:
    return World(Storage(table, limits=LIMITS, generation="1"), runtime, Scripted([]))


def statuses(found: dict[str, Any]) -> dict[str, str]:
    return {name: dependency["status"] for name, dependency in found["dependencies"].items()}


def test_all_is_well_over_both_channels(storage, runtime, ada, clock):
    """L2: no token; the same object; each dependency with its latency."""
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    status, over_http, headers = Client(world, clock)("GET", "/health")
    assert world.say(ada, "a1", "get_health") == [over_http]
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    well = {"status": "ok", "latency_ms": 0}
    assert over_http == {"status": "ok", "dependencies": {"table": well, "contexts": well}, "version": __version__}


def test_a_table_that_does_not_answer_is_down_and_its_address_is_nobody_s_business(nowhere, runtime, clock):
    """L2."""
    dead = table_at(f"http://{nowhere[0]}:{nowhere[1]}", clock)
    status, found, _ = Client(world_of(dead, runtime), clock)("GET", "/health")
    assert (status, found["status"]) == (503, "down")
    assert found["dependencies"] == {"table": {"status": "down"}, "contexts": {"status": "down"}}
    assert not [secret for secret in SECRETS if secret in json.dumps(found)]


def test_a_table_that_is_not_there_is_down(dynamodb, runtime, clock):
    """L2: a deployment's own mistake is told like an outage, and not as a fault without a name."""
    absent = table_at(None, clock, name="hush")
    status, found, _ = Client(world_of(absent, runtime), clock)("GET", "/health")
    assert (status, statuses(found)) == (503, {"table": "down", "contexts": "down"})
    assert not [secret for secret in SECRETS if secret in json.dumps(found)]


def test_redis_away_in_front_of_a_table_is_degraded_and_not_down(nowhere, storage, table, runtime, ada, clock):
    """L2: everything works, more slowly; over both channels."""
    world = World(storage, runtime, Scripted([]))
    server = RedisServer(*nowhere, limits=LIMITS, password="hush")
    world.contexts = TieredContexts(TableContexts(table, limits=LIMITS), server, "agentsocket", limits=LIMITS)
    world.connect(ada, "a1")
    status, found, _ = Client(world, clock)("GET", "/health")
    assert (status, found["status"]) == (200, "degraded")
    assert statuses(found) == {"table": "ok", "contexts": "degraded"}
    assert "latency_ms" in found["dependencies"]["contexts"]
    assert world.say(ada, "a1", "get_health") == [found]
    assert not [secret for secret in SECRETS if secret in json.dumps(found)]


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["ok", "ok"], "ok"),
        ([None, "ok"], "ok"),
        (["ok", "degraded"], "degraded"),
        (["degraded", "down"], "down"),
        (["down", "ok"], "down"),
    ],
)
def test_the_whole_is_as_bad_as_its_worst_part(states, worst, clock):
    def looking(state):
        def look():
            clock.advance(0.25)
            if state == "down":
                raise Unavailable("an address that nobody has to know")
            return state

        return look

    found = health.check({str(number): looking(state) for number, state in enumerate(states)}, now=clock)
    assert found.status == worst
    answering = [each for each in found.dependencies.values() if each.status != "down"]
    assert {each.latency_ms for each in answering} <= {250}


def test_a_clock_that_was_set_back_makes_no_negative_latency(clock):
    found = health.check({"table": lambda: clock.advance(-1)}, now=clock)
    assert found.dependencies["table"].latency_ms == 0


def test_an_internal_error_is_reported_as_one(storage, runtime, clock):
    """L2: and not as the health of anything."""

    class Broken(TableContexts):
        def state(self):
            raise ZeroDivisionError("hush")

    world = World(storage, runtime, Scripted([]))
    world.contexts = Broken(storage._table, limits=LIMITS)
    status, found, _ = Client(world, clock)("GET", "/health")
    assert (status, found["error"]["code"]) == (500, "internal")
    assert "hush" not in json.dumps(found)
