"""What is due on a socket: each rule at its moment and not a second before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentsocket.control import deadlines
from agentsocket.limits import Limits
from agentsocket.storage.rows import Connection

LIMITS = Limits()
OPENED = 1_800_000_000
LIVE = Connection("c1", True, OPENED + 900, token_iat=OPENED, opened_at=OPENED)


def at(seconds, connection=LIVE, *, is_revoked=False):
    return deadlines.of(connection, is_revoked=is_revoked, now=OPENED + seconds, limits=LIMITS)


def ending(seconds, connection=LIVE):
    ends = at(seconds, connection).ends
    return ends and (ends.code, ends.reconnect)


def test_a_token_s_end_is_announced_a_minute_before():
    """J2."""
    assert not at(839).expiring
    assert at(839).again_at == OPENED + 840
    assert at(840).expiring
    assert at(840).again_at == OPENED + 926


def test_a_socket_is_closed_after_the_grace():
    """J2."""
    assert ending(925) is None
    assert ending(926) == ("token_expired", True)


def test_a_socket_ends_before_api_gateway_ends_it():
    long = replace(LIVE, token_exp=OPENED + 86_400)
    assert ending(115 * 60 - 1, long) is None
    assert at(115 * 60 - 1, long).again_at == OPENED + 115 * 60
    assert ending(115 * 60, long) == ("connection_age", True)


def test_a_socket_that_says_no_hello_is_closed():
    waiting = replace(LIVE, live=False)
    assert ending(59, waiting) is None
    assert ending(60, waiting) == ("bad_request", False)
    assert deadlines.first_check_s(waiting, LIMITS) == 60


def test_a_socket_of_a_short_token_is_looked_at_in_time():
    short = replace(LIVE, live=False, token_exp=OPENED + 80)
    assert deadlines.first_check_s(short, LIMITS) == 20
    about_to_say_hello = at(20, short)
    assert (about_to_say_hello.expiring, about_to_say_hello.again_at) == (False, OPENED + 20 + LIMITS.recheck_s)


def test_a_revoked_socket_ends_whatever_else():
    ends = at(0, is_revoked=True).ends
    assert (ends.code, ends.reconnect) == ("revoked", False)


@pytest.mark.parametrize(("ahead", "delay"), [(-5, 1), (0, 1), (0.2, 1), (1.2, 2), (900, 900), (7200, 900)])
def test_a_look_is_put_off_by_what_the_queue_can(ahead, delay):
    assert deadlines.delay_s(1000 + ahead, 1000, LIMITS) == delay


@given(
    live=st.booleans(),
    lifetime=st.integers(1, 86_400),
    seconds=st.floats(0, 10_000, allow_nan=False),
)
def test_every_look_ends_the_socket_or_names_a_later_one(live, lifetime, seconds):
    found = at(seconds, replace(LIVE, live=live, token_exp=OPENED + lifetime))
    assert found.ends or found.again_at > OPENED + seconds
