"""The judge of snapshots can fail: each of its rules against a snapshot that breaks it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.simulation.order import Line
from tests.simulation.snapshots import snapshot_violations


def _event(seq: int, kind: str, run_id: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "seq": seq, "run_id": run_id, "payload": payload}


_EVENTS = [
    _event(1, "user_message", "r", message_id="m"),
    _event(2, "partial_result", "r", message_id="r.1", content="fine"),
    _event(3, "agent_completed", "r"),
    _event(4, "final_report", "r", message_id="r.1"),
    _event(5, "user_message", "s", message_id="n"),
    _event(6, "partial_result", "s", message_id="s.1", content="never "),
    _event(7, "partial_result", "s", message_id="s.2", content="good "),
    _event(8, "partial_result", "s", message_id="s.2", content="day"),
    _event(9, "agent_completed", "s"),
]
_LINES = [Line("m", "user", "how are you?"), Line("r.1", "assistant", "fine"), Line("n", "user", "hello")]
_SNAPSHOT = {
    "seq": 7,
    "messages": [
        {"message_id": "m", "seq": 1, "role": "user", "content": "how are", "truncated": True},
        {"message_id": "r.1", "seq": 4, "role": "assistant", "content": "fine"},
        {"message_id": "n", "seq": 5, "role": "user", "content": "hello"},
    ],
    "active_run": {"run_id": "s", "message_id": "s.2", "content": "good "},
}


def _wrong(change: Any = None) -> list[str]:
    snapshot = copy.deepcopy(_SNAPSHOT)
    if change is not None:
        change(snapshot)
    return list(snapshot_violations(snapshot, _EVENTS, _LINES))


def test_a_snapshot_that_says_what_the_log_has_is_good():
    assert _wrong() == []
    assert _wrong(lambda said: said.pop("active_run")) == []
    assert _wrong(lambda said: said["active_run"].update(content="go", truncated=True)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said["messages"].clear(), "0 of 3 messages"),
        (lambda said: said["messages"].pop(0), "2 of 3 messages"),
        (lambda said: said["messages"].pop(), "the newest are"),
        (lambda said: said["messages"].reverse(), "the newest are"),
        (lambda said: said["messages"][1].update(seq=3), "the newest are"),
        (lambda said: said.update(seq=4), "the newest are"),
        (lambda said: said["messages"][0].update(content="who"), "message m is not in the transcript"),
        (lambda said: said["messages"][0].update(truncated=False), "message m is not in the transcript"),
        (lambda said: said["messages"][1].update(role="user"), "message r.1 is not in the transcript"),
        (lambda said: said["active_run"].update(content="never good "), "has said 'good '"),
        (lambda said: said["active_run"].update(content="good day"), "has said 'good '"),
        (lambda said: said["active_run"].update(content="bad", truncated=True), "has said 'good '"),
        (lambda said: said.update(seq=9), "is not under way"),
    ],
)
def test_a_snapshot_that_says_something_else_is_seen(change: Any, said: str):
    assert any(said in what for what in _wrong(change)), _wrong(change)


def test_a_large_snapshot_may_leave_the_oldest_messages_out():
    text = "long " * 2000
    lines = [Line("m", "user", "hello"), Line("r.1", "assistant", "fine"), Line("n", "user", text)]
    snapshot = {"seq": 5, "messages": [{"message_id": "n", "seq": 5, "role": "user", "content": text}]}
    assert list(snapshot_violations(snapshot, _EVENTS, lines)) == []
