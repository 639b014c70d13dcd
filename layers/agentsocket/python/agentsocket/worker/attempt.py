"""One attempt at a run, from its first event to its ending (delivery.md, Lease and attempts)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agentsocket.agents import runner
from agentsocket.agents.catalog import DEFAULT
from agentsocket.agents.contract import Agent, Failed, HistoryMessage, Turn
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.commands import contexts as context_commands
from agentsocket.contexts.contract import UserContexts
from agentsocket.errors import LeaseLost, RunUnfinished, ThreadDeleted, Unavailable
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.runtime import Runtime
from agentsocket.storage import keys
from agentsocket.storage.rows import LogEvent, Run
from agentsocket.storage.thread_log import Lease, LeaseGrant, ThreadLog
from agentsocket.storage.user import UserStorage
from agentsocket.worker import agent_events
from agentsocket.worker.agent_events import AgentLoop, Ending
from agentsocket.worker.fan_out import FanOut
from agentsocket.worker.lease_renewal import Deadline, keep, watch
from agentsocket.worker.publisher import Publisher, Spawn

_ENDING_EVENTS = 2

_GIVEN_UP = Failed(
    error_type="attempts_exhausted",
    message="the run stopped without an ending three times",
    user_message="Answering failed repeatedly.",
    suggested_action="Send the message again; if it fails again, tell whoever runs this service.",
)


@dataclass(frozen=True, slots=True)
class RunJob:
    """A run to be attempted, its record, and the seams for that.

    `spent` is what the user's runs have cost this month, in millionths of a dollar.
    """

    run: Run
    record: RunRecord
    spent: int
    user: UserStorage
    contexts: UserContexts
    run_queue: RunQueue
    management_api: ManagementApi
    agents: Mapping[str, Callable[[], Agent]]
    runtime: Runtime


async def push_ending(run: Run, user: UserStorage, management_api: ManagementApi, runtime: Runtime) -> None:
    """The run has ended, perhaps just before its worker died: its last events go to whoever is behind."""
    subscribers = FanOut(run, user, management_api, runtime)
    events, _ = await runtime.offload(
        user.log(run.thread_id).events, after=run.last_seq - _ENDING_EVENTS, up_to=run.last_seq, limit=_ENDING_EVENTS
    )
    subscribers.offer(events)
    await subscribers.finish()


async def attempt(work: RunJob, lease: Lease, *, taken: LeaseGrant, taken_at: float) -> None:
    """Start at the tail, let the agent answer, finish. Raises RunUnfinished when this worker may not, or cannot, go on.

    The lease was taken just after `taken_at`, in seconds.
    """
    run, user, runtime = work.run, work.user, work.runtime
    log, name = user.log(run.thread_id), run.agent or DEFAULT
    subscribers = FanOut(run, user, work.management_api, runtime)
    patience = Deadline(asyncio.get_running_loop().time() + runtime.limits.run_deadline_s)
    unfinished = deleted = False
    try:
        async with asyncio.TaskGroup() as tasks:
            publisher = Publisher(
                run, lease, log, subscribers, agent_name=name, spawn=tasks.create_task, runtime=runtime
            )
            keeping = keep(work.record, lease, log, publisher, taken_at, run_queue=work.run_queue, runtime=runtime)
            beside = [tasks.create_task(going_on) for going_on in (watch(run, subscribers, patience, runtime), keeping)]
            await publisher.start(taken, await _earlier(run, log, taken.top, runtime))
            ending = await _ending(work, lease, log, publisher, patience, tasks.create_task)
            await publisher.finish(ending.outcome, ending.report, ending.usage)
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


async def _ending(
    work: RunJob, lease: Lease, log: ThreadLog, publisher: Publisher, patience: Deadline, spawn: Spawn
) -> Ending:
    """How the run ends: as its agent has it, or without asking that."""
    run, runtime = work.run, work.runtime
    if lease.attempt > runtime.limits.max_attempts:
        # The closing delivery: no agent any more, a copy for the operator, and an ending that says so.
        copy = RunRequest(work.record.request.user, run.thread_id, run.run_id)
        await runtime.offload(work.run_queue.dead_letter, copy)
        return await agent_events.fail(publisher, _GIVEN_UP, runtime.limits)
    if not agent_events.within_budget(work.spent, runtime.limits):
        return await agent_events.fail(publisher, agent_events.OVER_BUDGET, runtime.limits)
    name = run.agent or DEFAULT
    answer = AgentLoop(
        publisher,
        patience,
        thread_id=run.thread_id,
        user=work.user,
        contexts=work.contexts,
        management_api=work.management_api,
        spawn=spawn,
        runtime=runtime,
    )

    async def turn_for(names: Sequence[str]) -> Turn:
        answer.declared = names
        return await _turn(work, log, names)

    return await answer.until_it_ends(runner.events(lambda: work.agents[name](), turn_for, name=name))


async def _earlier(run: Run, log: ThreadLog, top: int, runtime: Runtime) -> list[LogEvent]:
    """What attempts before this one have written: for who has not seen it."""
    if not run.first_seq:
        return []
    limit = runtime.limits.tail_max_events // 2  # who has missed more is better served by a replay
    after = max(run.first_seq - 1, top - limit)
    events, _ = await runtime.offload(log.events, after=after, up_to=top, limit=limit)
    return [event for event in events if event.run_id == run.run_id]


async def _turn(work: RunJob, log: ThreadLog, names: Sequence[str]) -> Turn:
    """The question, what was said before it, and what is remembered under the names that the agent declares."""
    run, runtime = work.run, work.runtime
    text = await runtime.offload(log.contents.whole, run.message_id) if run.truncated else run.content
    before = run.first_seq - 1 if run.first_seq else keys.LAST_SEQ
    messages = await runtime.offload(log.messages, up_to=before, limit=runtime.limits.history_messages)
    history = tuple(
        HistoryMessage(message.role, message.content) for message in messages if message.message_id != run.message_id
    )
    remembered = await runtime.offload(context_commands.recall, work.contexts, run.thread_id, names)
    return Turn(run.run_id, text, history, json.loads(run.context), remembered)
