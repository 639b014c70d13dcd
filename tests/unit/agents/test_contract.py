"""The port for agents: values that no agent can change under the worker, and the whole of what it may yield."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest
from msgspec import Struct
from msgspec.structs import fields

from agentsocket.agents import contract

GIVEN = {contract.Turn, contract.HistoryMessage}
VALUES: set[type[Struct]] = {
    value for _, value in inspect.getmembers(contract, inspect.isclass) if issubclass(value, Struct)
} - {Struct}
NEEDED: dict[str, set[str]] = {
    "Failed": {"error_type", "message", "suggested_action", "user_message"},
    "HistoryMessage": {"content", "role"},
    "Remember": {"name", "patch"},
    "Report": set(),
    "Text": {"delta"},
    "Thinking": {"thought"},
    "ToolEnded": {"call_id", "duration_ms", "name", "outcome", "result"},
    "ToolStarted": {"arguments", "call_id", "name"},
    "Turn": {"run_id", "text"},
    "Used": {"output_tokens"},
}


def test_whatever_an_agent_is_not_given_it_may_yield():
    """A new event that is missing from the union is one that the worker's type check does not see."""
    assert set(get_args(contract.AgentEvent)) == VALUES - GIVEN


@pytest.mark.parametrize("value", sorted(VALUES, key=str), ids=lambda value: value.__name__)
def test_a_value_is_frozen(value):
    """The worker goes on with what it was given, whatever the agent does to it afterwards."""
    assert value.__struct_config__.frozen


@pytest.mark.parametrize("value", sorted(VALUES, key=str), ids=lambda value: value.__name__)
def test_an_agent_need_not_say_more_than_this(value):
    assert {field.name for field in fields(value) if field.required} == NEEDED[value.__name__]


def test_no_two_values_share_what_their_agents_may_change():
    first, second = contract.Turn("r1", "hi"), contract.Turn("r2", "ho")
    assert first.remembered is not second.remembered
    assert contract.Report().metrics is not contract.Report().metrics


def test_tokens_cost_nothing_unless_the_agent_says_what():
    assert contract.Used(output_tokens=5).microdollars == 0


def test_a_turn_without_a_past_is_empty():
    turn = contract.Turn("r1", "hi")
    assert (turn.history, turn.context, turn.remembered) == ((), {}, {})
    assert contract.Turn("r1", "hi").context is not contract.Turn("r2", "ho").context


def test_a_failure_is_final_unless_its_agent_says_otherwise():
    assert contract.Failed("internal", "m", "It broke.", "Again.").is_recoverable is False
