"""What an agent recalls and remembers, and which of it clients see. Through whole runs: commands/test_contexts.py."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError

from agentsocket.errors import NotFound, TooLarge, Unavailable
from agentsocket.limits import Limits
from agentsocket.worker import memory
from tests.support.fakes import Scripted
from tests.support.world import World


@pytest.fixture
def limits():
    return Limits(max_remembered_bytes=2048)


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
def job(world, ada):
    return world.job(ada, world.send(ada, "a1", "hi", message_id="m1"))


def test_nothing_is_recalled_at_first(job):
    assert memory.recall(job, ["user.likes", "thread.step"]) == {"user.likes": {}, "thread.step": {}}
    assert memory.recall(job, []) == {}


def test_a_thread_s_names_are_recalled_in_that_thread_and_the_others_everywhere(world, ada, job):
    """H2."""
    for name in ("thread.step", "agent.notes"):
        memory.remember(job, name, {"n": 1})
    elsewhere = world.job(ada, world.send(ada, "a1", "hi", message_id="m2"))
    names = ["thread.step", "agent.notes"]
    assert memory.recall(job, names) == {"thread.step": {"n": 1}, "agent.notes": {"n": 1}}
    assert memory.recall(elsewhere, names) == {"thread.step": {}, "agent.notes": {"n": 1}}


def test_remembering_merges(job):
    """RFC 7386."""
    memory.remember(job, "agent.notes", {"a": 1, "b": {"c": 2}})
    changed = memory.remember(job, "agent.notes", {"a": None, "b": {"d": 3}})
    assert changed.value == {"b": {"c": 2, "d": 3}}


def test_what_is_too_large_is_refused(job):
    with pytest.raises(TooLarge):
        memory.remember(job, "agent.notes", {"a": "x" * 3000})


def test_a_deleted_thread_remembers_nothing(world, ada, job):
    """H5."""
    world.say(ada, "a1", "delete_thread", thread_id=job.run.thread_id)
    with pytest.raises(NotFound):
        memory.remember(job, "thread.step", {"n": 1})


@pytest.mark.parametrize(
    ("name", "is_shown"), [("user.likes", True), ("agent.notes", False), ("thread.user.x", False), ("users", False)]
)
def test_clients_see_the_names_of_the_user(name, is_shown):
    assert memory.is_shown_to_clients(name) is is_shown


def test_clients_are_notified_of_a_change(world, ada, bob, job):
    world.connect(ada, "a2")
    world.connect(bob, "b1")
    memory.notify_clients(job, memory.remember(job, "user.likes", {"tea": 1}))
    seen = {name: [frame["payload"] for frame in world.sockets.posted[name]] for name in ("a1", "a2", "b1")}
    [context] = world.say(ada, "a1", "get_context", name="user.likes")
    assert context["value"] == {"tea": 1}
    assert seen == {"a1": [context], "a2": [context], "b1": []}


def test_connections_that_cannot_be_read_are_the_caller_s_to_deal_with(world, job):
    changed = memory.remember(job, "user.likes", {"tea": 1})

    def unreachable(**_):
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    world.storage._table._client.meta.events.register("before-call.dynamodb.Query", unreachable)
    with pytest.raises(Unavailable):
        memory.notify_clients(job, changed)
