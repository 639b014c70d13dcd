"""An agent's events and what becomes of them: published, remembered, charged; until it ends or must stop."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from agentsocket import encoded_text
from agentsocket.agents.contract import (
    AgentEvent,
    Failed,
    Remember,
    Report,
    Text,
    Thinking,
    ToolEnded,
    ToolStarted,
    Used,
)
from agentsocket.contexts.contract import Context
from agentsocket.errors import BadRequest, NotFound, ThreadDeleted, TooLarge, Unavailable, VersionConflict
from agentsocket.limits import Limits
from agentsocket.protocol import messages
from agentsocket.storage.run_states import Outcome
from agentsocket.worker import memory
from agentsocket.worker.job import RunJob
from agentsocket.worker.lease_renewal import Deadline
from agentsocket.worker.publisher import Publisher, Spawn

_logger = logging.getLogger("agentsocket.worker.agent_events")
_NAME_BYTES = 128
_MICRODOLLARS_PER_CENT = 10_000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends; `report` on success, without its text; `usage` when models were called."""

    outcome: Outcome
    report: messages.FinalReport | None = None
    usage: Mapping[str, int] | None = None


def within_budget(spent: int, limits: Limits) -> bool:
    """Whether a user who has spent this, in millionths of a dollar, may have another model called."""
    return spent < limits.month_budget_cents * _MICRODOLLARS_PER_CENT


def over_budget(limits: Limits) -> Failed:
    """The failure of a user who has spent the month's budget."""
    return Failed(
        error_type="budget_exhausted",
        message=f"the user's monthly budget of {limits.month_budget_cents / 100:.2f} USD is spent; "
        "it resets on the first of the month, UTC",
        user_message="Your budget for this month is used up.",
        suggested_action="Wait for the next month, or ask whoever runs this service for more.",
    )


async def fail(publisher: Publisher, failed: Failed, limits: Limits) -> Ending:
    """The run ends as an error that says what to do."""
    await publisher.event(
        messages.AgentError,
        error_type=encoded_text.preview(failed.error_type, _NAME_BYTES),
        message=encoded_text.preview(failed.message, limits.preview_bytes),
        user_message=encoded_text.preview(failed.user_message, limits.preview_bytes),
        is_recoverable=failed.is_recoverable,
        suggested_action=encoded_text.preview(failed.suggested_action, limits.preview_bytes),
    )
    return Ending("error")


class AgentLoop:
    """One attempt of an agent at one question."""

    def __init__(self, job: RunJob, publisher: Publisher, deadline: Deadline, spawn: Spawn) -> None:
        self.declared: Collection[str] = ()  # the names that the agent may change
        self._job = job
        self._publisher = publisher
        self._deadline = deadline
        self._spawn = spawn
        self._offload = job.runtime.offload
        self._limits = job.limits
        self._room = job.limits.max_answer_bytes
        self._report = Report()
        self._used: dict[str, int] = {}

    async def run(self, events: AsyncGenerator[AgentEvent, None]) -> Ending:
        """Handle what the agent yields, until it ends, fails, is stopped, or runs out of time, room or money."""
        async with aclosing(events):
            while not self._deadline.over:
                try:
                    # The agent's time only: cutting into a write of ours would lose an event that is in the log.
                    event = await self._deadline.wait_for(anext(events, None))
                except TimeoutError:
                    break
                if self._deadline.stopped:
                    await self._charge_last(event)
                    break  # what came with the stop is not published
                if event is None:
                    report = _final_report(self._report, self._job.message_id, self._limits)
                    return Ending("success", report, self._usage())
                failed = await self._take(event)
                if failed is not None:
                    ending = await fail(self._publisher, failed, self._limits)
                    return Ending(ending.outcome, usage=self._usage())
        return Ending("stopped" if self._deadline.stopped else "timeout", usage=self._usage())

    async def _charge_last(self, event: AgentEvent | None) -> None:
        if isinstance(event, Used):
            await self._charge(event.output_tokens, event.microdollars)

    def _usage(self) -> Mapping[str, int] | None:
        return self._used or None

    async def _take(self, event: AgentEvent) -> Failed | None:
        """Handle one event; the failure that ends the agent, if one does."""
        match event:
            case Failed():
                return event
            case Report():
                self._report = event
            case Remember(name, patch):
                return await self._remember(name, patch)
            case Used(output_tokens, microdollars):
                return await self._charge(output_tokens, microdollars)
            case Text(delta):
                self._room -= len(delta.encode())
                if self._room < 0:
                    return _over_size(self._limits)
                await self._publisher.text(delta)
            case _:
                await _publish(self._publisher, event, self._limits)
        return None

    async def _remember(self, name: str, patch: Mapping[str, Any]) -> Failed | None:
        """Change a context, and notify the clients of one that they may see. Raises ThreadDeleted or Unavailable."""
        if name not in self.declared:
            return _not_remembered(name, "the agent does not declare this name in `remembers`")
        try:
            changed = await self._offload(memory.remember, self._job, name, patch)
        except NotFound:
            raise ThreadDeleted("a context of a deleted thread cannot change") from None
        except (BadRequest, TooLarge, VersionConflict) as error:
            return _not_remembered(name, error.message)
        if memory.is_shown_to_clients(name):
            self._spawn(self._notify(changed))
        return None

    async def _notify(self, changed: Context) -> None:
        """Beside the stream, which waits for nobody; a client that is missed can ask."""
        try:
            await self._offload(memory.notify_clients, self._job, changed)
        except Unavailable:
            _logger.warning("connections_unreadable")

    async def _charge(self, output_tokens: int, microdollars: int) -> Failed | None:
        for name, amount in (("output_tokens", output_tokens), ("microdollars", microdollars)):
            self._used[name] = self._used.get(name, 0) + amount
        spent = await self._offload(self._job.store.quotas.charge, microdollars)
        if self._used["output_tokens"] > self._limits.run_output_tokens:
            return _over_tokens(self._limits)
        return None if within_budget(spent, self._limits) else over_budget(self._limits)


def _over_tokens(limits: Limits) -> Failed:
    return Failed(
        error_type="token_limit",
        message=f"the models have written more than {limits.run_output_tokens} tokens, the limit of one run",
        user_message="Answering took more than one question may.",
        suggested_action="Ask for less at once.",
    )


def _over_size(limits: Limits) -> Failed:
    return Failed(
        error_type="answer_too_long",
        message=f"the agent's text exceeds {limits.max_answer_bytes} bytes, the limit of one message",
        user_message="The answer became too long.",
        suggested_action="Ask for less at once.",
    )


def _not_remembered(name: str, reason: str) -> Failed:
    return Failed(
        error_type="context_refused",
        message=f'context "{encoded_text.preview(name, _NAME_BYTES)}" was not changed: {reason}',
        user_message="Something could not be remembered.",
        suggested_action="Tell whoever runs this service.",
    )


async def _publish(publisher: Publisher, event: Thinking | ToolStarted | ToolEnded, limits: Limits) -> None:
    match event:
        case Thinking(thought, step, total):
            await publisher.event(
                messages.AgentThinking,
                thought=encoded_text.preview(thought, limits.preview_bytes),
                step=UNSET if step is None else step,
                total_steps=UNSET if total is None else total,
            )
        case ToolStarted(call_id, name, arguments):
            shown = encoded_text.preview(arguments, limits.preview_bytes)
            await publisher.event(
                messages.ToolExecuting,
                tool_call_id=encoded_text.preview(call_id, _NAME_BYTES),
                tool_name=encoded_text.preview(name, _NAME_BYTES),
                arguments=shown,
                truncated=shown != arguments,
            )
        case ToolEnded(call_id, name, outcome, result, duration_ms):
            await publisher.event(
                messages.ToolCompleted,
                tool_call_id=encoded_text.preview(call_id, _NAME_BYTES),
                tool_name=encoded_text.preview(name, _NAME_BYTES),
                outcome=outcome,
                result_preview=encoded_text.preview(result, limits.preview_bytes),
                duration_ms=duration_ms,
            )


def _final_report(report: Report, message_id: str, limits: Limits) -> messages.FinalReport:
    """The report without its text (the publisher knows it), cut to what leaves room for that in one frame."""
    recommendations, plan, metrics = list(report.recommendations), list(report.action_plan), dict(report.metrics)
    while len(msgspec.json.encode([recommendations, plan, metrics])) > limits.report_bytes:
        if plan:
            plan.pop()
        elif recommendations:
            recommendations.pop()
        else:
            metrics.clear()
    return messages.FinalReport(
        message_id=message_id,
        content="",
        recommendations=recommendations,
        action_plan=plan,
        agent_metrics=metrics,
        total_duration_ms=0,
    )
