"""The command bucket: a burst at once, then so many a second; nothing that ends a run is ever held up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report
from agentsocket.commands import registry
from agentsocket.errors import RateLimited
from agentsocket.limits import Limits
from agentsocket.protocol import messages as protocol
from agentsocket.storage.user import Storage
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(commands_per_s=10, command_burst=20)


@pytest.fixture
def storage(table):
    return Storage(table, limits=LIMITS, generation="1")


@pytest.fixture
def quotas(storage, ada):
    return storage.for_user(ada).quotas


def spent(quotas, cost=1):
    """How many commands go through at this moment."""
    for number in range(1000):
        try:
            quotas.spend(cost)
        except RateLimited:
            return number
    pytest.fail("there is no limit")


def test_a_burst_goes_through_and_then_no_more(quotas):
    """J4."""
    assert spent(quotas) == LIMITS.command_burst


def test_after_the_burst_so_many_go_through_in_a_second(quotas, clock):
    spent(quotas)
    for _ in range(3):
        clock.advance(1)
        assert spent(quotas) == LIMITS.commands_per_s


def test_the_wait_it_names_is_the_one_that_helps(quotas, clock):
    """J4: `retry_after_ms`, and not a millisecond less."""
    spent(quotas)
    with pytest.raises(RateLimited) as refused:
        quotas.spend(5)
    wait_ms = refused.value.retry_after_ms
    assert wait_ms == 500
    clock.advance((wait_ms - 1) / 1000)
    with pytest.raises(RateLimited):
        quotas.spend(5)
    clock.advance(0.001)
    quotas.spend(5)


def test_a_bucket_never_holds_more_than_its_burst(quotas, clock):
    quotas.spend(1)
    clock.advance(3600)
    assert spent(quotas) == LIMITS.command_burst


def test_a_refused_command_takes_nothing(quotas, clock):
    spent(quotas)
    for _ in range(5):
        with pytest.raises(RateLimited):
            quotas.spend(1)
    clock.advance(0.1)
    assert spent(quotas) == 1


def test_a_command_that_costs_nothing_writes_nothing(quotas, dynamodb):
    dynamodb.meta.events.register("before-call.dynamodb.UpdateItem", refused)
    quotas.spend(0)


def refused(**_kwargs):
    raise AssertionError("nothing was to be written")


def test_users_have_buckets_of_their_own(storage, ada, bob):
    spent(storage.for_user(ada).quotas)
    assert spent(storage.for_user(bob).quotas) == LIMITS.command_burst


@pytest.mark.parametrize(
    ("command", "price"),
    [
        (protocol.Ping(), 0),
        (protocol.StopAgent(run_id="r"), 0),
        (protocol.StopAgent(message_id="m"), 1),
        (protocol.RefreshToken(token="t"), 0),
        (protocol.Unsubscribe(thread_id="t"), 0),
        (protocol.GetHealth(), 0),
        (protocol.CreateThread(), 1),
        (protocol.GetThreadHistory(thread_id="t", limit=10), 1),
        (protocol.GetThreadHistory(thread_id="t", limit=100), 10),
        (protocol.Hello(protocol=1, resume=[protocol.ResumePoint(thread_id="t", epoch="e", seq=1)] * 11), 20),
        (protocol.SwitchThread(thread_id="t"), 10),
        (protocol.DeleteThread(thread_id="t"), 1),
        (protocol.Hello(protocol=1), 1),
        (protocol.Hello(protocol=1, resume=[protocol.ResumePoint(thread_id="t", epoch="e", seq=1)]), 10),
        (protocol.Subscribe(thread_id="t"), 10),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_command_costs(command, price):
    assert registry.cost(command, Limits()) == price


def test_above_the_limit_a_message_is_refused_and_its_retry_is_not(storage, runtime, ada, clock):
    """J4: nothing lost; a stop goes through all the while."""
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Report()]))
    world.connect(ada, "a1")
    earlier = world.send(ada, "a1", "hi", message_id="m0")
    spent(storage.for_user(ada).quotas)
    with pytest.raises(RateLimited) as refused:
        world.send(ada, "a1", "hi", message_id="m1")
    assert refused.value.temporary
    assert refused.value.retry_after_ms
    world.say(ada, "a1", "stop_agent", run_id=earlier["run_id"])
    world.say(ada, "a1", "ping")
    assert len(world.queue.waiting) == 1
    clock.advance(refused.value.retry_after_ms / 1000)
    assert world.send(ada, "a1", "hi", message_id="m1")["duplicate"] is False
    assert len(world.queue.waiting) == 2
