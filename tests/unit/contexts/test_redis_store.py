"""Contexts in Redis alone, and the wire to it: what is lost, refused, slow, encrypted, or a cluster. Real servers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from agentsocket.contexts.contract import Context
from agentsocket.errors import BadRequest, VersionConflict
from tests.support.context_stores import PATIENT, remembered, through
from tests.support.network_proxy import authority, proxied
from tests.support.redis_server import PASSWORD, running
from tests.support.waiting import TIME_FACTOR


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


def keys_of(bare, world):
    return {key.decode().partition("}")[2]: bare.pttl(key) for key in bare.keys(f"{world.deployment}:*")}


def test_all_keys_of_a_user_have_their_hash_tag(world, bare):
    """A cluster keeps them in one slot, so that one script may touch them."""
    ada = world.of("ada")
    ada.own.save("a", {}, version=0)
    ada.of_thread("t1").save("a", {}, version=0)
    ada.delete_thread("t2")
    tag = f"{world.deployment}:{{{world.principal('ada').user}}}:"
    found = [key.decode() for key in bare.keys(f"{world.deployment}:*")]
    assert len(found) == 6
    assert all(key.startswith(tag) for key in found)


def test_a_lifetime_is_redis_s_own(world, bare):
    """K5: no context ends early or lives on, nor does what is noted about it."""
    ada = world.of("ada")
    ada.of_thread("t1").save("a", {}, version=0, lifetime_s=3600)
    for left_ms in keys_of(bare, world).values():
        assert 3600_000 - 60_000 * TIME_FACTOR < left_ms <= 3600_000
    ada.of_thread("t1").save("b", {}, version=0)
    left = keys_of(bare, world)
    assert {key for key, left_ms in left.items() if left_ms == -1} == {
        ":thread:t1:context:b",
        ":thread:t1:names",
        ":threads",
    }


def test_nothing_is_left_when_all_has_ended(world, bare):
    """K5."""
    ada = world.of("ada")
    for scope in (ada.own, ada.of_thread("t1")):
        kept = scope.save("a", {}, version=0)
        scope.save("a", {}, version=kept.version, lifetime_s=1)
    world.let_pass(1)
    assert keys_of(bare, world) == {}


def test_of_a_deleted_thread_only_its_tombstone_is_left_and_that_ends(world, bare):
    """H5."""
    world.of("ada").of_thread("t1").save("a", {}, version=0)
    world.of("ada").delete_thread("t1")
    [(key, left_ms)] = keys_of(bare, world).items()
    assert key == ":thread:t1:gone"
    assert 0 < left_ms <= world.limits.deleted_row_s * 1000


def test_deployments_that_share_a_server_share_nothing(world, table, clock, redis_process):
    world.of("ada").own.save("a", {}, version=0)
    with remembered("redis", table, clock, redis_process, limits=PATIENT) as other:
        assert other.of("ada").own.load("a").version == 0


def test_a_save_whose_answer_was_lost_is_recognised(world, wire):
    """K4: it is sent a second time, and meets what it wrote itself."""
    store, server = through(wire.port, world)
    own = store.for_user(world.principal("ada")).own
    first = own.save("a", {"n": 1}, version=0)
    wire.losing = 1
    second = own.save("a", {"n": 2}, version=first.version)
    wire.losing = 1
    created = own.save("b", {"n": 1}, version=0)
    assert wire.losing == 0
    server.close()
    assert [world.of("ada").own.load(name) for name in "ab"] == [second, created]


def test_what_an_append_only_file_holds_survives_a_kill(world):
    """Redis alone is as durable as it is made."""
    with running(persistent=True) as other:
        store, server = through(other.port, world)
        own = store.for_user(world.principal("ada")).own
        saved = own.save("a", {"n": 1}, version=0)
        other.kill()
        other.start()
        assert own.load("a") == saved
        server.close()


def test_after_a_loss_versions_still_grow(world):
    """What Redis lost must not come back under another value."""
    with running() as other:
        store, server = through(other.port, world)
        own = store.for_user(world.principal("ada")).own
        lost = own.save("a", {"n": 1}, version=0)
        other.kill()
        other.start()
        world.clock.advance(1)
        with pytest.raises(VersionConflict):
            own.save("a", {"n": 2}, version=lost.version)
        assert own.save("a", {"n": 2}, version=0).version > lost.version
        server.close()


def test_a_cluster_does_the_same(world, tmp_path):
    """All keys of a script lie in one slot, or the server would refuse it."""
    with running(cluster=True) as cluster:
        store, server = through(cluster.port, world, cluster=True)
        ada = store.for_user(world.principal("ada"))
        saved = ada.own.save("a", {"n": 1}, version=0)
        changed = ada.own.save("a", {"n": 2}, version=saved.version, lifetime_s=60)
        in_thread = ada.of_thread("t1").save("a", {"n": 3}, version=0)
        assert [ada.own.load("a"), ada.of_thread("t1").load("a")] == [changed, in_thread]
        assert store.state() == "ok"
        ada.erase()
        assert [ada.own.load("a").version, ada.of_thread("t1").load("a").version] == [0, 0]
        server.close()


def test_many_writers_lose_no_update(world):
    """K4: threads of one process, each with its own version."""
    own, won = world.of("ada").own, list[int]()
    own.save("a", {"n": 0}, version=0)

    def count() -> None:
        while len(won) < 200:
            found = own.load("a")
            try:
                won.append(own.save("a", {"n": found.value["n"] + 1}, version=found.version).version)
            except VersionConflict:
                continue

    writers = [threading.Thread(target=count) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(won) == len(set(won)) >= 200
    assert own.load("a").value == {"n": len(won)}


def test_many_creations_at_once_keep_to_the_limit(world):
    """K1."""
    ada, created, refused = world.of("ada"), list[Context](), list[int]()

    def create(number: int) -> None:
        for name in range(20):
            try:
                created.append(ada.own.save(f"{number}.{name}", {}, version=0))
            except BadRequest:
                refused.append(name)

    creators = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for creator in creators:
        creator.start()
    for creator in creators:
        creator.join()
    assert (len(created), len(refused)) == (world.limits.max_remembered, 160 - world.limits.max_remembered)


ASKED = """
from agentsocket import errors, wiring
store = wiring.contexts()
try:
    print(store.state())
except errors.Unavailable as error:
    print(type(error.__cause__).__name__)
"""


def test_a_deployment_s_settings_lead_to_its_redis_and_to_no_other(redis_process, tmp_path):
    """L4: address, TLS and password, from the environment to the server."""
    known = authority(tmp_path)
    with proxied(redis_process.port, tls=known.server) as wire:
        given = {"CONTEXT_STORE": "redis", "REDIS_URL": f"rediss://127.0.0.1:{wire.port}", "REDIS_PASSWORD": PASSWORD}
        given |= {"TABLE_NAME": "agentsocket", "AWS_DEFAULT_REGION": "eu-central-1"}
        given |= {"LIMITS": json.dumps({"redis_timeout_ms": PATIENT.redis_timeout_ms})}
        said = []
        for more in ({"SSL_CERT_FILE": known.file}, {}):
            command = [sys.executable, "-c", ASKED]
            run = subprocess.run(command, env=given | more, capture_output=True, text=True, check=True)
            said.append(run.stdout.strip())
    assert said == ["ok", "ConnectionError"]
