"""Resuming threads, and asking for what is missing, as the whole conversation shows it."""

from __future__ import annotations

import pytest

from agentsocket_client.session_outputs import Reply
from tests.client.connected import Talk, kinds, point, shown
from tests.client.fakes import EPOCH, RUN, THREAD, accepted, batch, error, event, frame, snapshot, subscribed


def test_a_reconnect_resumes_from_what_has_arrived() -> None:
    """D2."""
    talk = Talk()
    talk.hears(accepted(talk.sends()), event(1), event(2))
    assert talk.connect()["payload"]["resume"] == [point(seq=2)]


def test_hello_resumes_ten_threads_and_the_others_follow_one_at_a_time() -> None:
    talk = Talk(*[point(f"t{number}") for number in range(12)], live=False)
    first = [each["thread_id"] for each in talk.hello["payload"]["resume"]]
    assert first == [f"t{number}" for number in range(10)]
    talk.hears(frame("welcome", {}, reply_to=talk.hello["id"]))
    assert talk.said() == []
    for thread_id in first:
        talk.hears(subscribed(10, recovered=True, thread_id=thread_id), batch(thread_id=thread_id))
    (eleventh,) = talk.said()
    assert eleventh["payload"] == {"thread_id": "t10", "since": {"epoch": EPOCH, "seq": 10}}
    talk.hears(subscribed(10, recovered=True, thread_id="t10", reply_to=eleventh["id"]))
    assert talk.said() == []
    talk.hears(batch(thread_id="t10"))
    assert [each["payload"]["thread_id"] for each in talk.said()] == ["t11"]


def test_a_thread_that_hello_did_resume_is_not_asked_for_again() -> None:
    talk = Talk(point("gone"), point("there"))
    talk.hears(error("not_found", reply_to=talk.hello["id"]))
    talk.hears(subscribed(10, recovered=True, thread_id="there"), batch(thread_id="there"))
    (question,) = talk.after(1).said()
    assert question["payload"]["thread_id"] == "gone"
    talk.hears(error("not_found", reply_to=question["id"]))
    assert talk.after(60).said() == []


def test_a_question_of_the_last_connection_is_not_repeated_for_hello_asks_it() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch(), event(12))
    assert kinds(talk.after(240).said()) == ["subscribe", "ping"]
    assert talk.connect()["payload"]["resume"] == [point()]
    assert talk.said() == []


def test_threads_with_an_active_run_are_resumed_first() -> None:
    talk = Talk(*[point(f"t{number}") for number in range(10)])
    talk.hears(accepted(talk.sends(), thread_id="busy"))
    assert talk.connect()["payload"]["resume"][0]["thread_id"] == "busy"


def test_a_thread_that_hello_could_not_resume_is_asked_for_by_itself_and_given_up_if_it_is_gone() -> None:
    talk = Talk(point())
    talk.hears(error("not_found", reply_to=talk.hello["id"]))
    (question,) = talk.after(1).said()
    assert question["type"] == "subscribe"
    outputs = talk.hears(error("not_found", reply_to=question["id"]))
    assert shown(outputs) == ["error"]
    assert talk.after(1000).said()[0]["type"] == "ping"
    with pytest.raises(KeyError):
        talk.session.position(THREAD)


def test_unknown_types_are_ignored() -> None:
    assert Talk().hears(frame("weather_report", {"rain": True}), {"no": "type"}) == []


def test_an_unknown_stream_event_is_not_shown_but_leaves_no_gap() -> None:
    talk = Talk(point(seq=0))
    talk.hears(subscribed(0, recovered=True), batch())
    outputs = talk.hears(event(1), event(2, "agent_dreaming"), event(3))
    assert shown(outputs) == [1, 3]
    assert talk.connect()["payload"]["resume"] == [point(seq=3)]


def test_a_gap_leads_to_one_subscribe_with_since() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch(), event(12), event(13))
    assert talk.after(0.4).said() == []
    (question,) = talk.after(0.1).said()
    assert question["type"] == "subscribe"
    assert question["payload"] == {"thread_id": THREAD, "since": {"epoch": EPOCH, "seq": 10}}
    assert talk.after(5).said() == []
    outputs = talk.hears(subscribed(13, recovered=True, reply_to=question["id"]), batch(event(11), event(12)))
    assert shown(outputs) == [11, 12, 13]
    assert talk.after(30).said() == []


def test_a_question_without_an_answer_is_sent_again_but_no_second_one_is_asked() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch(), event(12))
    first = talk.after(0.5).said()
    assert kinds(first) == ["subscribe"]
    assert talk.after(10).said() == first
    assert talk.after(10).said() == first
    talk.hears(subscribed(12, recovered=True, reply_to=first[0]["id"]), batch(event(11)))
    assert talk.after(1).said() == []


def test_45_s_of_silence_lead_to_a_subscribe_and_a_heartbeat_is_no_silence() -> None:
    talk = Talk()
    talk.hears(accepted(talk.sends()), event(1))
    talk.after(40).hears(frame("heartbeat", {"run_id": RUN}))
    assert talk.after(44).said() == []
    assert kinds(talk.after(1).said()) == ["subscribe"]


def test_a_recovery_that_fails_for_now_is_repeated() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch(), event(12))
    (question,) = talk.after(0.5).said()
    assert talk.hears(error("unavailable", temporary=True, reply_to=question["id"], retry_after_ms=3000)) == []
    assert talk.after(2.9).said() == []
    (again,) = talk.after(0.1).said()
    assert again["payload"] == question["payload"]


def test_a_subscribe_of_the_caller_that_finds_no_thread_is_not_repeated() -> None:
    talk = Talk()
    command = talk.asks("subscribe", thread_id=THREAD)
    talk.said()
    refusal = error("not_found", reply_to=command["id"])
    assert talk.hears(refusal) == [Reply(command["id"], refusal)]
    assert talk.after(60).said() == []


def test_a_snapshot_is_shown_before_what_follows_it() -> None:
    """D8."""
    talk = Talk(point())
    talk.hears(subscribed(40, recovered=False))
    assert shown(talk.hears(event(41), snapshot(40))) == ["thread_snapshot", 41]


def test_a_late_push_does_not_bring_back_a_thread_that_was_left() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch())
    command = talk.asks("unsubscribe", thread_id=THREAD)
    talk.hears(frame("unsubscribed", {"thread_id": THREAD}, reply_to=command["id"]))
    assert talk.hears(event(11), event(14)) == []
    assert talk.after(60).said() == []
    assert talk.connect()["payload"]["resume"] == []


def test_a_caller_subscribes_from_where_the_client_stands() -> None:
    talk = Talk(point())
    talk.asks("subscribe", thread_id=THREAD)
    assert talk.said()[0]["payload"]["since"] == {"epoch": EPOCH, "seq": 10}


def test_a_caller_may_subscribe_from_elsewhere() -> None:
    talk = Talk(point())
    command = talk.asks("subscribe", thread_id=THREAD, since={"epoch": EPOCH, "seq": 3})
    assert talk.said()[0]["payload"]["since"] == {"epoch": EPOCH, "seq": 3}
    outputs = talk.hears(subscribed(5, recovered=True, reply_to=command["id"]), batch(event(4), event(5)))
    assert shown(outputs) == [4, 5]


def test_a_thread_that_another_device_deleted_is_followed_no_more() -> None:
    """H5: its run is not waited for, a late push does not bring it back, and the person hears of it."""
    talk = Talk()
    talk.hears(accepted(talk.sends()), event(1), event(2))
    assert shown(talk.hears(frame("thread_deleted", {"thread_id": THREAD}))) == ["thread_deleted"]
    assert shown(talk.hears(event(3))) == []
    assert kinds(talk.after(60).said()) == []
    assert talk.connect()["payload"]["resume"] == []


def test_who_deletes_a_thread_hears_it_as_the_reply() -> None:
    talk = Talk(point())
    command = talk.asks("delete_thread", thread_id=THREAD)
    talk.said()
    reply = frame("thread_deleted", {"thread_id": THREAD}, reply_to=command["id"])
    assert talk.hears(reply) == [Reply(command["id"], reply)]
    assert talk.connect()["payload"]["resume"] == []
