"""Notifying the user's other connections: who is, who is not, and for how long that is tried."""

from __future__ import annotations

from typing import Any

import pytest

from agentsocket.commands import notify
from agentsocket.protocol import messages
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.world import World

DELETED = messages.ThreadDeleted(thread_id="t1")


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    for connection_id in ("a1", "a2", "a3"):
        world.connect(ada, connection_id)
    return world


def send(world, who, management_api=None, **options):
    api: Any = management_api or world.sockets
    notify.connections(DELETED, store=world.storage.for_user(who), management_api=api, **options)


def notified(world):
    return sorted(name for name, frames in world.sockets.posted.items() if frames)


def test_every_live_connection_of_the_user_is_notified_and_nobody_else(world, ada, bob):
    world.connect(bob, "b1")
    world.open(ada, "silent")
    send(world, ada)
    assert notified(world) == ["a1", "a2", "a3"]
    [frame] = world.sockets.posted["a1"]
    assert (frame["type"], frame["payload"]) == ("thread_deleted", {"thread_id": "t1"})


def test_the_sender_of_the_command_is_left_out(world, ada):
    send(world, ada, but="a2")
    assert notified(world) == ["a1", "a3"]


def test_a_connection_whose_token_has_expired_is_left_out(world, ada, clock):
    world.connect(principal_of("ada", clock, lifetime_s=60), "expired")
    clock.advance(60 + world.runtime.limits.token_grace_s + 1)
    send(world, ada)
    assert "expired" not in notified(world)


def test_one_that_takes_no_post_holds_up_no_other(world, ada):
    world.sockets.busy.add("a1")
    world.sockets.gone.add("a2")
    send(world, ada)
    assert notified(world) == ["a3"]


def test_after_five_seconds_the_rest_is_left_out(world, ada, clock):
    """The sender of the command waits for it."""

    class Slow:
        def post(self, connection_id, frame):
            clock.advance(3)
            return world.sockets.post(connection_id, frame)

    send(world, ada, Slow())
    assert len(notified(world)) == 2
