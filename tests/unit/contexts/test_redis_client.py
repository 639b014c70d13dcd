"""The only redis-py: time-outs, dead connections, passwords, TLS and scripts, against a real server (data-model.md)."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from agentsocket.contexts.redis_client import RedisServer, Script
from agentsocket.errors import Unavailable
from agentsocket.limits import Limits
from tests.support.context_stores import PATIENT, remembered, through
from tests.support.network_proxy import authority, proxied
from tests.support.redis_server import PASSWORD, running

HURRIED = Limits(redis_timeout_ms=100)


@pytest.fixture
def world(table, clock, redis_process):
    with remembered("redis", table, clock, redis_process, limits=PATIENT) as world:
        yield world


@pytest.fixture
def bare(redis_process):
    with redis_process.client() as client:
        yield client


@pytest.fixture
def wire(redis_process):
    with proxied(redis_process.port) as wire:
        yield wire


@pytest.fixture
def server(redis_process):
    server = RedisServer("127.0.0.1", redis_process.port, limits=PATIENT, password=PASSWORD)
    yield server
    server.close()


def test_a_connection_that_died_of_idleness_costs_nothing(world, bare, wire):
    """As after a Lambda environment was frozen."""
    store, server = through(wire.port, world)
    own = store.for_user(world.principal("ada")).own
    saved = own.save("a", {}, version=0)
    before = wire.connections
    bare.client_kill_filter(_type="normal", skipme=True)
    assert own.load("a") == saved
    assert wire.connections == before + 1
    server.close()


def test_a_server_that_is_too_slow_is_unavailable_and_not_asked_again(world, wire):
    """The time-outs and tries are ours: redis-py would wait for five seconds, and try three times more."""
    store, server = through(wire.port, world, limits=HURRIED)
    own = store.for_user(world.principal("ada")).own
    own.load("a")
    wire.holding = True
    began, asked = time.monotonic(), wire.asked
    with pytest.raises(Unavailable):
        own.load("a")
    assert time.monotonic() - began < 5, "fifty times what was given"
    assert wire.asked == asked + 1
    wire.holding = False
    assert own.load("a").version == 0
    server.close()


def test_a_server_that_is_away_is_unavailable_and_comes_back(world):
    """L2, L3: nothing connects before it must."""
    with running() as other:
        store, server = through(other.port, world)
        own = store.for_user(world.principal("ada")).own
        other.kill()
        for call in (lambda: own.load("a"), lambda: own.save("a", {}, version=0), store.state):
            with pytest.raises(Unavailable):
                call()
        other.start()
        assert store.state() == "ok"
        assert own.save("a", {}, version=0).version
        server.close()


@pytest.mark.parametrize("password", ["", "wrong"])
def test_a_server_that_does_not_know_us_is_unavailable(world, redis_process, password):
    store, server = through(redis_process.port, world, password=password)
    with pytest.raises(Unavailable):
        store.state()
    server.close()


def test_a_user_name_is_sent(world, bare, redis_process):
    bare.acl_setuser("service", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    store, server = through(redis_process.port, world, username="service", password="secret")
    assert store.state() == "ok"
    server.close()


def test_a_script_that_the_server_has_forgotten_is_sent_again(world, bare):
    own = world.of("ada").own
    first = own.save("a", {}, version=0)
    bare.script_flush()
    assert own.save("a", {}, version=first.version).version > first.version


def test_a_cluster_that_is_away_at_first_is_found_later(world):
    """L3."""
    with running(cluster=True) as cluster:
        cluster.kill()
        store, server = through(cluster.port, world, cluster=True)
        with pytest.raises(Unavailable):
            store.state()
        cluster.start()
        assert store.state() == "ok"
        server.close()


def test_tls_is_real_and_an_unknown_authority_is_refused(world, redis_process, tmp_path):
    known, stranger = authority(tmp_path / "known"), authority(tmp_path / "stranger")
    with proxied(redis_process.port, tls=known.server) as wire:
        outcomes = {}
        for name, ca_file in {"known": known.file, "stranger": stranger.file, "the system's": None}.items():
            store, server = through(wire.port, world, tls=True, ca_file=ca_file)
            try:
                outcomes[name] = store.state()
            except Unavailable as error:
                outcomes[name] = str(error.__cause__)
            server.close()
    assert outcomes.pop("known") == "ok"
    assert all("certificate verify failed" in said.lower() for said in outcomes.values()), outcomes


def test_tls_for_another_host_is_refused(world, redis_process, tmp_path):
    elsewhere = authority(tmp_path, host="127.0.0.2")
    with proxied(redis_process.port, tls=elsewhere.server) as wire:
        store, server = through(wire.port, world, tls=True, ca_file=elsewhere.file)
        with pytest.raises(Unavailable):
            store.state()
        server.close()


def test_a_server_without_tls_is_not_spoken_to_in_plain_text(world, redis_process):
    store, server = through(redis_process.port, world, tls=True, limits=HURRIED)
    with pytest.raises(Unavailable):
        store.state()
    server.close()


LOADED = """
import os, sys
from agentsocket import wiring
wiring.contexts()
print(any(name.partition(".")[0] == "redis" for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("store", "loaded"), [("", "False"), ("dynamodb", "False"), ("redis", "True"), ("tiered", "True")]
)
def test_redis_py_is_loaded_only_where_it_is_used(store, loaded):
    """A clean interpreter; and no store connects to anything by being made."""
    given = {"CONTEXT_STORE": store, "TABLE_NAME": "agentsocket", "AWS_DEFAULT_REGION": "eu-central-1"}
    used = store in ("redis", "tiered")
    if used:
        given["REDIS_URL"] = "redis://127.0.0.1:1"
    run = subprocess.run([sys.executable, "-c", LOADED], env=given, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(used)


def test_what_is_marked_is_there_until_its_time_is_over(server, bare):
    server.mark("client:mark", lifetime_s=60)
    assert server.get("client:mark") == b"1"
    assert 0 < bare.ttl("client:mark") <= 60
    server.remove(["client:mark"])
    assert server.get("client:mark") is None


def test_removing_nothing_asks_nothing(server, bare):
    before = bare.info("stats")["total_commands_processed"]
    server.remove([])
    assert bare.info("stats")["total_commands_processed"] == before + 1


def test_members_of_a_sorted_set_are_read_in_order_and_taken_out(server, bare):
    bare.delete("client:set")
    bare.zadd("client:set", {"second": 2, "first": 1})
    assert server.members("client:set") == ["first", "second"]
    server.discard("client:set", "first")
    assert server.members("client:set") == ["second"]
    assert server.members("client:nothing") == []


def test_a_script_gets_its_keys_and_arguments_and_returns_what_it_says(server):
    script = Script("return {KEYS[1], ARGV[1], ARGV[2]}")
    assert server.run(script, ["client:key"], 7, "text") == [b"client:key", b"7", b"text"]


def test_a_server_that_was_closed_connects_again(server):
    server.ping()
    server.close()
    server.ping()
