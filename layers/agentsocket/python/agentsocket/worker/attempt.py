"""One attempt at a run, from its first event to its ending (delivery.md, Lease and attempts)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from agentsocket.agents import runner
from agentsocket.agents.contract import Failed, HistoryMessage, Turn
from agentsocket.errors import LeaseLost, RunUnfinished, ThreadDeleted, Unavailable
from agentsocket.inputs import RunRequest
from agentsocket.storage import keys
from agentsocket.storage.rows import LogEvent
from agentsocket.worker import agent_events, memory
from agentsocket.worker.agent_events import AgentLoop, Ending
from agentsocket.worker.claim import Claim
from agentsocket.worker.fan_out import FanOut
from agentsocket.worker.job import RunJob
from agentsocket.worker.lease_renewal import Deadline, renew, watch
from agentsocket.worker.publisher import Publisher, Spawn

_ENDING_EVENTS = 2


async def push_ending(job: RunJob) -> None:
    """Push the last events of a run that has ended to the connections that lack them: its worker may have died."""
    fan_out, last = FanOut(job), job.run.last_seq
    events, _ = await job.runtime.offload(job.log.events, after=last - _ENDING_EVENTS, up_to=last, limit=_ENDING_EVENTS)
    fan_out.offer(events)
    await fan_out.finish()


async def end_silently(job: RunJob, *, owner: str = "") -> None:
    """End a run whose thread has been deleted: no event, and its row keeps no text. Releases the lease of `owner`."""
    run = job.run
    await job.runtime.offload(job.store.thread_deletion(run.thread_id).end_run, run.run_id, owner=owner)


async def attempt(job: RunJob, claim: Claim) -> None:
    """Start at the log's tail, run the agent, finish. Raises RunUnfinished when the record must come again."""
    fan_out = FanOut(job)
    deadline = Deadline(asyncio.get_running_loop().time() + job.limits.run_deadline_s)
    unfinished = deleted = False
    try:
        async with asyncio.TaskGroup() as tasks:
            publisher = Publisher(job, fan_out, spawn=tasks.create_task)
            beside = [
                tasks.create_task(watch(job, fan_out, deadline)),
                tasks.create_task(renew(job, publisher, renewed_at=claim.taken_at)),
            ]
            await publisher.start(claim.grant, await _earlier(job, claim.grant.top))
            ending = await _ending(job, claim.spent, publisher, deadline, tasks.create_task)
            await publisher.finish(ending.outcome, ending.report, ending.usage)
            for task in beside:
                task.cancel()
        await fan_out.finish()
    except* ThreadDeleted:
        deleted = True
    except* (LeaseLost, Unavailable):
        unfinished = True
    finally:
        fan_out.abandon()
    if deleted:
        await end_silently(job, owner=job.lease.owner)
    elif unfinished:
        raise RunUnfinished("lease lost or storage unavailable; the record will be redelivered")


async def _ending(job: RunJob, spent: int, publisher: Publisher, deadline: Deadline, spawn: Spawn) -> Ending:
    """How the run ends: by its agent, or without running that."""
    if job.lease.attempt > job.limits.max_attempts:
        # The closing delivery: no agent any more, a copy for the operator, and an ending that says so.
        copy = RunRequest(job.record.request.user, job.run.thread_id, job.run.run_id)
        await job.runtime.offload(job.run_queue.dead_letter, copy)
        return await agent_events.fail(publisher, _attempts_exhausted(job), job.limits)
    if not agent_events.within_budget(spent, job.limits):
        return await agent_events.fail(publisher, agent_events.over_budget(job.limits), job.limits)
    name, loop = job.agent_name, AgentLoop(job, publisher, deadline, spawn)

    async def turn_for(names: Sequence[str]) -> Turn:
        loop.declared = names
        return await _turn(job, names)

    return await loop.run(runner.events(lambda: job.agents[name](), turn_for, name=name))


def _attempts_exhausted(job: RunJob) -> Failed:
    return Failed(
        error_type="attempts_exhausted",
        message=f"{job.limits.max_attempts} attempts have stopped without an ending, which is the limit",
        user_message="Answering failed repeatedly.",
        suggested_action="Send the message again; if it fails again, tell whoever runs this service.",
    )


async def _earlier(job: RunJob, top: int) -> list[LogEvent]:
    """The events of the run's attempts before this one, for connections that lack them."""
    run = job.run
    if not run.first_seq:
        return []
    limit = job.limits.tail_max_events // 2  # a connection that has missed more is better served by a replay
    after = max(run.first_seq - 1, top - limit)
    events, _ = await job.runtime.offload(job.log.events, after=after, up_to=top, limit=limit)
    return [event for event in events if event.run_id == run.run_id]


async def _turn(job: RunJob, names: Sequence[str]) -> Turn:
    """The question, the messages before it, and what is remembered under the names that the agent declares."""
    run, log, offload = job.run, job.log, job.runtime.offload
    text = await offload(log.contents.whole, run.message_id) if run.truncated else run.content
    before = run.first_seq - 1 if run.first_seq else keys.LAST_SEQ
    messages = await offload(log.messages, up_to=before, limit=job.limits.history_messages)
    history = tuple(
        HistoryMessage(message.role, message.content) for message in messages if message.message_id != run.message_id
    )
    remembered = await offload(memory.recall, job, names)
    return Turn(run.run_id, text, history, json.loads(run.context), remembered)
