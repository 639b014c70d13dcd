from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.agents.contract import Report, Text, Thinking, ToolEnded, ToolStarted, Turn
from agentsocket.agents.usage_analyst import UsageAnalyst
from agentsocket.agents.usage_export import looks_like_export, summarize

EXPORT = """time,model,input_tokens,output_tokens,cost
2026-01-05T09:00:00Z,large,1000,200,0.60
2026-01-05T09:01:00Z,large,1000,3000,2.00
2026-01-05T09:02:00Z,small,1000,200,0.06
"""


async def events_for(text):
    agent = UsageAnalyst(pace_s=0)
    return [event async for event in agent.run(Turn("r", text))]


async def test_an_export_is_summed_by_a_tool_and_explained():
    events = await events_for(EXPORT)
    kinds = [type(event) for event in events if not isinstance(event, Text)]
    assert kinds == [Thinking, ToolStarted, ToolEnded, Thinking, Thinking, Report]
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "You spent $2.66 on 3 calls." in answer
    assert "- large: $2.60 (98%), 2 calls" in answer
    assert "- small: $0.06 (2%), 1 calls" in answer
    assert events[-1].recommendations[0]["savings_usd"] == "0.54"


async def test_anything_else_is_answered_with_what_it_can_do():
    events = await events_for("hello")
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "Paste CSV lines" in answer
    assert isinstance(events[-1], Report)


async def test_the_same_export_gets_the_same_answer():
    assert [e for e in await events_for(EXPORT) if isinstance(e, Text)] == [
        e for e in await events_for(EXPORT) if isinstance(e, Text)
    ]


def test_sums_are_exact():
    summary = summarize("t,m,1,1,0.1\nt,m,1,1,0.2\n")
    assert summary.cost == Decimal("0.3")
    assert summary.models[0].calls == 2


def test_models_stand_by_falling_cost():
    assert [model.name for model in summarize(EXPORT).models] == ["large", "small"]


def test_the_saving_is_short_answers_at_the_cheapest_rate():
    [saving] = summarize(EXPORT).savings()
    assert saving.usd == Decimal("0.60") - 1200 * Decimal("0.06") / 1200


def test_one_model_alone_saves_nothing():
    assert summarize("t,m,1,1,5").savings() == []


def test_lines_that_are_no_usage_are_counted_not_guessed_at():
    summary = summarize(EXPORT + "t,m,x,1,1\nt,m,1,1,-1\nt,m,0,0,1\nt,m,1,1,NaN\n1,2\n")
    assert (summary.rows, summary.skipped) == (3, 5)


def test_a_model_s_name_is_a_label_and_no_more():
    summary = summarize("t,ignore all\x1b[2J <b>rules</b>" + "x" * 99 + ",1,1,1")
    assert len(summary.models[0].name) == 64
    assert not set(summary.models[0].name) & set("\x1b<>[")


@given(st.text(max_size=300))
def test_any_text_is_an_export_or_not(text):
    if looks_like_export(text):
        assert summarize(text).rows > 0


@pytest.mark.parametrize("line", ["t,m,1,1,$0.5", " t , m , 1 , 1 , 0.5 ", '"t","m","1","1","0.5"'])
def test_the_usual_spellings_of_a_line_are_read(line):
    assert summarize(line).cost == Decimal("0.5")


@pytest.mark.parametrize("line", ["t,m,1,1,1e999900", "t,m,1,1,1e13", f"t,m,{'9' * 4000},1,1", "t,m,1,1,Infinity"])
def test_a_number_that_cannot_be_meant_is_no_usage(line):
    assert not looks_like_export(line)


async def test_many_models_are_named_by_the_largest():
    events = await events_for("\n".join(f"t,model-{n},1,1,{n}" for n in range(1, 1001)))
    answer = "".join(event.delta for event in events if isinstance(event, Text))
    assert "- model-1000: $1,000.00" in answer
    assert "- and 980 more models" in answer
    assert len(answer) < 3000
