"""The control function: what happens to sockets that say nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.errors import Unavailable
from agentsocket.inputs import Check, Revocation
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.table import update
from tests.conftest import ISSUER
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits()


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([]))


def sockets(world, who):
    return {c.connection_id: c for c in world.storage.for_user(who).connections.activity().connections}


def said(world, connection_id):
    return [(frame["type"], frame["payload"].get("code")) for frame in world.sockets.posted[connection_id]]


def run_out(world, clock, until_s):
    """Let every planned check happen at its time."""
    end = clock() + until_s
    due_at = [(clock() + delay, check) for check, delay in world.schedule.planned]
    world.schedule.planned.clear()
    while due_at:
        due_at.sort(key=lambda pair: pair[0])
        moment, check = due_at.pop(0)
        if moment > end:
            break
        clock.now = max(clock.now, moment)
        world.control(check)
        due_at += [(clock() + delay, check) for check, delay in world.schedule.planned]
        world.schedule.planned.clear()
    clock.now = end


def logout(who, not_before, session=""):
    return Revocation(ISSUER, who.subject, session, not_before)


def test_a_quiet_socket_hears_of_its_token_s_end_and_is_closed(world, ada, clock):
    """J2."""
    world.connect(ada, "a1")
    run_out(world, clock, 839)
    assert said(world, "a1") == []
    run_out_again(world, ada, clock)
    assert said(world, "a1") == [("token_expiring", None), ("disconnect", "token_expired")]
    assert world.sockets.closed == ["a1"]
    assert sockets(world, ada) == {}


def run_out_again(world, ada, clock):
    """The chain of checks was cut by `run_out`; take it up from the row."""
    number = sockets(world, ada)["a1"].checks
    world.schedule.planned.append((Check(ada.user, "a1", number), 1))
    run_out(world, clock, 90)


def test_a_refreshed_socket_lives_on(world, ada, clock):
    """D1."""
    world.connect(ada, "a1")
    world.tokens["newer"] = replace(ada, expires_at=ada.expires_at + 900, issued_at=ada.issued_at + 800)
    assert world.say(ada, "a1", "refresh_token", token="newer") == [{"expires_at": ada.expires_at + 900}]
    run_out(world, clock, 1500)
    assert said(world, "a1") == []
    assert "a1" in sockets(world, ada)


def test_a_socket_without_hello_is_closed(world, ada, clock):
    world.open(ada, "a1")
    run_out(world, clock, 61)
    assert said(world, "a1") == [("disconnect", "bad_request")]
    assert sockets(world, ada) == {}


def test_a_check_costs_little(world, ada, clock):
    """delivery.md: about one message per connection and quarter hour."""
    long = replace(ada, expires_at=ada.expires_at + 86_400)
    world.connect(long, "a1")
    looks = 0
    while world.schedule.planned and looks < 50:
        check, delay = world.schedule.planned.pop()
        clock.advance(delay)
        world.control(check)
        looks += 1
    assert world.sockets.closed == ["a1"]
    assert looks <= 2 + 115 // 15 + 1


def test_a_check_that_comes_twice_makes_one_chain(world, ada, clock):
    world.connect(ada, "a1")
    first, _ = world.schedule.planned.pop()
    clock.advance(60)
    world.control(first)
    world.control(first)
    assert [check.number for check, _ in world.schedule.planned] == [1]


def test_a_check_whose_count_was_lost_goes_on(world, ada, clock):
    """The function died between sending the next check and counting it: both arrive."""
    world.connect(ada, "a1")
    clock.advance(60)
    world.control(Check(ada.user, "a1", 1))
    world.control(Check(ada.user, "a1", 0))
    assert [check.number for check, _ in world.schedule.planned[1:]] == [1]


def test_a_check_of_a_socket_that_is_gone_ends_the_chain(world, ada):
    world.control(Check(ada.user, "nowhere", 0))
    assert world.schedule.planned == []
    assert world.sockets.posted == {}


def test_a_logout_closes_every_socket_of_the_user_and_no_other(world, ada, bob, clock):
    """C3."""
    for who, connection_id in ((ada, "a1"), (ada, "a2"), (bob, "b1")):
        world.connect(who, connection_id)
    world.control(logout(ada, int(clock())))
    assert said(world, "a1") == said(world, "a2") == [("disconnect", "revoked")]
    assert world.sockets.posted["a1"][0]["payload"]["reconnect"] is False
    assert sorted(world.sockets.closed) == ["a1", "a2"]
    assert sockets(world, ada) == {}
    assert said(world, "b1") == []


def test_a_family_s_end_closes_that_session_s_sockets_only(world, ada, clock):
    """C2."""
    world.connect(replace(ada, session="stolen"), "a1")
    world.connect(replace(ada, session="other"), "a2")
    world.control(logout(ada, int(clock()), "stolen"))
    assert said(world, "a1") == [("disconnect", "revoked")]
    assert list(sockets(world, ada)) == ["a2"]


def test_a_revocation_that_comes_twice_leaves_a_later_sign_in_alone(world, ada, clock):
    order = logout(ada, int(clock()))
    world.control(order)
    clock.advance(2)
    world.connect(replace(ada, issued_at=int(clock())), "a1")
    world.control(order)
    assert list(sockets(world, ada)) == ["a1"]


def test_a_socket_whose_connect_has_not_returned_is_closed_when_it_has(world, ada, clock):
    """C3: just under way. Nothing can be posted to it yet, so it is looked at again."""
    world.open(ada, "a1")
    world.schedule.planned.clear()
    world.sockets.gone.add("a1")
    world.control(logout(ada, int(clock())))
    assert "a1" in sockets(world, ada)
    [(check, delay)] = world.schedule.planned
    assert delay == LIMITS.recheck_s
    world.sockets.gone.clear()
    clock.advance(delay)
    world.control(check)
    assert said(world, "a1") == [("disconnect", "revoked")]
    assert world.sockets.closed == ["a1"]


def test_a_socket_that_never_came_is_forgotten(world, ada, clock):
    world.open(ada, "a1")
    world.sockets.gone.add("a1")
    run_out(world, clock, 61)
    assert sockets(world, ada) == {}
    assert world.sockets.closed == []


def test_a_throttled_farewell_is_said_later(world, ada, clock):
    world.connect(ada, "a1")
    world.schedule.planned.clear()
    world.sockets.busy.add("a1")
    world.control(logout(ada, int(clock())))
    [(check, delay)] = world.schedule.planned
    assert (delay, world.sockets.closed) == (LIMITS.recheck_s, [])
    world.sockets.busy.clear()
    world.control(check)
    assert world.sockets.closed == ["a1"]


def test_a_gone_socket_is_forgotten(world, ada, clock):
    world.connect(ada, "a1")
    world.sockets.gone.add("a1")
    world.control(logout(ada, int(clock())))
    assert sockets(world, ada) == {}
    assert world.sockets.closed == []


def test_a_socket_that_cannot_be_closed_now_is_closed_later(world, ada, clock):
    world.connect(ada, "a1")
    world.schedule.planned.clear()
    world.sockets.stuck.add("a1")
    world.control(logout(ada, int(clock())))
    [(check, delay)] = world.schedule.planned
    assert (delay, list(sockets(world, ada))) == (LIMITS.recheck_s, ["a1"])
    world.sockets.stuck.clear()
    world.control(check)
    assert sockets(world, ada) == {}


def test_a_fault_with_one_socket_keeps_no_other_open(world, ada, clock):
    for connection_id in ("a1", "a2", "a3"):
        world.connect(ada, connection_id)
    world.sockets.busy.add("a1")
    world.schedule.failing = True
    with pytest.raises(Unavailable):
        world.control(logout(ada, int(clock())))
    assert world.sockets.closed == ["a2", "a3"]


def test_a_logout_reaches_every_socket_however_many_there_are(world, ada, clock):
    """C3: more rows than one page of a Query holds, and the revocation lies behind them."""
    ids = [f"a{number}" for number in range(12)]
    for connection_id in ids:
        world.connect(replace(ada, session="s"), connection_id)
        swollen = {("subscriptions", "t" * 64): {"cursor": 0, "generation": "x" * 100_000}}
        key = keys.connection(ada.user, connection_id)
        world.storage.for_user(ada).connections._table.write(update(key, sets=swollen))
    world.control(logout(ada, int(clock()), "s"))
    assert sorted(world.sockets.closed) == sorted(ids)
