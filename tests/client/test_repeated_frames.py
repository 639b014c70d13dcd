"""Frames that come twice, or late, as when the SDK repeats a post without an answer (the simulation found it)."""

from __future__ import annotations

from agentsocket_client.session_outputs import Hangup, Reply
from tests.client.connected import Talk, point, shown
from tests.client.fakes import THREAD, batch, event, frame, snapshot, subscribed


def _subscriptions() -> Talk:
    """A client that has read THREAD up to 10."""
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch())
    return talk


def test_a_snapshot_of_before_the_position_takes_nothing_back() -> None:
    """D6: no event twice."""
    talk = _subscriptions()
    talk.hears(event(11), event(12))
    assert talk.hears(snapshot(10)) == []
    assert shown(talk.hears(event(11), event(13))) == [13]


def test_an_unsubscribed_that_comes_twice_does_not_end_a_new_subscription() -> None:
    """D6: the thread is not begun anew."""
    talk = _subscriptions()
    unsubscribe = talk.asks("unsubscribe", thread_id=THREAD)
    talk.said()
    gone = frame("unsubscribed", {"thread_id": THREAD}, reply_to=unsubscribe["id"])
    talk.hears(gone)
    talk.asks("subscribe", thread_id=THREAD)
    [subscribe] = talk.said()
    talk.hears(subscribed(12, recovered=False, reply_to=subscribe["id"]), snapshot(12), gone)
    assert shown(talk.hears(event(13))) == [13]


def test_who_subscribes_before_the_unsubscribe_is_answered_follows() -> None:
    """Nothing of the new subscription is taken for a late push of the old one."""
    talk = _subscriptions()
    unsubscribe = talk.asks("unsubscribe", thread_id=THREAD)
    talk.asks("subscribe", thread_id=THREAD)
    talk.said()
    talk.hears(frame("unsubscribed", {"thread_id": THREAD}, reply_to=unsubscribe["id"]))
    [subscribe] = talk.said()
    talk.hears(subscribed(12, recovered=True, reply_to=subscribe["id"]), batch(event(11), event(12)))
    assert shown(talk.hears(event(13))) == [13]


def test_a_command_that_is_answered_by_a_disconnect_goes_out_again_on_the_next_connection() -> None:
    """The server knew nothing of the socket: nobody would answer that command ever."""
    talk = Talk()
    command = talk.sends()
    talk.said()
    told = {"code": "no_connection", "reason": "reconnect", "reconnect": True}
    [_, hangup] = talk.hears(frame("disconnect", told, reply_to=command["id"]))
    assert isinstance(hangup, Hangup)
    talk.connect()
    assert talk.said() == [command]
    reply = frame("pong", {}, reply_to=command["id"])
    assert talk.hears(reply) == [Reply(command["id"], reply)]
