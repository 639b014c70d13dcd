"""The usage analyst: reads an LLM usage export and says where the money went. Deterministic, offline.

The user pastes CSV lines of time, model, input_tokens, output_tokens, cost (US dollars). What can be saved is computed
from the export alone: what its own calls would cost at the rates of the cheapest model that stands in it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal

from agentsocket.agents.contract import AgentEvent, Report, Text, Thinking, ToolEnded, ToolStarted, Turn
from agentsocket.agents.usage_export import Saving, Summary, looks_like_export, summarize

_STEPS = 3
_MODELS_NAMED = 20
_WORDS = re.compile(r"\S+\s*")
_HELP = """I read LLM usage exports and tell you where the money goes.

Paste CSV lines with these columns, with or without a header:

    time,model,input_tokens,output_tokens,cost
    2026-01-05T09:00:00Z,large-model,1200,300,0.021

You get the spend by model, and the savings that your own numbers support."""


class UsageAnalyst:
    """Answers one export with a summary; anything else with what it can do. `pace_s` is the time between words."""

    def __init__(self, *, pace_s: float = 0.01, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._pace_s = pace_s
        self._sleep = sleep

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Yields thoughts, one tool call for an export, the answer word by word, and a report."""
        yield Thinking("Looking for usage lines in the message.", 1, _STEPS)
        if not looks_like_export(turn.text):
            async for event in self._say(_HELP):
                yield event
            yield Report(action_plan=["Paste a usage export as CSV lines."], metrics={"rows": 0})
            return
        yield ToolStarted("1", "summarize_usage", _arguments(turn.text))
        started = time.perf_counter()
        summary = summarize(turn.text)
        elapsed_ms = int((time.perf_counter() - started) * 1000)
        yield ToolEnded("1", "summarize_usage", "success", _result(summary), elapsed_ms)
        yield Thinking(f"Comparing the rates of {len(summary.models)} models.", 2, _STEPS)
        savings = summary.savings()
        yield Thinking("Writing the answer.", _STEPS, _STEPS)
        async for event in self._say(_answer(summary, savings)):
            yield event
        yield _report(summary, savings)

    async def _say(self, text: str) -> AsyncIterator[AgentEvent]:
        for word in _WORDS.findall(text):
            yield Text(word)
            await self._sleep(self._pace_s)


def _arguments(text: str) -> str:
    return f"{len(text.splitlines())} lines"


def _result(summary: Summary) -> str:
    return (
        f"{summary.rows} rows, {len(summary.models)} models, {_dollars(summary.cost)}, {summary.skipped} lines skipped"
    )


def _answer(summary: Summary, savings: list[Saving]) -> str:
    lines = [f"You spent {_dollars(summary.cost)} on {summary.rows:,} calls.", "", "Spend by model:"]
    for model in summary.models[:_MODELS_NAMED]:
        share = model.cost / summary.cost if summary.cost else 0
        lines.append(f"- {model.name}: {_dollars(model.cost)} ({share:.0%}), {model.calls:,} calls")
    if len(summary.models) > _MODELS_NAMED:
        lines.append(f"- and {len(summary.models) - _MODELS_NAMED:,} more models")
    lines += ["", *_savings_lines(savings)]
    if summary.skipped:
        lines += ["", f"{summary.skipped} lines were not usage lines and were skipped."]
    return "\n".join(lines)


def _savings_lines(savings: list[Saving]) -> list[str]:
    if not savings:
        return ["Nothing in this export is cheaper elsewhere in it: there is no saving to name."]
    return [
        "Largest savings:",
        *(f"- {saving.title}: {_dollars(saving.usd)}. {saving.detail}" for saving in savings),
    ]


def _report(summary: Summary, savings: list[Saving]) -> Report:
    return Report(
        recommendations=[
            {"title": saving.title, "detail": saving.detail, "savings_usd": f"{saving.usd:.2f}"} for saving in savings
        ],
        action_plan=[f"Try it on a sample first: {saving.title}." for saving in savings],
        metrics={"rows": summary.rows, "skipped": summary.skipped, "cost_usd": f"{summary.cost:.2f}"},
    )


def _dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"
