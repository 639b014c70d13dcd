"""When the client wants a fresh token for its open connection, what it offers, and when it tries again; no socket."""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import pytest

from agentsocket_client.session import Session
from agentsocket_client.session_outputs import Hangup, Output, Reply
from tests.client.connected import Talk, kinds, shown
from tests.client.fakes import Json, accepted, error, frame, misspoken

START = 1_800_000_000  # the server's clock when the client's is 0; this machine's has nothing to do with it
LIFE_S = 900
IDLE_S = 1_000_000


class Lease:
    """A conversation whose token ends in LIFE_S; the server's clock runs with the client's."""

    def __init__(self, life_s: int = LIFE_S, *, renews: bool = True) -> None:
        self.talk = Talk(live=False, renews=renews)
        self.welcome(life_s)

    @property
    def session(self) -> Session:
        return self.talk.session

    def hears(self, kind: str, payload: Json | None = None, **envelope: Any) -> list[Output]:
        stamp = {"timestamp": round((START + self.talk.now) * 1000)}
        return self.talk.hears(frame(kind, payload, **(stamp | envelope)))

    def welcome(self, life_s: int) -> None:
        self.session.open({}, self.talk.now, token="first")
        (hello,) = self.talk.said()
        self.hears("welcome", {"expires_at": self.at(life_s), "ping_interval_s": IDLE_S}, reply_to=hello["id"])

    def at(self, seconds: int) -> int:
        """The server's time so many seconds from now."""
        return START + round(self.talk.now) + seconds

    def wants(self) -> bool:
        return self.session.wants_token(self.talk.now)

    def first_wanted(self) -> float:
        """When the client next wants a token, as its own deadline says; infinity: never."""
        deadline = self.session.deadline()
        if deadline >= IDLE_S:
            return math.inf
        self.talk.now = max(self.talk.now, deadline)
        assert self.talk.said() == []
        assert self.wants()
        return self.talk.now

    def offers(self, token: str) -> list[Json]:
        self.session.offer_token(token, self.talk.now)
        return self.talk.said()

    def refreshes(self, token: str) -> Json:
        """The token is wanted, and sent."""
        assert self.wants()
        (command,) = self.offers(token)
        assert (command["type"], command["payload"]) == ("refresh_token", {"token": token})
        return command


def expiring(life_s: int = 60) -> Lease:
    """A minute before its end the server says so."""
    lease = Lease()
    lease.talk.after(LIFE_S - life_s)
    lease.hears("token_expiring", {"expires_at": lease.at(life_s)})
    return lease


def test_a_token_that_expires_is_refreshed_at_once_and_nobody_is_told_of_the_answer() -> None:
    """A7, J2."""
    lease = Lease()
    lease.talk.after(LIFE_S - 60)
    assert not lease.wants()
    assert shown(lease.hears("token_expiring", {"expires_at": lease.at(60)})) == ["token_expiring"]
    command = lease.refreshes("second")
    assert lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"]) == []
    assert not lease.wants()
    assert lease.talk.said() == []


def test_a_refresh_waits_for_no_other_command_and_none_waits_for_it() -> None:
    """D1."""
    lease = expiring()
    first = lease.talk.sends()
    assert kinds(lease.talk.said()) == ["user_message"]
    lease.refreshes("second")
    lease.talk.hears(accepted(first))
    lease.talk.sends()
    assert kinds(lease.talk.said()) == ["user_message"]


def test_only_one_refresh_is_under_way_at_a_time() -> None:
    lease = expiring()
    assert lease.wants()
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    assert not lease.wants()
    assert len(lease.offers("second")) == 1
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    assert not lease.wants()


def test_without_a_token_expiring_it_is_refreshed_30_s_before_the_end() -> None:
    """The push was lost; the server's clock may be any: its frames say how long is left."""
    assert Lease().first_wanted() == LIFE_S - 30


def test_the_end_of_a_refreshed_token_counts_for_the_next_refresh() -> None:
    """A7."""
    lease = expiring()
    command = lease.refreshes("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"])
    assert lease.first_wanted() == (LIFE_S - 60) + (LIFE_S - 30)


def test_a_token_of_seconds_is_used_for_most_of_them() -> None:
    """Or each would be replaced the moment it came."""
    lease = Lease(8)
    assert lease.first_wanted() == 6
    (command,) = lease.offers("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(8)}, reply_to=command["id"])
    assert lease.first_wanted() == 12


def test_a_token_expiring_that_a_refresh_has_overtaken_is_too_late() -> None:
    lease = expiring()
    old_end = lease.at(60)
    command = lease.refreshes("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"])
    lease.hears("token_expiring", {"expires_at": old_end})
    assert not lease.wants()


def test_a_repeated_answer_starts_nothing() -> None:
    lease = expiring()
    command = lease.refreshes("second")
    told = {"expires_at": lease.at(LIFE_S)}
    lease.hears("token_refreshed", told, reply_to=command["id"])
    lease.talk.after(LIFE_S - 30)
    assert lease.wants()
    lease.hears("token_refreshed", told, reply_to=command["id"])
    assert not lease.wants()
    assert len(lease.offers("third")) == 1


def test_a_refresh_without_an_answer_is_sent_again_with_the_same_id() -> None:
    lease = expiring()
    command = lease.refreshes("second")
    assert lease.talk.after(10).said() == [command]
    assert not lease.wants()


def test_a_token_that_cannot_be_fetched_is_tried_again_with_backoff_until_the_grace_is_over() -> None:
    """J2: then the server ends the connection; until it does, nothing is due."""
    lease, tries = expiring(), []
    while (at := lease.first_wanted()) < math.inf:
        tries.append(at - LIFE_S)
        lease.session.token_failed("TimeoutError", lease.talk.now)
    assert [after - before for before, after in itertools.pairwise(tries)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30]
    assert tries[0] == -60
    assert 0 < tries[-1] < 25


def test_a_token_expiring_does_not_cut_the_wait_short() -> None:
    lease = expiring()
    assert lease.wants()
    lease.session.token_failed("TimeoutError", lease.talk.now)
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    assert not lease.wants()


def test_after_a_success_the_next_failure_is_the_first_again() -> None:
    lease = expiring()
    for _ in range(4):
        lease.first_wanted()
        lease.session.token_failed("TimeoutError", lease.talk.now)
    lease.first_wanted()
    (command,) = lease.offers("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"])
    failed_at = lease.first_wanted()
    lease.session.token_failed("TimeoutError", lease.talk.now)
    assert lease.first_wanted() == failed_at + 0.25


def test_after_a_failure_and_a_success_token_expiring_is_heeded_again() -> None:
    lease = expiring()
    assert lease.wants()
    lease.session.token_failed("TimeoutError", lease.talk.now)
    lease.first_wanted()
    (command,) = lease.offers("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"])
    lease.talk.after(LIFE_S - 60)
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    assert lease.wants()


def test_the_same_token_is_not_sent_and_another_is_asked_for() -> None:
    lease = expiring()
    assert lease.wants()
    assert lease.offers("first") == []
    assert not lease.wants()
    lease.talk.after(0.25)
    lease.refreshes("second")


def test_the_token_of_the_last_refresh_is_the_one_in_force() -> None:
    lease = expiring()
    command = lease.refreshes("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(LIFE_S)}, reply_to=command["id"])
    lease.first_wanted()
    assert lease.offers("second") == []


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "bad_request", "token_expired", "unknown_type"])
def test_a_refused_token_is_not_offered_again_and_the_connection_stays(code: str) -> None:
    """Also `token_expired`: it is the offered token that has, the one in force may still hold."""
    lease = expiring()
    command = lease.refreshes("second")
    assert lease.talk.hears(error(code, reply_to=command["id"])) == []
    assert not lease.wants()
    lease.talk.after(0.25)
    assert lease.wants()
    assert lease.offers("second") == []
    lease.talk.after(0.5)
    third = lease.refreshes("third")
    assert lease.talk.after(10).said() == [third]


def test_a_token_that_was_refused_for_now_is_offered_again_after_the_wait() -> None:
    lease = expiring()
    command = lease.refreshes("second")
    lease.talk.hears(error("unavailable", temporary=True, reply_to=command["id"], retry_after_ms=3000))
    lease.talk.after(2.9)
    assert not lease.wants()
    lease.talk.after(0.1)
    lease.refreshes("second")


def test_an_answer_that_grants_nothing_is_a_failure() -> None:
    """Or the client would refresh as fast as the server answers."""
    lease = expiring()
    command = lease.refreshes("second")
    lease.hears("token_refreshed", {"expires_at": lease.at(60)}, reply_to=command["id"])
    assert not lease.wants()
    lease.talk.after(0.25)
    assert lease.wants()


def test_a_token_that_no_frame_can_hold_is_a_failure() -> None:
    lease = expiring()
    assert lease.wants()
    assert lease.offers("\ud800") == []
    lease.talk.after(0.25)
    lease.refreshes("second")


def test_a_new_connection_leaves_the_refresh_of_the_last_one_behind() -> None:
    """It was made with a fresh token; the one that was on its way may be older."""
    lease = expiring()
    lease.refreshes("second")
    lease.welcome(LIFE_S)
    assert lease.talk.said() == []
    assert not lease.wants()
    assert lease.first_wanted() == (LIFE_S - 60) + (LIFE_S - 30)


def test_a_new_connection_ends_a_fetch() -> None:
    lease = expiring()
    assert lease.wants()
    lease.welcome(60)
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    lease.refreshes("third")


def test_a_new_connection_ends_the_wait_after_a_failure() -> None:
    lease = expiring()
    assert lease.wants()
    lease.session.token_failed("TimeoutError", lease.talk.now)
    lease.talk.connect()  # its welcome does not name the end
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    lease.refreshes("third")


def test_before_the_welcome_no_token_is_wanted() -> None:
    lease = expiring()
    lease.talk.connect(live=False)
    assert not lease.wants()


def test_a_client_with_one_token_only_wants_none() -> None:
    """J2: nor does it spin; the person at it sees the warning."""
    lease = Lease(renews=False)
    assert shown(lease.hears("token_expiring", {"expires_at": lease.at(60)})) == ["token_expiring"]
    assert lease.first_wanted() == math.inf


def test_a_caller_that_refreshes_by_itself_has_its_reply_and_moves_the_end() -> None:
    lease = Lease()
    command = lease.talk.asks("refresh_token", token="mine")
    lease.talk.said()
    (reply,) = lease.hears("token_refreshed", {"expires_at": lease.at(2000)}, reply_to=command["id"])
    assert isinstance(reply, Reply)
    assert lease.first_wanted() == 1970


@pytest.mark.parametrize("expires_at", [None, "soon", -5, 10**400, 1.5])
def test_a_welcome_without_a_sensible_end_leaves_it_to_token_expiring(expires_at: object) -> None:
    lease = Lease()
    lease.session.open({}, 0, token="first")
    (hello,) = lease.talk.said()
    lease.talk.hears(misspoken("welcome", {"expires_at": expires_at, "ping_interval_s": IDLE_S}, reply_to=hello["id"]))
    assert lease.first_wanted() == math.inf
    lease.hears("token_expiring", {"expires_at": lease.at(60)})
    assert lease.wants()


@pytest.mark.parametrize("timestamp", [None, "now", 10**400])
def test_without_the_servers_clock_token_expiring_still_counts(timestamp: object) -> None:
    lease = Lease()
    lease.talk.hears(misspoken("token_expiring", {"expires_at": lease.at(LIFE_S)}, timestamp=timestamp))
    assert lease.wants()


@pytest.mark.parametrize("code", ["revoked", "unauthorized"])
def test_revoked_is_final_also_while_a_refresh_is_out(code: str) -> None:
    """C3, J3."""
    lease = expiring()
    lease.refreshes("second")
    _, hangup = lease.hears("disconnect", {"code": code, "reason": "signed out", "reconnect": True})
    assert hangup == Hangup(code, "signed out", final=True)


def test_every_failure_is_logged_and_no_token_is(caplog: pytest.LogCaptureFixture) -> None:
    lease = expiring()
    with caplog.at_level(logging.DEBUG):
        lease.first_wanted()
        lease.session.token_failed("TimeoutError", lease.talk.now)
        lease.first_wanted()
        assert lease.offers("first") == []
        lease.first_wanted()
        (command,) = lease.offers("sec-ret")
        lease.talk.hears(error("forbidden", reply_to=command["id"], message="sec-ret is no good"))
        lease.first_wanted()
        lease.talk.after(84)
        lease.session.token_failed("TimeoutError", lease.talk.now)
    start = "The connection's token is not refreshed"
    assert caplog.messages == [
        f"{start} (TimeoutError); trying again.",
        f"{start} (it is the same as before); trying again.",
        f"{start} (the server answers forbidden); trying again.",
        f"{start} (TimeoutError); too late to try again.",
    ]


def test_a_command_does_not_show_its_text() -> None:
    lease = expiring()
    command = lease.refreshes("sec-ret")
    waiting = lease.session._outbox.get(command["id"])
    assert "refresh" not in repr(waiting)
    assert "sec-ret" not in repr(waiting)
