"""What a command gets: over a socket its connection is checked, over HTTP the token has been."""

from __future__ import annotations

from typing import Any

import pytest

from agentsocket.commands.request import CommandContext
from agentsocket.errors import Disconnect, NotFound
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    return world


def request_of(world, who, connection_id):
    adapters: Any = {"run_queue": world.queue, "management_api": world.sockets}
    return CommandContext(
        principal=who,
        connection_id=connection_id,
        command_id="c1",
        store=world.storage.for_user(who),
        contexts=world.contexts,
        verify=world.verify,
        limits=Limits(),
        **adapters,
    )


def created(world, who):
    [thread] = world.say(who, "a1", "create_thread", title="Costs")
    return thread["thread_id"]


def test_a_connection_that_is_not_known_may_do_nothing(world, ada):
    for check in (lambda request: request.admit(), lambda request: request.enter("t")):
        with pytest.raises(Disconnect) as ended:
            check(request_of(world, ada, "nowhere"))
        assert ended.value.code == "no_connection"


def test_a_revoked_connection_may_enter_no_thread(world, ada):
    thread = created(world, ada)
    request_of(world, ada, "a1").enter(thread)
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        request_of(world, ada, "a1").enter(thread)
    assert ended.value.code == "revoked"


@pytest.mark.parametrize("connection_id", ["a1", ""], ids=["socket", "http"])
def test_only_the_user_s_own_threads_can_be_entered(world, ada, bob, connection_id):
    """E6."""
    thread = created(world, ada)
    request_of(world, ada, connection_id).enter(thread)
    world.connect(bob, "b1")
    with pytest.raises(NotFound):
        request_of(world, bob, "b1" if connection_id else "").enter(thread)


def test_over_http_no_connection_is_needed(world, ada):
    """Its token has been checked with the request: nothing is read."""
    reads = []
    world.storage._table._client.meta.events.register("before-call.dynamodb", lambda **_: reads.append(1))
    request_of(world, ada, "").admit()
    assert reads == []
