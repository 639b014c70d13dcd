"""Sockets' rows: tickets used once, tokens refreshed, threads followed (delivery.md, Connections)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.errors import BadRequest, Disconnect, TokenRejected
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import put

LIMITS = Limits()


def message():
    return NewMessage("m1", "hi", None, "c1", agent="", context="{}")


@pytest.fixture
def connected(adas):
    adas.connections.open("c1")
    return adas


@pytest.fixture
def of(storage, ada):
    """The connections of ada, by a token of hers that differs in some respects."""
    return lambda **claims: storage.for_user(replace(ada, **claims)).connections


def row(of):
    [connection] = of().activity().connections
    return connection


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
    assert refused.value.field == "token"
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
    assert of().activity().connections == []


def test_a_socket_without_a_row_is_not_authorized_past_its_token(of, clock):
    clock.advance(900 + LIMITS.token_grace_s + 1)
    with pytest.raises(Disconnect) as ended:
        of().require_authorized("c1")
    assert ended.value.code == "no_connection"


def test_a_count_of_looks_brings_back_no_row(of):
    of().count_check("c1", 1)
    assert of().activity().connections == []


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


def test_a_command_without_a_row_ends_the_connection(adas):
    for command in (
        lambda: adas.connections.go_live("c1", device=""),
        lambda: adas.connections.subscribe("c1", "t", cursor=0),
        lambda: adas.connections.unsubscribe("c1", "t"),
        lambda: adas.runs.accept(message()),
    ):
        with pytest.raises(Disconnect) as ended:
            command()
        assert (ended.value.code, ended.value.reconnect) == ("no_connection", True)
    assert adas.connections.activity().connections == []


def test_an_expired_token_ends_the_connection_after_the_grace(connected, clock):
    clock.advance(900 + Limits().token_grace_s)
    assert connected.connections.go_live("c1", device="")[0].live
    clock.advance(1)
    with pytest.raises(Disconnect) as ended:
        connected.runs.accept(message())
    assert ended.value.code == "token_expired"


def test_a_connection_lives_as_long_as_its_row(connected, clock):
    connected.connections.go_live("c1", device="test")
    clock.advance(Limits().connection_row_s + 1)
    assert connected.connections.activity().connections == []


def test_subscriptions_are_kept_with_their_generation(connected):
    connected.connections.go_live("c1", device="")
    first = connected.connections.subscribe("c1", "t", cursor=3)
    second = connected.connections.subscribe("c1", "t", cursor=5)
    connected.connections.move_cursor("c1", "t", generation=first, cursor=99)
    [connection] = connected.connections.activity().connections
    assert connection.subscriptions["t"].cursor == 5
    connected.connections.move_cursor("c1", "t", generation=second, cursor=7)
    [connection] = connected.connections.activity().connections
    assert connection.subscriptions["t"].cursor == 7
    connected.connections.unsubscribe("c1", "t")
    assert connected.connections.activity().connections[0].subscriptions == {}


def test_a_late_cursor_does_not_bring_back_a_subscription(connected):
    generation = connected.connections.subscribe("c1", "t", cursor=0)
    connected.connections.unsubscribe("c1", "t")
    connected.connections.move_cursor("c1", "t", generation=generation, cursor=1)
    assert connected.connections.activity().connections[0].subscriptions == {}


def test_a_connection_follows_a_bounded_number_of_threads(connected):
    for number in range(Limits().max_subscriptions):
        connected.connections.subscribe("c1", f"t{number}", cursor=0)
    with pytest.raises(BadRequest):
        connected.connections.subscribe("c1", "one-more", cursor=0)
    assert len(connected.connections.activity().connections[0].subscriptions) == Limits().max_subscriptions


def test_only_live_connections_with_a_good_token_are_notified(of, storage, ada, clock):
    of().open("live")
    of(session="s1").open("revoked")
    of().open("opening")
    for name in ("live", "revoked"):
        of().go_live(name, device="")
    assert [each.connection_id for each in of().notifiable()] == ["live", "revoked"]
    storage.for_user(ada).revocations.revoke(session="s1", not_before=ada.issued_at)
    assert [each.connection_id for each in of().notifiable()] == ["live"]
    clock.advance(900 + LIMITS.token_grace_s + 1)
    assert of().notifiable() == []
