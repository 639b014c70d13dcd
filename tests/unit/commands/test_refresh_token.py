"""The command `refresh_token`: an open socket goes on under a newer token of the same user, and of no other."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.errors import BadRequest, CommandError, Disconnect, Forbidden, Unauthorized
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits()


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.tokens["newer"] = replace(ada, expires_at=ada.expires_at + 900, issued_at=ada.issued_at + 1)
    return world


def test_a_newer_token_is_taken(world, ada, clock):
    """D1."""
    world.connect(ada, "a1")
    assert world.say(ada, "a1", "refresh_token", token="newer") == [{"expires_at": ada.expires_at + 900}]
    clock.advance(1000)
    assert world.say(ada, "a1", "ping") == [{}]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda ada, bob: None, Unauthorized),
        (lambda ada, bob: replace(bob, expires_at=ada.expires_at + 900), Forbidden),
        (lambda ada, bob: replace(ada, expires_at=ada.expires_at + 900, scopes=frozenset({"admin"})), Forbidden),
        (lambda ada, bob: ada, BadRequest),
    ],
    ids=["not accepted", "another user's", "further scopes", "no later"],
)
def test_any_other_token_is_refused_and_changes_nothing(world, ada, bob, clock, change, error):
    world.connect(ada, "a1")
    token = change(ada, bob)
    if token:
        world.tokens["other"] = token
    with pytest.raises(CommandError) as refused:
        world.say(ada, "a1", "refresh_token", token="other")
    assert isinstance(refused.value, error)
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
    world.storage.for_user(ada).connections.revoke(session="", not_before=ada.issued_at + 1)
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
