"""The judge can fail: each rule of `history.py` against a history that breaks it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.simulation.history import Accepted, Device, History, Log, Seen, violations
from tests.simulation.order import Line


def _event(seq: int, kind: str, **payload: Any) -> dict[str, Any]:
    payload = {"agent_id": "r.1"} | payload if kind != "user_message" else payload
    return {"type": kind, "seq": seq, "run_id": "r", "thread_id": "t", "timestamp": 1000 + seq, "payload": payload}


_EVENTS = [
    _event(1, "user_message", message_id="m", content="hello"),
    _event(2, "agent_started", attempt=1),
    _event(3, "tool_executing", tool_call_id="c"),
    _event(4, "tool_completed", tool_call_id="c"),
    _event(5, "partial_result", message_id="r.1", offset=0, content="good "),
    _event(6, "partial_result", message_id="r.1", offset=5, content="day"),
    _event(7, "agent_completed", outcome="success"),
    _event(8, "final_report", message_id="r.1", content="good day"),
]


_MESSAGE = {"message_id": "m", "seq": 1, "role": "user", "content": "hello", "truncated": False}


def _history() -> History:
    """One run, seen by two devices, one of which came late."""
    events = copy.deepcopy(_EVENTS)
    snapshot = {"type": "thread_snapshot", "thread_id": "t", "payload": {"seq": 4, "messages": [_MESSAGE]}}
    phone = Device("phone", "ada", [Seen(0, "frame", "t", event, "e") for event in copy.deepcopy(_EVENTS)], {"t"})
    late = [Seen(0, "frame", "t", frame, "e") for frame in [snapshot, *copy.deepcopy(_EVENTS[4:])]]
    lines = [Line("m", "user", "hello"), Line("r.1", "assistant", "good day")]
    return History(
        devices=[phone, Device("desk", "ada", late, {"t"})],
        accepted=[Accepted("ada", "m", "t", "e", "r")],
        logs={"t": Log("ada", events, lines)},
        endings={"m": "success"},
    )


def _everywhere(history: History, change: Any) -> None:
    """Change the log, and what the devices saw alike."""
    change(history.logs["t"].events)
    for device in history.devices:
        snapshots = [seen for seen in device.seen if seen.frame["type"] == "thread_snapshot"]
        first = 5 if snapshots else 1
        kept = [event for event in history.logs["t"].events if event["seq"] >= first]
        device.seen = [*snapshots, *(Seen(0, "frame", "t", event, "e") for event in copy.deepcopy(kept))]


def test_a_good_history_breaks_no_promise():
    assert violations(_history()) == []


def test_a_hole_a_repetition_and_a_wrong_order_are_seen():
    for change in (
        lambda seen: seen.pop(3),
        lambda seen: seen.insert(3, seen[3]),
        lambda seen: seen.reverse(),
    ):
        history = _history()
        change(history.devices[0].seen)
        assert any("follows" in what for what in violations(history))


def test_an_event_that_is_not_the_log_s_is_seen():
    history = _history()
    history.devices[1].seen[1].frame["payload"]["content"] = "bad "
    assert violations(history) == ["desk: event 5 of thread t is not what the log has"]


def test_a_device_that_has_not_read_to_the_end_is_seen_unless_it_is_away():
    history = _history()
    del history.devices[0].seen[-1]
    assert violations(history) == ["phone: has read thread t up to 7 of 8"]
    history.devices[0].present = False
    assert violations(history) == []


def test_a_sender_that_has_not_seen_its_run_s_end_is_seen():
    history = _history()
    phone = history.devices[0]
    phone.follows, phone.asked = set(), {"r": "t"}
    assert violations(history) == []
    del phone.seen[-1]
    assert violations(history) == ["phone: has not seen the end of its run r"]


def test_somebody_else_s_event_is_seen():
    history = _history()
    history.devices[1].user = "bob"
    assert any("which is ada's" in what for what in violations(history))


def test_another_epoch_is_seen():
    history = _history()
    history.devices[0].seen[5] = Seen(0, "frame", "t", _EVENTS[5], "e2")
    assert any("epoch" in what for what in violations(history))


def test_a_snapshot_that_goes_back_is_seen():
    history = _history()
    history.devices[0].seen.append(history.devices[1].seen[0])
    assert any("goes back" in what for what in violations(history))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda events: events.pop(6), "0 endings"),
        (lambda events: events.insert(7, {**events[6], "seq": 8}), "2 endings"),
        (lambda events: events.pop(7), "it ends with"),
        (lambda events: events[1]["payload"].update(attempt=2), "its attempts are [2]"),
        (lambda events: events[0].update(type="agent_thinking"), "it begins with"),
        (lambda events: events[3].update(timestamp=1), "timestamps decrease"),
        (lambda events: events[3]["payload"].update(tool_call_id="d"), "before it begins"),
        (lambda events: events[4]["payload"].update(agent_id="r.2"), "while attempt 1"),
        (lambda events: events[5]["payload"].update(offset=4), "has offset 4"),
        (lambda events: events[5]["payload"].update(content="night"), "not the report's text"),
        (lambda events: events[6]["payload"].update(outcome="stopped"), "it ends with"),
    ],
)
def test_a_run_out_of_order_is_seen(change, said):
    history = _history()
    _everywhere(history, change)
    assert any(said in what for what in violations(history)), violations(history)


def test_the_transcript_must_have_question_and_answer_once():
    history = _history()
    history.logs["t"].transcript.append(Line("r.1", "assistant", "good day"))
    assert any("2 answers" in what for what in violations(history))
    history = _history()
    del history.logs["t"].transcript[0]
    assert "the transcript has message m 0 times" in violations(history)


def test_a_message_must_not_be_two_runs_and_must_end_as_the_story_says():
    history = _history()
    history.accepted.append(Accepted("ada", "m", "t", "e", "r2"))
    assert any("two runs" in what for what in violations(history))
    history = _history()
    history.endings = {"m": "stopped"}
    assert any("not as stopped" in what for what in violations(history))


def test_what_is_left_of_a_deleted_thread_is_seen():
    history = _history()
    history.doomed = history.deleted = {"t"}
    assert violations(history) == ["thread t was deleted, and its transcript is left"]


def test_words_later_than_a_second_after_a_stop_are_seen():
    history = _history()
    history.stopped_at = {"r": 1000}
    history.stop_delay_ms = 1000
    assert violations(history) == []
    _everywhere(history, lambda events: [event.update(timestamp=2500 + event["seq"]) for event in events[4:]])
    assert any("was stopped at" in what for what in violations(history))


def test_a_snapshot_that_says_something_else_than_the_log_is_seen():
    history = _history()
    history.devices[1].seen[0].frame["payload"]["messages"] = []
    assert violations(history) == ["desk: a snapshot of thread t: it shows 0 of 1 messages"]


def test_a_run_that_could_not_be_stopped_had_ended():
    history = _history()
    history.unstoppable = {"m": 1007}
    assert violations(history) == []
    for unstoppable in ({"m": 1006}, {"another": 9999}):
        history.unstoppable = unstoppable
        assert any("could not be stopped" in what for what in violations(history))
