"""The commands about the connection: hello ends the oldest idle one beyond the limit; its token is refreshed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import BadRequest, CommandError, Disconnect, Forbidden, Unauthorized
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(max_connections=3)


@pytest.fixture
def world(dynamodb, storage, runtime, table, ada):
    from agentsocket.storage.user import Storage

    limited = Storage(table, limits=LIMITS, generation="1")
    world = World(limited, replace(runtime, limits=LIMITS), Scripted([Text("a"), Report()]))
    world.tokens["newer"] = replace(ada, expires_at=ada.expires_at + 900, issued_at=ada.issued_at + 1)
    return world


def connected(world, who):
    return sorted(each.connection_id for each in world.storage.for_user(who).connections.activity().connections)


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


def test_a_connection_that_follows_a_running_run_stays(world, ada, clock):
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

    run, log = user.runs.get(accepted["run_id"]), user.log(accepted["thread_id"])
    lease = Lease("w1", run.run_id, 1)
    log.take_lease(lease)
    log.start(
        run,
        lease,
        lambda seq: [LogEvent(seq, "e1", run.run_id, 1, b"{}")],
        seq=1,
        question=Line(run.message_id, "user", run.content),
    )


def test_a_connection_that_subscribes_to_a_thread_with_a_run_stays_too(world, ada, clock):
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


# Refreshing the token.


def test_a_newer_token_is_taken(world, ada, clock):
    """D1."""
    world.connect(ada, "a1")
    assert world.say(ada, "a1", "refresh_token", token="newer") == [{"expires_at": ada.expires_at + 900}]
    clock.advance(1000)
    assert world.say(ada, "a1", "ping") == [{}]


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda ada, bob: None, Unauthorized, "not accepted"),
        (lambda ada, bob: replace(bob, expires_at=ada.expires_at + 900), Forbidden, "belongs to another user"),
        (
            lambda ada, bob: replace(ada, expires_at=ada.expires_at + 900, scopes=frozenset({"admin"})),
            Forbidden,
            "scopes that this connection lacks (admin)",
        ),
        (lambda ada, bob: ada, BadRequest, "must expire later than the current one"),
    ],
    ids=["not accepted", "another user's", "further scopes", "no later"],
)
def test_any_other_token_is_refused_and_changes_nothing(world, ada, bob, clock, change, error, reason):
    world.connect(ada, "a1")
    token = change(ada, bob)
    if token:
        world.tokens["other"] = token
    with pytest.raises(CommandError) as refused:
        world.say(ada, "a1", "refresh_token", token="other")
    assert isinstance(refused.value, error)
    assert reason in refused.value.message
    assert (refused.value.field, "other" in refused.value.message.split()) == ("payload.token", False)
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect):
        world.say(ada, "a1", "ping")


def test_fewer_scopes_are_a_subset(world, ada):
    world.connect(replace(ada, scopes=frozenset({"chat", "admin"})), "a1")
    world.tokens["fewer"] = replace(world.tokens["newer"], scopes=frozenset({"chat"}))
    wide = replace(ada, scopes=frozenset({"chat", "admin"}))
    assert world.say(wide, "a1", "refresh_token", token="fewer")


def test_a_revoked_token_does_not_refresh(world, ada, clock):
    world.connect(ada, "a1")
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at + 1)
    with pytest.raises(Disconnect) as ended:
        world.say(ada, "a1", "refresh_token", token="newer")
    assert ended.value.code == "revoked"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("ping", {}),
        ("stop_agent", {"message_id": "m1"}),
        ("hello", {"protocol": 1}),
        ("subscribe", {"thread_id": "t"}),
        ("unsubscribe", {"thread_id": "t"}),
        ("user_message", {"content": "hi", "message_id": "m1"}),
        ("refresh_token", {"token": "newer"}),
    ],
)
def test_no_command_passes_after_the_grace(world, ada, clock, kind, payload):
    """J2."""
    world.connect(ada, "a1")
    world.tokens["newer"] = replace(ada, expires_at=ada.expires_at + 5000)
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        world.say(ada, "a1", kind, **payload)
    assert (ended.value.code, ended.value.reconnect) == ("token_expired", True)
