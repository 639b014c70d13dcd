"""One attempt at a run, from its first event to its ending (delivery.md, Lease and attempts)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
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
from agentsocket.errors import LeaseLost, RunUnfinished, ThreadDeleted, Unavailable
from agentsocket.gateway import Gateway
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.keeping import Patience, keep, watch
from agentsocket.limits import Limits
from agentsocket.publishing import Publisher
from agentsocket.pushing import Subscribers
from agentsocket.rows import LogEvent, Run
from agentsocket.runs import Outcome
from agentsocket.runtime import Runtime
from agentsocket.storage import UserStorage
from agentsocket.threadlog import Lease, Taken, ThreadLog

Ending = tuple[Outcome, protocol.FinalReport | None]

_ENDING_EVENTS = 2
_NAME_BYTES = 128

_GIVEN_UP = Failed(
    error_type="attempts_exhausted",
    message="the run stopped without an ending three times",
    user_message="Answering failed repeatedly.",
    suggested_action="Send the message again; if it fails again, tell whoever runs this service.",
)
_TOO_LONG = Failed(
    error_type="answer_too_long",
    message="the answer exceeds what one message may hold",
    user_message="The answer became too long.",
    suggested_action="Ask for less at once.",
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
    *,
    taken: Taken,
    taken_at: float,
    user: UserStorage,
    dispatch: Dispatch,
    gateway: Gateway,
    agents: Mapping[str, Callable[[], Agent]],
    runtime: Runtime,
) -> None:
    """Start at the tail, let the agent answer, finish. Raises RunUnfinished when this worker may not, or cannot, go on.

    The lease was taken just after `taken_at`, in seconds.
    """
    log, name = user.log(run.thread_id), run.agent or DEFAULT
    subscribers = Subscribers(run, user, gateway, runtime)
    patience = Patience(asyncio.get_running_loop().time() + runtime.limits.run_deadline_s)
    unfinished = deleted = False
    try:
        async with asyncio.TaskGroup() as tasks:
            publisher = Publisher(
                run, lease, log, subscribers, agent_name=name, spawn=tasks.create_task, runtime=runtime
            )
            beside = (
                tasks.create_task(watch(run, subscribers, patience, runtime)),
                tasks.create_task(keep(record, lease, log, publisher, taken_at, dispatch=dispatch, runtime=runtime)),
            )
            await publisher.start(taken, await _earlier(run, log, taken.top, runtime))
            if lease.attempt > runtime.limits.max_attempts:
                ending = await _close(run, record, publisher, dispatch, runtime)
            else:
                events = runner.events(lambda: agents[name](), await _turn(run, log, runtime), name=name)
                ending = await _answer(events, publisher, patience, runtime.limits)
            await publisher.finish(*ending)
            for task in beside:
                task.cancel()
        await subscribers.finish()
    except* ThreadDeleted:
        deleted = True
    except* (LeaseLost, Unavailable):
        unfinished = True
    finally:
        subscribers.abandon()
    if deleted:
        await runtime.offload(user.erasure(run.thread_id).end_run, run.run_id, owner=lease.owner)
    elif unfinished:
        raise RunUnfinished("this worker may not, or cannot, go on")


async def _close(run: Run, record: RunRecord, publisher: Publisher, dispatch: Dispatch, runtime: Runtime) -> Ending:
    """The closing delivery: no agent any more, a copy for the operator, and an ending that says so."""
    await runtime.offload(dispatch.bury, RunRequest(record.request.user, run.thread_id, run.run_id))
    return await _fail(publisher, _GIVEN_UP, runtime.limits)


async def _earlier(run: Run, log: ThreadLog, top: int, runtime: Runtime) -> list[LogEvent]:
    """What attempts before this one have written: for who has not seen it."""
    if not run.first_seq:
        return []
    limit = runtime.limits.tail_max_events // 2  # who has missed more is better served by a replay
    after = max(run.first_seq - 1, top - limit)
    events, _ = await runtime.offload(log.events, after=after, up_to=top, limit=limit)
    return [event for event in events if event.run_id == run.run_id]


async def _turn(run: Run, log: ThreadLog, runtime: Runtime) -> Turn:
    text = await runtime.offload(log.contents.whole, run.message_id) if run.truncated else run.content
    before = run.first_seq - 1 if run.first_seq else keys.LAST_SEQ
    messages = await runtime.offload(log.messages, up_to=before, limit=runtime.limits.history_messages)
    history = tuple(Said(message.role, message.content) for message in messages if message.message_id != run.message_id)
    return Turn(run.run_id, text, history, json.loads(run.context))


async def _answer(
    events: AsyncGenerator[AgentEvent, None], publisher: Publisher, patience: Patience, limits: Limits
) -> Ending:
    """Publish what the agent yields, until it ends, fails, is stopped, or runs out of time or room."""
    report, room = Report(), limits.max_answer_bytes
    async with aclosing(events):
        while not patience.over:
            try:
                # The agent's time only: cutting into a write of ours would lose an event that is in the log.
                event = await patience.wait_for(anext(events, None))
            except TimeoutError:
                break
            if patience.stopped:
                break  # what came at the last moment comes too late
            if event is None:
                return "success", _final_report(report, publisher.message_id, limits)
            if isinstance(event, Text):
                room -= len(event.delta.encode())
            failed = _TOO_LONG if room < 0 else event
            if isinstance(failed, Failed):
                return await _fail(publisher, failed, limits)
            if isinstance(event, Report):
                report = event
            else:
                await _publish(publisher, event, limits)
    return ("stopped" if patience.stopped else "timeout"), None


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
                tool_call_id=texts.preview(call_id, _NAME_BYTES),
                tool_name=texts.preview(name, _NAME_BYTES),
                arguments=shown,
                truncated=shown != arguments,
            )
        case ToolEnded(call_id, name, outcome, result, duration_ms):
            await publisher.event(
                protocol.ToolCompleted,
                tool_call_id=texts.preview(call_id, _NAME_BYTES),
                tool_name=texts.preview(name, _NAME_BYTES),
                outcome=outcome,
                result_preview=texts.preview(result, limits.preview_bytes),
                duration_ms=duration_ms,
            )


async def _fail(publisher: Publisher, failed: Failed, limits: Limits) -> Ending:
    await publisher.event(
        protocol.AgentError,
        error_type=texts.preview(failed.error_type, _NAME_BYTES),
        message=texts.preview(failed.message, limits.preview_bytes),
        user_message=texts.preview(failed.user_message, limits.preview_bytes),
        is_recoverable=failed.is_recoverable,
        suggested_action=texts.preview(failed.suggested_action, limits.preview_bytes),
    )
    return "error", None


def _final_report(report: Report, message_id: str, limits: Limits) -> protocol.FinalReport:
    """The report without its text (the publisher knows it), cut to what leaves room for that in one frame."""
    recommendations, plan, metrics = list(report.recommendations), list(report.action_plan), dict(report.metrics)
    while len(msgspec.json.encode([recommendations, plan, metrics])) > limits.report_bytes:
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
