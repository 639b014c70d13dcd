"""Sockets' rows: revocations seen from both sides, tickets spent once, tokens refreshed (delivery.md, Control)."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from msgspec.structs import replace

from agentsocket.errors import BadRequest, Disconnect, TokenRejected, Unavailable
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.rows import Revocations
from agentsocket.storage.table import Table, put
from agentsocket.storage.user import Storage

LIMITS = Limits()


def message():
    return NewMessage("m1", "hi", None, "c1", agent="", context="{}")


@pytest.fixture
def of(storage, ada):
    """The connections of ada, by a token of hers that differs in some respects."""
    return lambda **claims: storage.for_user(replace(ada, **claims)).connections


def row(of):
    [connection] = of().live().connections
    return connection


@pytest.mark.parametrize("session", ["", "s1"])
def test_a_revoked_token_opens_no_socket_and_leaves_no_row(of, ada, session):
    """C3."""
    of().revoke(session=session, not_before=ada.issued_at)
    with pytest.raises(TokenRejected):
        of(session="s1").open("c1")
    assert of().live().connections == []


@pytest.mark.parametrize(
    ("session", "not_before", "why"),
    [("s2", 0, "another session's"), ("", -1, "issued after it"), ("s1", -1, "issued after it")],
)
def test_a_revocation_leaves_other_tokens_alone(of, ada, session, not_before, why):
    of().revoke(session=session, not_before=ada.issued_at + not_before)
    of(session="s1").open("c1")
    assert row(of).session == "s1", why


def test_a_user_s_revocation_is_nobody_else_s(of, storage, ada, bob):
    of().revoke(session="", not_before=ada.issued_at)
    storage.for_user(bob).connections.open("b1")
    assert len(storage.for_user(bob).connections.live().connections) == 1


def test_an_earlier_revocation_that_comes_late_takes_nothing_back(of, ada):
    of().revoke(session="", not_before=ada.issued_at)
    of().revoke(session="", not_before=ada.issued_at - 100)
    with pytest.raises(TokenRejected):
        of().open("c1")


def test_a_revocation_outlives_every_token_that_it_is_for(of, ada, clock):
    of().revoke(session="", not_before=ada.issued_at)
    clock.advance(LIMITS.max_token_lifetime_s)
    with pytest.raises(TokenRejected):
        of().open("c1")


@pytest.mark.parametrize(
    "command",
    [
        lambda user: user.connections.go_live("c1", device=""),
        lambda user: user.connections.subscribe("c1", "t", cursor=0),
        lambda user: user.connections.unsubscribe("c1", "t"),
        lambda user: user.connections.refresh("c1", token_exp=2_000_000_000, token_iat=0, session="s1"),
        lambda user: user.accept(message()),
    ],
    ids=["hello", "subscribe", "unsubscribe", "refresh_token", "user_message"],
)
@pytest.mark.parametrize("session", ["", "s1"])
def test_a_revoked_token_changes_nothing_any_more(storage, ada, command, session):
    """C3: also a command that overtakes the closing of its socket."""
    user = storage.for_user(replace(ada, session=session))
    user.connections.open("c1")
    user.connections.revoke(session=session, not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        command(user)
    assert (ended.value.code, ended.value.reconnect) == ("revoked", False)


def test_a_message_under_a_refreshed_session_is_judged_by_that_session(storage, ada, clock):
    user = storage.for_user(replace(ada, session="old"))
    user.connections.open("c1")
    user.connections.refresh("c1", token_exp=ada.expires_at + 60, token_iat=int(clock()), session="new")
    user.connections.revoke(session="old", not_before=int(clock()))
    assert user.accept(message()).run.session == "new"
    user.connections.revoke(session="new", not_before=int(clock()))
    with pytest.raises(Disconnect):
        user.accept(replace(message(), message_id="m2"))


def test_a_ticket_opens_one_socket(of):
    of(ticket="t1").open("c1")
    with pytest.raises(TokenRejected):
        of(ticket="t1").open("c2")
    assert row(of).connection_id == "c1"
    of(ticket="t2").open("c2")


def test_a_ticket_s_own_write_met_again_is_not_a_second_use(of, table, ada):
    """The SDK tries again when an answer was lost, and meets its own row."""
    table.write(put({**keys.ticket(ada.user, "t1"), "connection_id": "c1", "expires_at": 2_000_000_000}))
    of(ticket="t1").open("c1")
    assert row(of).connection_id == "c1"


def test_a_degraded_socket_must_refresh_soon(of, clock, ada):
    """I4."""
    of(auth_mode="degraded").open("c1")
    assert row(of).token_exp == int(clock()) + LIMITS.degraded_s
    clock.advance(LIMITS.degraded_s + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        of(auth_mode="degraded").require_authorized("c1")
    assert ended.value.code == "token_expired"


def test_a_degraded_token_of_less_is_not_made_longer(of, clock, ada):
    soon = int(clock()) + 10
    of(auth_mode="degraded", expires_at=soon).open("c1")
    assert row(of).token_exp == soon


def test_a_socket_whose_token_has_expired_does_not_go_live(of, clock, ada):
    """J2: the token of the hello's own request may be a later one."""
    of().open("c1")
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        of().go_live("c1", device="")
    assert ended.value.code == "token_expired"


def test_a_refreshed_socket_goes_on_past_its_first_token(of, clock, ada):
    """D1."""
    of().open("c1")
    of().refresh("c1", token_exp=ada.expires_at + 900, token_iat=ada.issued_at + 600, session="s")
    clock.advance(900 + LIMITS.token_grace_s + 1)
    of().require_authorized("c1")
    assert of().go_live("c1", device="")[0].token_exp == ada.expires_at + 900
    clock.advance(900)
    with pytest.raises(Disconnect) as ended:
        of().require_authorized("c1")
    assert ended.value.code == "token_expired"


@pytest.mark.parametrize("later", [0, -1])
def test_a_refresh_must_reach_further(of, ada, later):
    of().open("c1")
    with pytest.raises(BadRequest) as refused:
        of().refresh("c1", token_exp=ada.expires_at + later, token_iat=ada.issued_at + 1, session="")
    assert refused.value.field == "payload.token"
    assert row(of).token_exp == ada.expires_at


def test_the_same_refresh_again_is_no_error(of, ada):
    of().open("c1")
    for _ in range(2):
        of().refresh("c1", token_exp=ada.expires_at + 60, token_iat=ada.issued_at + 1, session="")
    assert row(of).token_exp == ada.expires_at + 60


def test_a_refresh_after_the_grace_comes_too_late(of, ada, clock):
    of().open("c1")
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        of().refresh("c1", token_exp=ada.expires_at + 5000, token_iat=ada.issued_at, session="")
    assert ended.value.code == "token_expired"


def test_a_refresh_brings_back_no_socket(of, ada):
    with pytest.raises(Disconnect) as ended:
        of().refresh("c1", token_exp=ada.expires_at + 1, token_iat=0, session="")
    assert ended.value.code == "no_connection"
    assert of().live().connections == []


def test_a_socket_without_a_row_is_not_authorized_past_its_token(of, clock):
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        of().require_authorized("c1")
    assert ended.value.code == "no_connection"


def test_a_session_may_have_any_characters(of, ada):
    for session in ("a#b", "*", "ünï", "x" * 500, "ALL"):
        of().revoke(session=session, not_before=ada.issued_at)
        with pytest.raises(TokenRejected):
            of(session=session).open("c1")
    of(session="b").open("c1")


def test_which_tokens_revocations_cover():
    nothing = Revocations()
    assert not nothing.cover("s", 0)
    both = Revocations(everything=10, sessions={keys.session_hash("s"): 20})
    covered = {
        (session, moment) for session in ("", "s", "t") for moment in (10, 11, 20, 21) if both.cover(session, moment)
    }
    assert covered == {("", 10), ("s", 10), ("t", 10), ("s", 11), ("s", 20)}


def test_a_count_of_looks_brings_back_no_row(of):
    of().count_check("c1", 1)
    assert of().live().connections == []


def test_a_table_that_does_not_answer_is_not_reachable(storage, clock):
    storage.reachable()
    nowhere = boto3.client(
        "dynamodb", endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(Unavailable):
        Storage(Table(nowhere, "agentsocket", now=clock), limits=LIMITS).reachable()


def test_a_degraded_socket_is_refreshed_only_by_a_token_of_since(of, clock, ada):
    """I4: one made before may have been revoked, when nobody could be asked."""
    clock.advance(100)
    degraded = of(auth_mode="degraded")
    degraded.open("c1")
    opened = int(clock())
    with pytest.raises(BadRequest):
        degraded.refresh("c1", token_exp=opened + 900, token_iat=opened - 1, session="")
    degraded.refresh("c1", token_exp=opened + 900, token_iat=opened, session="")
    assert row(of).token_exp == opened + 900
