"""Revocations seen from both sides: by sockets that open, and by those that are open (delivery.md, Control)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.errors import Disconnect, TokenRejected
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage

LIMITS = Limits()


def message():
    return NewMessage("m1", "hi", None, "c1", agent="", context="{}")


@pytest.fixture
def of(storage, ada):
    """The storage of ada, by a token of hers that differs in some respects."""
    return lambda **claims: storage.for_user(replace(ada, **claims))


def row(of):
    [connection] = of().connections.activity().connections
    return connection


@pytest.mark.parametrize("session", ["", "s1"])
def test_a_revoked_token_opens_no_socket_and_leaves_no_row(of, ada, session):
    """C3."""
    of().revocations.revoke(session=session, not_before=ada.issued_at)
    with pytest.raises(TokenRejected):
        of(session="s1").connections.open("c1")
    assert of().connections.activity().connections == []


@pytest.mark.parametrize(
    ("session", "not_before", "why"),
    [("s2", 0, "another session's"), ("", -1, "issued after it"), ("s1", -1, "issued after it")],
)
def test_a_revocation_leaves_other_tokens_alone(of, ada, session, not_before, why):
    of().revocations.revoke(session=session, not_before=ada.issued_at + not_before)
    of(session="s1").connections.open("c1")
    assert row(of).session == "s1", why


def test_a_user_s_revocation_is_nobody_else_s(of, storage, ada, bob):
    of().revocations.revoke(session="", not_before=ada.issued_at)
    storage.for_user(bob).connections.open("b1")
    assert len(storage.for_user(bob).connections.activity().connections) == 1


def test_an_earlier_revocation_that_comes_late_takes_nothing_back(of, ada):
    of().revocations.revoke(session="", not_before=ada.issued_at)
    of().revocations.revoke(session="", not_before=ada.issued_at - 100)
    with pytest.raises(TokenRejected):
        of().connections.open("c1")


def test_a_revocation_outlives_every_token_that_it_is_for(of, ada, clock):
    of().revocations.revoke(session="", not_before=ada.issued_at)
    clock.advance(LIMITS.max_token_lifetime_s)
    with pytest.raises(TokenRejected):
        of().connections.open("c1")


@pytest.mark.parametrize(
    "command",
    [
        lambda user: user.connections.go_live("c1", device=""),
        lambda user: user.connections.subscribe("c1", "t", cursor=0),
        lambda user: user.connections.unsubscribe("c1", "t"),
        lambda user: user.connections.refresh("c1", token_exp=2_000_000_000, token_iat=0, session="s1"),
        lambda user: user.runs.accept(message()),
    ],
    ids=["hello", "subscribe", "unsubscribe", "refresh_token", "user_message"],
)
@pytest.mark.parametrize("session", ["", "s1"])
def test_a_revoked_token_changes_nothing_any_more(storage, ada, command, session):
    """C3: also a command that overtakes the closing of its socket."""
    user = storage.for_user(replace(ada, session=session))
    user.connections.open("c1")
    user.revocations.revoke(session=session, not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        command(user)
    assert (ended.value.code, ended.value.reconnect) == ("revoked", False)


def test_a_message_under_a_refreshed_session_is_judged_by_that_session(storage, ada, clock):
    user = storage.for_user(replace(ada, session="old"))
    user.connections.open("c1")
    user.connections.refresh("c1", token_exp=ada.expires_at + 60, token_iat=int(clock()), session="new")
    user.revocations.revoke(session="old", not_before=int(clock()))
    assert user.runs.accept(message()).run.session == "new"
    user.revocations.revoke(session="new", not_before=int(clock()))
    with pytest.raises(Disconnect):
        user.runs.accept(replace(message(), message_id="m2"))


def test_a_session_may_have_any_characters(of, ada):
    for session in ("a#b", "*", "ünï", "x" * 500, "ALL"):
        of().revocations.revoke(session=session, not_before=ada.issued_at)
        with pytest.raises(TokenRejected):
            of(session=session).connections.open("c1")
    of(session="b").connections.open("c1")


@pytest.mark.parametrize("session", ["", "s1"])
def test_a_request_without_a_connection_is_refused_under_a_revoked_token(of, ada, session):
    """C3, over HTTP."""
    of(session="s1").revocations.require_token()
    of().revocations.revoke(session=session, not_before=ada.issued_at)
    with pytest.raises(TokenRejected):
        of(session="s1").revocations.require_token()
    of(session="s1", issued_at=ada.issued_at + 1).revocations.require_token()


def test_a_session_s_revocations_are_read_from_two_rows_at_most(of, ada):
    assert of().revocations.rows_of("") == [keys.revoked(ada.user)]
    assert of().revocations.rows_of("s1") == [keys.revoked(ada.user), keys.revoked(ada.user, "s1")]
    of().revocations.revoke(session="s1", not_before=7)
    found = of().revocations.of_session("s1")
    assert (found.covers("s1", 7), found.covers("s1", 8), found.covers("", 7)) == (True, False, False)
