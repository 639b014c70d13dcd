"""Frames as plain lines."""

from __future__ import annotations

import pytest

from local.chat.lines import action_plan, clean, dollars, line, one_line, recommendations
from tests.client.fakes import error, event, frame, snapshot
from tests.client.scripted_runs import failing, success

COMMAND = {"message_id": "m1", "content": "a\nb"}


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1b[38;5;196mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x9b31mC1", "31mC1"),
        ("a\x08\x7fb\x00c\x85", "abc"),
        ("abc\rX", "abc\nX"),
        ("exe.\u202etxt", "exe.txt"),
        ("\ud800lone", "lone"),
        ("tabs\tand\nlines and é€😀 stay", "tabs\tand\nlines and é€😀 stay"),
    ],
)
def test_a_frame_cannot_drive_the_terminal(hostile: str, harmless: str) -> None:
    assert clean(hostile) == harmless


def test_one_line_is_one_line() -> None:
    assert one_line("a\r\nb\tc") == "a\\nb c"


@pytest.mark.parametrize(("value", "shown"), [(None, ""), (5, "5"), ({"a": "\x1b[1m"}, '{"a": "\\u001b[1m"}')])
def test_values_that_are_no_text_are_shown_all_the_same(value: object, shown: str) -> None:
    assert clean(value) == shown


def test_every_event_of_a_good_run_is_a_line() -> None:
    lines = [line(event(1, kind, payload)) for kind, payload in success(COMMAND)]
    first = "Use a smaller model It answers as well. $4.50"
    assert lines == [
        "user_message  a\\nb",
        "agent_started  analyst",
        "agent_thinking  Looking.",
        "tool_executing  summarize 3 lines",
        "tool_completed  summarize success 12 ms 3 rows",
        "agent_started  checker",
        "agent_completed  checker error 5 ms",
        "agent_error  The model is slow. Wait a moment.",
        "agent_recovery  retry_scheduled",
        "partial_result  You spent\\n",
        "partial_result  $12.00 ",
        "partial_result  on 3 calls.",
        "agent_completed  analyst success 2300 ms",
        f"final_report  You spent\\n$12.00 on 3 calls. | {first} | Ask less Half is repeated.",
    ]


def test_every_event_of_a_failed_run_is_a_line() -> None:
    lines = [line(event(1, kind, payload)) for kind, payload in failing(COMMAND)]
    assert lines[2:] == [
        "agent_error  Something broke. Send the message again.",
        "agent_completed  analyst error 700 ms",
    ]


def test_a_second_attempt_says_so() -> None:
    assert (
        line(event(1, "agent_started", {"agent_name": "analyst", "attempt": 2})) == "agent_started  analyst attempt 2"
    )


def test_a_long_question_is_cut() -> None:
    shown = line(event(1, "user_message", {"message_id": "m", "content": "x" * 5000}))
    assert len(shown) < 300
    assert shown.endswith("...")


def test_control_frames_are_lines_too() -> None:
    assert line(snapshot(7, {"message_id": "m"})) == "thread_snapshot  1 messages, up to event 7"
    assert line(error("busy")) == "error  busy it is busy"
    assert line(frame("disconnect", {"code": "shutdown", "reason": "later"})) == "disconnect  shutdown later"
    assert line(frame("token_expiring", {"expires_at": 5})) == 'token_expiring  {"expires_at": 5}'


@pytest.mark.parametrize("kind", [kind for kind, _ in success(COMMAND)] + ["thread_snapshot", "error", "disconnect"])
def test_an_empty_payload_is_still_a_line(kind: str) -> None:
    assert line({"type": kind, "payload": {}}).startswith(kind)


@pytest.mark.parametrize(("value", "shown"), [("4.5", "$4.50"), (1234.5, "$1,234.50"), ("much", "much"), (None, "")])
def test_money_may_be_a_number_or_a_decimal_string(value: object, shown: str) -> None:
    assert dollars(value) == shown


def test_reports_of_unknown_shape_are_shown_as_well_as_can_be() -> None:
    odd = {"recommendations": ["just text", {"title": "T"}, {"effort": "low", "savings_usd": 1}], "action_plan": [1]}
    assert recommendations(odd) == [("just text", "", ""), ("T", "", ""), ('{"effort": "low"}', "", "$1.00")]
    assert action_plan(odd) == ["1"]
    assert recommendations({"recommendations": "none"}) == []
    assert action_plan({"action_plan": {"first": 1}}) == []
