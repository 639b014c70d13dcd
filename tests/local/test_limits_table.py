"""The tables of docs/limits.md are what both `limits.py` say."""

from __future__ import annotations

from dataclasses import fields

import pytest

from agentsocket.limits import Limits
from authservice.limits import Limits as AuthLimits
from local.limits_table import END, PAGE, PLACES, humane, rewritten, table


def test_the_page_has_every_limit_as_it_is():
    page = PAGE.read_text("utf-8")
    assert page == rewritten(page), "run `make limits`"


@pytest.mark.parametrize(
    ("limits", "names"),
    [(Limits, Limits.__struct_fields__), (AuthLimits, [field.name for field in fields(AuthLimits)])],
    ids=["agentsocket", "authservice"],
)
def test_every_limit_has_one_line(limits, names):
    named = [line.split("`")[1] for line in table(limits).splitlines() if line.startswith("| `")]
    assert named == list(names)


def test_a_reason_and_a_group_come_from_the_comments():
    lines = table(Limits).splitlines()
    assert any(line.startswith("| **Tokens** |") for line in lines)
    assert "| `check_every_s` | 15 min; at most 15 min | SQS delays a message by at most that |" in lines
    assert "| `ticket_s` | 1 min; at most 1 min |  |" in table(AuthLimits).splitlines()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_bytes", 24 * 1024, "24 KB"),
        ("max_bytes", 1024 * 1024, "1 MB"),
        ("max_bytes", 255, "255 bytes"),
        ("wait_ms", 500, "500 ms"),
        ("wait_ms", 2000, "2 s"),
        ("lease_s", 90, "90 s"),
        ("age_s", 115 * 60, "115 min"),
        ("row_s", 30 * 24 * 3600, "30 d"),
        ("row_s", 3600, "1 h"),
        ("commands_per_s", 20, "20 a second"),
        ("runs_per_day", 200, "200 a day"),
        ("month_budget_cents", 2000, "$20.00"),
        ("log_max_events", 10_000, "10,000"),
    ],
)
def test_values_are_said_as_people_say_them(name, value, said):
    assert humane(name, value) == said


def test_a_page_without_a_place_for_the_table_is_refused():
    with pytest.raises(ValueError, match="has no"):
        rewritten("# Limits")
    ours, theirs = PLACES
    with pytest.raises(ValueError, match="authservice"):
        rewritten(f"{ours}\n{END}")
    old = f"a\n{ours}\nold\n{END}\nb\n{theirs}\n{END}\nc"
    new = f"a\n{ours}\n{table(Limits)}\n{END}\nb\n{theirs}\n{table(AuthLimits)}\n{END}\nc"
    assert rewritten(old) == new
