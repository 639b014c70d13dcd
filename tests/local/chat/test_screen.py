"""What a person sees."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from local.chat.screen import Screen
from tests.client.fakes import RUN, event, frame, misspoken, snapshot
from tests.client.scripted_runs import DELTAS, REPORT, ROOT, TOOL, failing, success

COMMAND = {"message_id": "m1", "content": "what do we spend?"}


class Seen:
    """A screen of 60 columns, as text without colours."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.screen = Screen(lambda: 60)
        self.console = Console(file=self.file, width=60, highlight=False, color_system=None)

    def show(self, *frames: dict[str, Any]) -> str:
        """The text that these frames add."""
        before = len(self.file.getvalue())
        for each in frames:
            for part in self.screen.show(each):
                self.console.print(part)
        return self.file.getvalue()[before:]


def run(script: Any) -> list[dict[str, Any]]:
    return [event(number, kind, payload) for number, (kind, payload) in enumerate(script(COMMAND), start=1)]


def delta(content: str, message_id: str = "answer.1", *, complete: bool = False) -> dict[str, Any]:
    told = {"message_id": message_id, "offset": 0, "content": content, "is_complete": complete}
    return event(1, "partial_result", ROOT | told)


def test_a_good_run_tells_its_story() -> None:
    text = Seen().show(*run(success))
    order = [
        "> what do we spend?",
        "● analyst",
        "Looking. (1/2)",
        "→ summarize  3 lines",
        "✓ summarize  12 ms  3 rows",
        "  ● checker",
        "✗ checker: error after 5 ms",
        "! The model is slow. Wait a moment.",
        "! retry scheduled, in 1.5 s",
        "You spent",
        "$12.00 on 3 calls.",
        "Use a smaller model",
        "$4.50",
        "1. Try it on a sample.",
        "✓ done in 2.3 s · rows 3 · cost $12.00",
    ]
    places = [text.index(each) for each in order]
    assert places == sorted(places)


def test_a_failed_run_says_what_to_do() -> None:
    text = Seen().show(*run(failing))
    assert "✗ Something broke. Send the message again." in text
    assert "✗ analyst: error after 700 ms" in text


def test_the_answer_is_shown_once() -> None:
    assert Seen().show(*run(success)).count("You spent") == 1


def test_an_answer_that_was_not_streamed_comes_with_the_report() -> None:
    seen = Seen()
    text = seen.show(
        event(1, "final_report", REPORT | {"message_id": "x", "content": "**Whole** text", "truncated": True})
    )
    assert "Whole text" in text
    assert "(the text is longer)" in text


def test_whole_lines_are_printed_and_the_unfinished_one_is_pending() -> None:
    seen = Seen()
    assert seen.show(delta("One line.\nHalf a ")).strip() == "One line."
    assert seen.screen.pending == "Half a "
    assert seen.show(delta("line.", complete=True)) == "Half a line.\n"
    assert seen.screen.pending == ""


def test_a_long_line_is_wrapped_at_words_as_it_grows() -> None:
    seen = Seen()
    words = [f"word{number} " for number in range(40)]
    text = seen.show(*(delta(word) for word in words))
    lines = [*text.strip().split("\n"), seen.screen.pending]
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(line.strip() for line in lines).split() == [word.strip() for word in words]


def test_a_word_longer_than_the_line_is_broken() -> None:
    seen = Seen()
    text = seen.show(delta("x" * 150))
    assert text.replace("\n", "") + seen.screen.pending == "x" * 150


def test_another_event_does_not_swallow_the_unfinished_line() -> None:
    seen = Seen()
    seen.show(delta("Half"))
    text = seen.show(event(2, "agent_thinking", ROOT | {"thought": "Hm."}))
    assert text == "Half\n  Hm.\n"


def test_an_event_without_a_picture_leaves_the_unfinished_line_alone() -> None:
    seen = Seen()
    seen.show(delta("Half"))
    assert seen.show(frame("weather_report"), event(3, "agent_completed", ROOT | {"outcome": "success"})) == ""
    assert seen.screen.pending == "Half"


def test_a_second_attempt_takes_back_the_text_of_the_first() -> None:
    text = Seen().show(event(1, "agent_started", ROOT | {"attempt": 2}))
    assert "Attempt 2: what was answered above is taken back." in text


def test_the_echo_of_ones_own_message_is_not_shown() -> None:
    seen = Seen()
    assert [str(part) for part in seen.screen.own("m1", "mine")] == ["> mine"]
    assert seen.show(event(1, "user_message", {"message_id": "m1", "content": "mine"})) == ""
    assert "elsewhere > yours" in seen.show(event(2, "user_message", {"message_id": "m2", "content": "yours"}))


def test_a_long_message_is_shown_by_its_first_lines() -> None:
    (shown,) = Seen().screen.own("m1", "\n".join(f"row {number}" for number in range(1500)))
    assert str(shown).count("\n") == 6
    assert str(shown).endswith("... and 1,494 more lines")


def test_a_snapshot_shows_the_messages_and_the_run_under_way_goes_on() -> None:
    seen = Seen()
    told = [
        {"message_id": "m1", "role": "user", "content": "why?"},
        {"message_id": "r.1", "role": "assistant", "content": "so"},
    ]
    text = seen.show(snapshot(9, *told, active_run={"run_id": RUN, "message_id": "answer.1", "content": "You "}))
    assert "> why?" in text
    assert "  so" in text
    assert seen.screen.pending == "You "
    assert seen.show(delta("know.", complete=True)) == "You know.\n"


def test_long_previews_are_cut_to_the_line() -> None:
    text = Seen().show(event(1, "tool_executing", TOOL | {"arguments": "y" * 2000}))
    assert len(text.rstrip("\n")) == 60
    assert text.rstrip("\n").endswith("…")


def test_markup_of_a_frame_is_text() -> None:
    assert "[bold red]no[/]" in Seen().show(event(1, "agent_thinking", ROOT | {"thought": "[bold red]no[/]"}))


@pytest.mark.parametrize(
    "field", ["thought", "agent_name", "arguments", "tool_name", "content", "user_message", "reason", "message"]
)
def test_no_frame_drives_the_terminal(field: str) -> None:
    hostile = {field: "\x1b[2J\x07\x9bhostile"}
    kinds = [kind for kind, _ in success(COMMAND)] + ["error", "disconnect"]
    text = Seen().show(*(misspoken(kind, hostile, seq=1, run_id=RUN) for kind in kinds))
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


@pytest.mark.parametrize("kind", [kind for kind, _ in success(COMMAND)] + ["thread_snapshot", "token_expiring"])
def test_frames_of_unknown_shape_break_nothing(kind: str) -> None:
    seen = Seen()
    seen.show(misspoken(kind, {}))
    odd = {
        name: [1, {"a": None}] for name in ("recommendations", "action_plan", "messages", "agent_metrics", "content")
    }
    seen.show(misspoken(kind, odd | {"active_run": 5, "total_duration_ms": "long", "step": "x"}))


def test_the_text_of_the_deltas_is_the_text_on_the_screen() -> None:
    """B5."""
    seen = Seen()
    text = seen.show(*(delta(each) for each in DELTAS)) + seen.screen.pending
    assert text.strip() == "".join(DELTAS)


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"code": "shutdown", "reason": "back soon"}, "! The server disconnects: back soon"),
        ({"code": "connection_age", "reason": ""}, "! The server disconnects: connection_age"),
        ({"code": "token_expired", "reason": "the token has expired"}, ""),
    ],
)
def test_a_disconnect_says_why_unless_a_new_token_mends_it(told: dict[str, str], shown: str) -> None:
    assert Seen().show(frame("disconnect", told)).strip() == shown


def test_a_token_that_is_refreshed_anyway_is_no_news() -> None:
    assert Seen().show(frame("token_expiring", {"expires_at": 5})) == ""
