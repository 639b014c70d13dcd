"""Stream events: what each always says, what it may say, and which words are the only ones."""

from __future__ import annotations

import msgspec
import pytest

from agentsocket.protocol import messages as protocol
from tests.support.payload_samples import least, most, written

ALWAYS: dict[str, set[str]] = {
    "user_message": {"message_id", "content"},
    "agent_started": {"agent_name", "agent_id", "attempt"},
    "agent_thinking": {"agent_name", "agent_id", "thought"},
    "tool_executing": {"agent_name", "agent_id", "tool_call_id", "tool_name", "arguments"},
    "tool_completed": {
        "agent_name",
        "agent_id",
        "tool_call_id",
        "tool_name",
        "outcome",
        "result_preview",
        "duration_ms",
    },
    "partial_result": {"agent_name", "agent_id", "message_id", "offset", "content", "is_complete"},
    "agent_error": {
        "agent_name",
        "agent_id",
        "error_type",
        "message",
        "user_message",
        "is_recoverable",
        "suggested_action",
    },
    "agent_completed": {"agent_name", "agent_id", "outcome", "duration_ms"},
    "final_report": {"message_id", "content", "agent_metrics", "total_duration_ms"},
}
SOMETIMES: dict[str, set[str]] = {
    "user_message": {"bytes", "sha256", "truncated"},
    "agent_started": {"parent_agent_id"},
    "agent_thinking": {"step", "total_steps"},
    "tool_executing": {"truncated"},
    "tool_completed": set(),
    "partial_result": set(),
    "agent_error": {"retry_after_ms"},
    "agent_completed": {"usage"},
    "final_report": {"recommendations", "action_plan", "bytes", "sha256", "truncated"},
}
ANY_EVENT = pytest.mark.parametrize("name", protocol.EVENTS)


@ANY_EVENT
def test_an_event_always_says_these_things(name):
    shape = protocol.EVENTS[name]
    assert written(least(shape)).keys() == ALWAYS[name]
    for field in ALWAYS[name]:
        lacking = {other: value for other, value in written(least(shape)).items() if other != field}
        with pytest.raises(msgspec.ValidationError, match=field):
            msgspec.json.decode(msgspec.json.encode(lacking), type=shape)


@ANY_EVENT
def test_an_event_says_these_things_only_where_there_is_something_to_say(name):
    said = written(most(protocol.EVENTS[name]))
    assert said.keys() - ALWAYS[name] == SOMETIMES[name]


@ANY_EVENT
def test_an_event_is_read_as_it_was_written(name):
    """It lies in the log as bytes, for a day."""
    shape = protocol.EVENTS[name]
    for event in (least(shape), most(shape)):
        assert msgspec.json.decode(msgspec.json.encode(event), type=shape) == event


@ANY_EVENT
def test_whoever_speaks_is_named(name):
    """All but the question and the report, which are the run's."""
    named = {"agent_name", "agent_id"} <= set(protocol.EVENTS[name].__struct_fields__)
    assert named == (name not in ("user_message", "final_report"))


@pytest.mark.parametrize("name", ["user_message", "final_report"])
def test_of_a_long_text_its_size_and_hash_are_there_for_who_fetches_it(name):
    """Absent otherwise: a short text is whole."""
    event = least(protocol.EVENTS[name])
    assert (event.bytes, event.sha256, event.truncated) == (msgspec.UNSET, msgspec.UNSET, False)


@pytest.mark.parametrize(
    ("name", "words"),
    [("tool_completed", {"success", "error"}), ("agent_completed", {"success", "stopped", "error", "timeout"})],
)
def test_an_outcome_is_one_of_few_words(name, words):
    shape = protocol.EVENTS[name]
    event = written(least(shape))
    for word in words:
        assert written(msgspec.convert({**event, "outcome": word}, shape))["outcome"] == word
    with pytest.raises(msgspec.ValidationError, match="outcome"):
        msgspec.convert({**event, "outcome": "perhaps"}, shape)


def test_a_report_without_advice_has_lists_of_its_own():
    first, second = least(protocol.FinalReport), least(protocol.FinalReport)
    assert (first.recommendations, first.action_plan) == ([], [])
    assert first.recommendations is not second.recommendations
