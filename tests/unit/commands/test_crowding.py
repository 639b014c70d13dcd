"""Ten connections per user: another's hello ends the oldest idle one (delivery.md, Connections)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import Disconnect
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(max_connections=3)


@pytest.fixture
def world(dynamodb, storage, runtime, table):
    from agentsocket.storage.user import Storage

    limited = Storage(table, limits=LIMITS, generation="1")
    return World(limited, replace(runtime, limits=LIMITS), Scripted([Text("a"), Report()]))


def connected(world, who):
    return sorted(each.connection_id for each in world.storage.for_user(who).connections.live().connections)


def filled(world, who, clock):
    for name in ("c1", "c2", "c3"):
        world.connect(who, name)
        clock.advance(1)


def test_the_oldest_goes_when_one_too_many_says_hello(world, ada, clock):
    filled(world, ada, clock)
    world.connect(ada, "c4")
    assert connected(world, ada) == ["c2", "c3", "c4"]
    assert world.sockets.closed == ["c1"]
    [farewell] = world.sockets.posted["c1"]
    assert (farewell["type"], farewell["payload"]["code"]) == ("disconnect", "connection_limit")
    assert farewell["payload"]["reconnect"] is False


def test_who_follows_a_run_under_way_stays(world, ada, clock):
    """The sender's run goes on, and so does its connection; the one after it goes."""
    filled(world, ada, clock)
    accepted = world.send(ada, "c1", "hi", message_id="m1")
    user = world.storage.for_user(ada)
    begin(user, accepted)
    world.connect(ada, "c4")
    assert connected(world, ada) == ["c1", "c3", "c4"]


def begin(user, accepted):
    """A worker has taken the run, and dies."""
    from agentsocket.storage.long_texts import Line
    from agentsocket.storage.rows import LogEvent
    from agentsocket.storage.thread_log import Lease

    run, log = user.run(accepted["run_id"]), user.log(accepted["thread_id"])
    lease = Lease("w1", run.run_id, 1)
    log.take_lease(lease)
    log.start(
        run,
        lease,
        lambda seq: [LogEvent(seq, "e1", run.run_id, 1, b"{}")],
        seq=1,
        question=Line(run.message_id, "user", run.content),
    )


def test_who_subscribes_to_a_thread_with_a_run_stays_too(world, ada, clock):
    filled(world, ada, clock)
    accepted = world.send(ada, "c3", "hi", message_id="m1")
    world.say(ada, "c1", "subscribe", thread_id=accepted["thread_id"])
    begin(world.storage.for_user(ada), accepted)
    world.connect(ada, "c4")
    assert connected(world, ada) == ["c1", "c3", "c4"]


def test_another_hello_of_a_connection_that_is_there_ends_nobody(world, ada, clock):
    filled(world, ada, clock)
    world.say(ada, "c2", "hello", protocol=1)
    assert connected(world, ada) == ["c1", "c2", "c3"]


def test_another_user_s_connections_do_not_count(world, ada, bob, clock):
    filled(world, ada, clock)
    world.connect(bob, "b1")
    assert connected(world, ada) == ["c1", "c2", "c3"]
    assert connected(world, bob) == ["b1"]


def test_sockets_that_have_not_said_hello_do_not_count(world, ada, clock):
    """They are ended by their own time-out."""
    world.open(ada, "c0")
    filled(world, ada, clock)
    assert connected(world, ada) == ["c0", "c1", "c2", "c3"]


def test_one_that_cannot_be_closed_now_keeps_its_row(world, ada, clock):
    """Forgotten, it would stay open and unwatched; the next hello tries again."""
    filled(world, ada, clock)
    world.sockets.stuck.add("c1")
    world.connect(ada, "c4")
    assert connected(world, ada) == ["c1", "c2", "c3", "c4"]
    world.sockets.stuck.clear()
    world.say(ada, "c4", "hello", protocol=1)
    assert connected(world, ada) == ["c2", "c3", "c4"]


def test_a_dead_row_goes_in_its_place(world, ada, clock):
    filled(world, ada, clock)
    world.sockets.gone.add("c1")
    world.connect(ada, "c4")
    assert connected(world, ada) == ["c2", "c3", "c4"]
    assert world.sockets.closed == []


def test_a_connection_that_had_to_go_is_not_known_any_more(world, ada, clock):
    filled(world, ada, clock)
    world.connect(ada, "c4")
    with pytest.raises(Disconnect) as ended:
        world.say(ada, "c1", "hello", protocol=1)
    assert ended.value.code == "no_connection"
