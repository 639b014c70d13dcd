"""Usage exports are parsed and summed exactly; what is no usage line is counted, never guessed at."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.agents.usage_export import looks_like_export, summarize

EXPORT = """time,model,input_tokens,output_tokens,cost
2026-01-05T09:00:00Z,large,1000,200,0.60
2026-01-05T09:01:00Z,large,1000,3000,2.00
2026-01-05T09:02:00Z,small,1000,200,0.06
"""


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


def test_the_largest_three_savings_are_named():
    lines = [f"t,model-{cost},1000,0,{cost}" for cost in (1, 4, 2, 3)]
    savings = summarize("\n".join([*lines, "t,cheapest,1000,0,0.5"])).savings()
    assert [saving.usd for saving in savings] == [Decimal("3.5"), Decimal("2.5"), Decimal("1.5")]


def test_a_saving_below_a_cent_is_not_named():
    lines = ["t,cheapest,1000,0,0.5", "t,a-cent-more,1000,0,0.51", "t,nearly-a-cent-more,1000,0,0.509"]
    assert [saving.title for saving in summarize("\n".join(lines)).savings()] == [
        "Short answers of a-cent-more to cheapest"
    ]


def test_a_header_is_no_skipped_line_wherever_it_stands():
    header = EXPORT.splitlines()[0].upper()
    assert (summarize(EXPORT).skipped, summarize(f"{EXPORT}\n\n{header}\n").skipped) == (0, 0)
