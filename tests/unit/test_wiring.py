"""The adapters of a deployment: made once, from its settings, by who needs them, and nothing earlier than that."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from agentsocket import wiring
from agentsocket.agents.catalog import AGENTS
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_store import RedisContexts
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.errors import SettingsError, Unavailable
from agentsocket.inputs import Check
from agentsocket.limits import Limits
from agentsocket.storage.role_per_user import Tenants
from agentsocket.storage.table import Table
from tests.functions.test_events import forget_wiring
from tests.support.env import GIVEN
from tests.support.waiting import until

ADAPTERS = [
    wiring.limits,
    wiring.admit,
    wiring.verify,
    wiring.verify_locally,
    wiring.storage,
    wiring.contexts,
    wiring.run_queue,
    wiring.control_queue,
    wiring.control,
    wiring.api,
    wiring.management_api,
    wiring.runtime,
]
OPTIONAL = ("ALLOWED_ORIGINS", "CONTEXT_STORE", "LIMITS", "REDIS_URL", "TENANT_ROLE")


@pytest.fixture(autouse=True)
def deployed(monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a function, in which nothing is made yet."""
    for name in OPTIONAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in GIVEN.items():
        if name != "AWS_DEFAULT_REGION":  # the tests' own
            monkeypatch.setenv(name, value)
    forget_wiring()
    yield monkeypatch
    forget_wiring()


def loaded_by(statement):
    """The modules that a function has loaded after `statement`."""
    program = f"import sys; from agentsocket import wiring; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.__name__)
def test_an_adapter_is_made_once(adapter):
    """Boto3's clients are what a cold start is made of."""
    assert adapter() is adapter()


def test_whoever_uses_an_adapter_uses_the_same_one():
    assert wiring.api()._storage is wiring.storage()
    assert wiring.api()._run_queue is wiring.run_queue()
    assert wiring.control()._storage is wiring.storage()
    assert wiring.control()._control_queue is wiring.control_queue()


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (lambda: wiring.verify_locally(), "ISSUER"),
        (lambda: wiring.admit(), "AUDIENCE"),
        (lambda: wiring.storage(), "TABLE_NAME"),
        (lambda: wiring.storage(epochs=True), "GENERATION"),
        (lambda: wiring.contexts(), "TABLE_NAME"),
        (lambda: wiring.run_queue(), "QUEUE_URL"),
        (lambda: wiring.run_queue(dead_letters=True), "DEAD_LETTER_QUEUE_URL"),
        (lambda: wiring.control_queue(), "CONTROL_QUEUE_URL"),
        (lambda: wiring.management_api(), "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"),
    ],
)
def test_what_an_adapter_needs_is_demanded_when_it_is_made(deployed, make, missing):
    """L4: at the cold start, not at a user's first message."""
    deployed.delenv(missing)
    with pytest.raises(SettingsError, match=missing):
        make()


@pytest.mark.parametrize(
    ("make", "spared"),
    [
        (lambda: wiring.storage(), "GENERATION"),
        (lambda: wiring.run_queue(), "DEAD_LETTER_QUEUE_URL"),
        (lambda: wiring.storage(table="named-by-hand"), "TABLE_NAME"),
        (lambda: wiring.contexts(table="named-by-hand"), "TABLE_NAME"),
        (lambda: wiring.control_queue(queue="https://queue.example/by-hand"), "CONTROL_QUEUE_URL"),
    ],
)
def test_what_a_function_does_not_need_it_need_not_have(deployed, make, spared):
    deployed.delenv(spared)
    assert make()


def test_what_an_operator_names_is_used(dynamodb, ada):
    """Whatever the environment says."""
    wiring.storage(table="agentsocket").reachable()
    assert wiring.storage(table="agentsocket").for_user(ada).connections.activity().connections == []
    with pytest.raises(Unavailable):
        wiring.storage().reachable()


@pytest.mark.parametrize(
    ("role", "per_user", "kind"),
    [
        ("", True, Table),
        ("arn:aws:iam::123456789012:role/tenant", True, Tenants),
        ("arn:aws:iam::123456789012:role/tenant", False, Table),
    ],
)
def test_a_user_s_own_role_is_for_who_has_no_access_of_its_own(deployed, role, per_user, kind):
    """security.md, IAM mode."""
    deployed.setenv("TENANT_ROLE", role)
    assert type(wiring._tables(per_user=per_user, name="")) is kind


@pytest.mark.parametrize(
    ("store", "kind"),
    [("", TableContexts), ("dynamodb", TableContexts), ("redis", RedisContexts), ("tiered", TieredContexts)],
)
def test_contexts_are_kept_where_the_deployment_says(deployed, store, kind):
    deployed.setenv("CONTEXT_STORE", store)
    deployed.setenv("REDIS_URL", "rediss://cache.example:6379" if kind is not TableContexts else "")
    assert type(wiring.contexts()) is kind


def test_a_call_of_the_sdk_gives_up_before_the_lease_ends():
    """delivery.md, The lease: a worker that still waits for an answer is taken for dead."""
    config: Any = wiring.run_queue()._client.meta.config
    attempts = config.retries["total_max_attempts"]
    assert attempts == 3
    assert attempts * (config.connect_timeout + config.read_timeout) < Limits().lease_s


def test_there_is_a_connection_for_every_thread_that_may_post():
    config: Any = wiring.management_api()._client.meta.config
    assert config.max_pool_connections == wiring._THREADS > Limits().posts_at_once


def test_the_agents_that_a_client_may_name_are_the_catalog_s():
    assert set(wiring.agent_names()) == set(AGENTS)


def test_limits_and_origins_are_the_deployment_s(deployed):
    deployed.setenv("LIMITS", '{"max_connections": 3}')
    deployed.setenv("ALLOWED_ORIGINS", "https://app.example.com")
    assert wiring.limits() == Limits(max_connections=3)
    assert wiring.origins() == {"https://app.example.com"}


# What is loaded, and when.


def test_knowing_the_adapters_loads_none():
    """Import budget."""
    loaded = loaded_by("wiring.limits()")
    assert not loaded & {"boto3", "botocore", "jwt", "redis", "agentsocket.storage.user", "agentsocket.auth.tokens"}


def test_a_token_library_is_loaded_with_the_first_token():
    """Most connections never refresh theirs; that the settings are wrong must be known at the start all the same."""
    assert "jwt" not in loaded_by("wiring.verify_locally()")
    assert "jwt" in loaded_by("wiring.verify()")


def test_redis_is_loaded_where_contexts_are_kept_there(deployed):
    assert "redis" not in loaded_by("wiring.contexts()")
    deployed.setenv("CONTEXT_STORE", "redis")
    deployed.setenv("REDIS_URL", "rediss://cache.example:6379")
    assert "agentsocket.contexts.redis_store" in loaded_by("wiring.contexts()")


def test_garbage_is_not_collected_while_an_adapter_is_made():
    """It would look through all that boto3 loads: a fifth of a cold start."""
    collecting = []
    made = wiring._seam(lambda: collecting.append(gc.isenabled()))
    made()
    assert (collecting, gc.isenabled()) == ([False], True)


def test_an_adapter_that_could_not_be_made_is_tried_again():
    tried = []

    def make():
        tried.append(gc.isenabled())
        raise SettingsError("TABLE_NAME is missing")

    made = wiring._seam(make)
    for _ in range(2):
        with pytest.raises(SettingsError):
            made()
        assert gc.isenabled()
    assert tried == [False, False]


# Real time and real threads.


async def test_a_blocking_call_has_a_thread_of_its_own():
    offload = wiring.runtime().offload

    def whoami(*args, **kwargs):
        return threading.get_ident(), args, kwargs

    ident, args, kwargs = await offload(whoami, 1, two=2)
    assert ident != threading.get_ident()
    assert (args, kwargs) == ((1,), {"two": 2})


async def test_what_a_blocking_call_raises_is_raised():
    def broken():
        raise SettingsError("QUEUE_URL is missing")

    with pytest.raises(SettingsError, match="QUEUE_URL"):
        await wiring.runtime().offload(broken)


def test_blocking_calls_are_bounded():
    """Each may hold a connection and a megabyte."""
    asyncio.run(_more_blocking_calls_than_threads())


async def _more_blocking_calls_than_threads():
    lock, go = threading.Lock(), threading.Event()
    running: list[int] = []

    def block():
        with lock:
            running.append(1)
        go.wait()

    waiting = [asyncio.ensure_future(wiring.runtime().offload(block)) for _ in range(wiring._THREADS + 4)]
    await until(lambda: len(running) >= wiring._THREADS)
    await asyncio.sleep(0.05)  # nothing happens: there is nothing to wait for
    assert len(running) == wiring._THREADS
    go.set()
    await asyncio.gather(*waiting)
    assert len(running) == wiring._THREADS + 4


def test_time_and_chance_are_real():
    runtime = wiring.runtime()
    assert abs(runtime.clock() - time.time()) < 60
    assert 1 <= runtime.uniform(1, 2) <= 2
    before = time.monotonic()
    asyncio.run(runtime.sleep(0.01))  # type: ignore[arg-type]
    assert time.monotonic() - before >= 0.01


def test_an_order_for_the_control_queue_goes_where_the_settings_say(dynamodb, deployed):
    sqs = boto3.client("sqs")
    deployed.setenv("CONTROL_QUEUE_URL", sqs.create_queue(QueueName="control")["QueueUrl"])
    wiring.control_queue().check(Check("u", "c", 1), delay_s=0)
    received = sqs.receive_message(QueueUrl=wiring.control_queue()._queue)["Messages"]
    assert [message["Body"] for message in received] == ['{"check": {"user": "u", "connection_id": "c", "number": 1}}']
