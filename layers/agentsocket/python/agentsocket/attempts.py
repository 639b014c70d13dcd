"""One attempt at a run, from its first event to its ending (delivery.md, Lease and attempts)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing

import msgspec
from msgspec import UNSET

from agentsocket import keys, protocol, texts
from agentsocket.agents import (
    Agent,
    AgentEvent,
    Failed,
    Report,
    Said,
    Text,
    Thinking,
    ToolEnded,
    ToolStarted,
    Turn,
    runner,
)
from agentsocket.agents.catalog import DEFAULT
from agentsocket.dispatch import Dispatch
from agentsocket.errors import LeaseLost, RunUnfinished, Unavailable
from agentsocket.gateway import Gateway
from agentsocket.inputs import RunRecord
from agentsocket.keeping import keep
from agentsocket.limits import Limits
from agentsocket.publishing import Publisher
from agentsocket.pushing import Subscribers
from agentsocket.rows import LogEvent, Run
from agentsocket.runs import Outcome
from agentsocket.runtime import Runtime
from agentsocket.storage import UserStorage
from agentsocket.threadlog import Lease, ThreadLog

_HISTORY_MESSAGES = 20
_REPORT_BYTES = 4096  # with 24 KB of text this stays below a frame
_ENDING_EVENTS = 2

_GIVEN_UP = Failed(
    error_type="attempts_exhausted",
    message="the run stopped without an ending three times",
    user_message="Answering failed repeatedly.",
    suggested_action="Send the message again; if it fails again, tell whoever runs this service.",
)


async def push_ending(run: Run, user: UserStorage, gateway: Gateway, runtime: Runtime) -> None:
    """The run has ended, perhaps just before its worker died: its last events go to whoever is behind."""
    subscribers = Subscribers(run, user, gateway, runtime)
    events, _ = await runtime.offload(
        user.log(run.thread_id).events, after=run.last_seq - _ENDING_EVENTS, up_to=run.last_seq, limit=_ENDING_EVENTS
    )
    subscribers.offer(events)
    await subscribers.finish()


async def attempt(
    run: Run,
    record: RunRecord,
    lease: Lease,
    top: int,
    *,
    user: UserStorage,
    dispatch: Dispatch,
    gateway: Gateway,
    agents: Mapping[str, Callable[[], Agent]],
    runtime: Runtime,
) -> None:
    """Start at `top`, let the agent answer, finish. Raises RunUnfinished when this worker may not, or cannot, go on."""
    log = user.log(run.thread_id)
    agent = agents[run.agent or DEFAULT]()
    subscribers = Subscribers(run, user, gateway, runtime)
    unfinished = False
    try:
        async with asyncio.TaskGroup() as tasks:
            publisher = Publisher(
                run, lease, log, subscribers, agent_name=agent.name, spawn=tasks.create_task, runtime=runtime
            )
            tasks.create_task(subscribers.look())
            await publisher.start(top, await _earlier(run, log, top, runtime))
            keeper = tasks.create_task(
                keep(record, lease, log, publisher, subscribers, dispatch=dispatch, runtime=runtime)
            )
            if lease.attempt > runtime.limits.max_attempts:
                await runtime.offload(dispatch.bury, record.request)
                await _publish_failure(publisher, _GIVEN_UP)
                await publisher.finish("error", None)
            else:
                await publisher.finish(*await _answer(agent, await _turn(run, log, runtime), publisher, runtime.limits))
            keeper.cancel()
        await subscribers.finish()
    except* (LeaseLost, Unavailable):
        unfinished = True
    finally:
        subscribers.abandon()
    if unfinished:
        raise RunUnfinished("this worker may not, or cannot, go on")


async def _earlier(run: Run, log: ThreadLog, top: int, runtime: Runtime) -> list[LogEvent]:
    """What attempts before this one have written: for who has not seen it."""
    if not run.first_seq:
        return []
    limit = runtime.limits.replay_max_events
    events, _ = await runtime.offload(log.events, after=run.first_seq - 1, up_to=top, limit=limit)
    return [event for event in events if event.run_id == run.run_id]


async def _turn(run: Run, log: ThreadLog, runtime: Runtime) -> Turn:
    text = await runtime.offload(log.content, run.message_id) if run.truncated else run.content
    before = run.first_seq - 1 if run.first_seq else keys.LAST_SEQ
    messages = await runtime.offload(log.messages, up_to=before, limit=_HISTORY_MESSAGES)
    history = tuple(Said(message.role, message.content) for message in messages if message.message_id != run.message_id)
    return Turn(run.run_id, text, history, json.loads(run.context))


async def _answer(
    agent: Agent, turn: Turn, publisher: Publisher, limits: Limits
) -> tuple[Outcome, protocol.FinalReport | None]:
    report = Report()
    try:
        async with asyncio.timeout(limits.run_deadline_s), aclosing(runner.events(agent, turn)) as events:
            async for event in events:
                if isinstance(event, Failed):
                    await _publish_failure(publisher, event)
                    return "error", None
                if isinstance(event, Report):
                    report = event
                else:
                    await _publish(publisher, event, limits)
    except TimeoutError:
        return "timeout", None
    return "success", _final_report(report, publisher.message_id)


async def _publish(publisher: Publisher, event: AgentEvent, limits: Limits) -> None:
    match event:
        case Text(delta):
            await publisher.text(delta)
        case Thinking(thought, step, total):
            await publisher.event(
                protocol.AgentThinking,
                thought=texts.preview(thought, limits.preview_bytes),
                step=UNSET if step is None else step,
                total_steps=UNSET if total is None else total,
            )
        case ToolStarted(call_id, name, arguments):
            shown = texts.preview(arguments, limits.preview_bytes)
            await publisher.event(
                protocol.ToolExecuting,
                tool_call_id=call_id,
                tool_name=name,
                arguments=shown,
                truncated=shown != arguments,
            )
        case ToolEnded(call_id, name, outcome, result, duration_ms):
            await publisher.event(
                protocol.ToolCompleted,
                tool_call_id=call_id,
                tool_name=name,
                outcome=outcome,
                result_preview=texts.preview(result, limits.preview_bytes),
                duration_ms=duration_ms,
            )


async def _publish_failure(publisher: Publisher, failed: Failed) -> None:
    await publisher.event(
        protocol.AgentError,
        error_type=failed.error_type,
        message=failed.message,
        user_message=failed.user_message,
        is_recoverable=failed.is_recoverable,
        suggested_action=failed.suggested_action,
    )


def _final_report(report: Report, message_id: str) -> protocol.FinalReport:
    """The report without its text (the publisher knows it), cut to what leaves room for that in one frame."""
    recommendations, plan, metrics = list(report.recommendations), list(report.action_plan), dict(report.metrics)
    while len(msgspec.json.encode([recommendations, plan, metrics])) > _REPORT_BYTES:
        if plan:
            plan.pop()
        elif recommendations:
            recommendations.pop()
        else:
            metrics.clear()
    return protocol.FinalReport(
        message_id=message_id,
        content="",
        recommendations=recommendations,
        action_plan=plan,
        agent_metrics=metrics,
        total_duration_ms=0,
    )
