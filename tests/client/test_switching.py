"""Following one thread only: what the client takes for followed, whatever becomes of the switch on its way."""

from __future__ import annotations

import pytest

from agentsocket_client.session_outputs import Reply
from tests.client.connected import Talk, kinds, point, shown
from tests.client.fakes import EPOCH, THREAD, Json, accepted, batch, error, event, frame, snapshot, subscribed

OTHER = "01JOTHER"


def following() -> Talk:
    """A client that follows THREAD, and has read it up to 10."""
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch())
    return talk


def switched(command: Json) -> Json:
    return frame("thread_switched", {"thread_id": command["payload"]["thread_id"]}, reply_to=command["id"])


def replayed(command: Json, top: int) -> list[Json]:
    """What the server says after thread_switched."""
    return [subscribed(top, recovered=True, thread_id=OTHER, reply_to=command["id"]), batch(thread_id=OTHER)]


def test_after_a_switch_the_other_threads_are_followed_no_more() -> None:
    """E3: what a run in them still says is not shown, and asked for by nobody."""
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    assert talk.said() == [command]
    reply = switched(command)
    assert talk.hears(reply) == [Reply(command["id"], reply)]
    outputs = talk.hears(*replayed(command, 3), event(11), event(14), event(4, thread_id=OTHER))
    assert shown(outputs) == [4]
    assert talk.after(30).said() == []
    assert talk.connect()["payload"]["resume"] == [point(OTHER, 4)]
    with pytest.raises(KeyError):
        talk.session.position(THREAD)


def test_until_it_is_answered_everything_is_as_before() -> None:
    talk = following()
    talk.asks("switch_thread", thread_id=OTHER)
    talk.said()
    assert shown(talk.hears(event(11))) == [11]


def test_a_switch_to_a_thread_that_was_left_shows_what_overtakes_its_answer() -> None:
    talk = following()
    talk.hears(switched(away := talk.asks("switch_thread", thread_id=OTHER)))
    talk.hears(*replayed(away, 0))
    back = talk.asks("switch_thread", thread_id=THREAD, since={"epoch": EPOCH, "seq": 10})
    assert talk.hears(event(12)) == []
    outputs = talk.hears(switched(back), subscribed(11, recovered=True, reply_to=back["id"]), batch(event(11)))
    assert shown(outputs) == [11, 12]


def test_a_switch_goes_on_from_where_the_client_stands_in_the_thread() -> None:
    talk = following()
    command = talk.asks("switch_thread", thread_id=THREAD)
    (said,) = talk.said()
    assert said["payload"] == {"thread_id": THREAD, "since": {"epoch": EPOCH, "seq": 10}}
    outputs = talk.hears(switched(command), subscribed(11, recovered=True, reply_to=command["id"]), batch(event(11)))
    assert shown(outputs) == [11]


def test_a_switch_to_a_thread_never_seen_shows_its_snapshot() -> None:
    talk = Talk()
    command = talk.asks("switch_thread", thread_id=THREAD)
    outputs = talk.hears(switched(command), subscribed(7, recovered=False, reply_to=command["id"]), snapshot(7))
    assert shown(outputs) == ["thread_snapshot"]
    assert talk.session.position(THREAD)["seq"] == 0
    assert shown(talk.hears(event(8))) == [8]


def test_a_connection_lost_before_the_answer_resumes_all_and_switches_then() -> None:
    """The server may have switched or not: the same command, by the same id, makes it so."""
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    assert talk.said() == [command]
    assert talk.connect()["payload"]["resume"] == [point(), point(OTHER, 3)]
    assert talk.said() == [command]
    assert shown(talk.hears(subscribed(11, recovered=True), batch(event(11)))) == [11]
    talk.hears(switched(command), *replayed(command, 3))
    assert talk.hears(event(12)) == []
    assert talk.connect()["payload"]["resume"] == [point(OTHER, 3)]


def test_a_connection_lost_after_the_answer_resumes_that_thread_alone() -> None:
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER)
    talk.said()
    talk.hears(switched(command))
    assert talk.connect()["payload"]["resume"] == []
    (question,) = talk.after(1).said()
    assert (question["type"], question["payload"]) == ("subscribe", {"thread_id": OTHER})


def test_a_switch_that_is_refused_for_good_changes_nothing() -> None:
    """E6."""
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER)
    talk.said()
    refusal = error("not_found", reply_to=command["id"])
    assert talk.hears(refusal) == [Reply(command["id"], refusal)]
    assert shown(talk.hears(event(11))) == [11]
    assert talk.connect()["payload"]["resume"] == [point(seq=11)]


def test_after_a_switch_that_failed_half_way_the_others_are_asked_for_again() -> None:
    """The server may have let go of them: nothing else would ever tell."""
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    talk.said()
    refusal = error("unavailable", temporary=True, reply_to=command["id"])
    assert talk.hears(refusal) == [Reply(command["id"], refusal)]
    assert asked_for(talk.after(1)) == {THREAD, OTHER}


def test_a_switch_that_the_caller_has_given_up_lets_go_of_nothing() -> None:
    """What is followed is asked for again, now and when the answer comes: the server may have let go of it by then."""
    talk = following()
    command = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    talk.said()
    talk.session.withdraw(command["id"])
    assert THREAD in asked_for(talk.after(1))
    talk.hears(switched(command))
    assert THREAD in asked_for(talk.after(1))
    assert shown(talk.hears(event(11))) == [11]


def test_an_answer_that_comes_twice_has_what_was_followed_since_asked_for_again() -> None:
    """Its command was sent twice, and done twice: the second time after the subscribe."""
    talk = Talk()
    command = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    talk.said()
    talk.hears(switched(command), *replayed(command, 3))
    again = talk.asks("subscribe", thread_id=THREAD, since={"epoch": EPOCH, "seq": 10})
    talk.said()
    talk.hears(subscribed(10, recovered=True, reply_to=again["id"]), batch())
    talk.hears(switched(command))
    assert asked_for(talk.after(1)) == {THREAD}


def test_a_question_that_waits_behind_the_switch_does_not_bring_its_thread_back() -> None:
    talk = following()
    talk.session.withdraw(talk.asks("switch_thread", thread_id=OTHER)["id"])
    command = talk.asks("switch_thread", thread_id=OTHER)
    talk.connect()
    assert talk.said() == [command]
    talk.hears(subscribed(10, recovered=True), batch(), event(12))
    assert talk.after(0.6).said() == []  # asks for 11, behind the switch
    talk.hears(switched(command), *replayed(command, 3))
    assert talk.after(30).said() == []


def test_a_thread_that_the_caller_asks_for_behind_the_switch_stays_followed() -> None:
    talk = following()
    switch = talk.asks("switch_thread", thread_id=OTHER, since={"epoch": EPOCH, "seq": 3})
    subscribe = talk.asks("subscribe", thread_id=THREAD)
    assert talk.said() == [switch]
    talk.hears(switched(switch), *replayed(switch, 3))
    (said,) = talk.said()
    assert said["payload"] == {"thread_id": THREAD, "since": {"epoch": EPOCH, "seq": 10}}
    outputs = talk.hears(event(12), subscribed(11, recovered=True, reply_to=subscribe["id"]), batch(event(11)))
    assert shown(outputs) == [11, 12]


def test_a_message_to_another_thread_follows_that_one_too() -> None:
    talk = Talk()
    command = talk.asks("switch_thread", thread_id=OTHER)
    talk.hears(switched(command), *replayed(command, 0))
    talk.hears(accepted(talk.sends()), event(1))
    assert {each["thread_id"] for each in talk.connect()["payload"]["resume"]} == {OTHER, THREAD}


def test_a_switch_waits_for_its_turn_and_for_its_quota() -> None:
    talk = following()
    message = talk.sends()
    command = talk.asks("switch_thread", thread_id=OTHER)
    assert kinds(talk.said()) == ["user_message"]
    talk.hears(accepted(message))
    assert talk.said() == [command]
    assert talk.hears(error("rate_limited", temporary=True, reply_to=command["id"], retry_after_ms=500)) == []
    assert talk.after(0.4).said() == []
    assert talk.after(0.2).said() == [command]


def asked_for(talk: Talk) -> set[str]:
    """The threads that the client asks for by itself, one after the other; each is answered."""
    threads = set()
    while said := [each for each in talk.said() if each["type"] == "subscribe"]:
        (question,) = said
        thread_id, since = question["payload"]["thread_id"], question["payload"]["since"]
        threads.add(thread_id)
        told = subscribed(since["seq"], recovered=True, thread_id=thread_id, reply_to=question["id"])
        talk.hears(told, batch(thread_id=thread_id))
        talk.after(1)
    return threads
