"""What a worker must have before it runs an agent: the run, a place among the user's running runs, the thread's lease.

A record that has to come again is hidden for as long as that takes.
"""

from __future__ import annotations

import logging
import math

from msgspec import Struct

from agentsocket.aws.run_queue import RunQueue
from agentsocket.errors import LeaseHeld, RunUnfinished, TooManyRuns, Unavailable
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.runtime import Runtime
from agentsocket.storage.rows import Run
from agentsocket.storage.thread_log import Lease, LeaseGrant
from agentsocket.storage.user import UserStorage
from agentsocket.worker.job import RunJob

_logger = logging.getLogger("agentsocket.worker.claim")


class Claim(Struct, frozen=True):
    """The right to run an agent. The lease was taken just after `taken_at`, in seconds since the epoch.

    `spent` is what the user's runs have cost this month, in millionths of a dollar.
    """

    spent: int
    grant: LeaseGrant
    taken_at: float


async def find(request: RunRequest, store: UserStorage, runtime: Runtime) -> tuple[Run | None, bool]:
    """The run that a record asks for, and whether its thread has been deleted. None when there is no such run.

    The redriven copy of a failed run asks for a new run of the same message.
    """
    run: Run | None
    run, is_deleted = await runtime.offload(store.runs.queued, request.run_id, request.thread_id)
    if run is None:
        _logger.error("run_row_missing", extra={"run_id": request.run_id})
    elif run.state == "failed" and request.retry:
        run = await runtime.offload(store.runs.retry, run)
    return run, is_deleted


def lease_for(run: Run, store: UserStorage) -> Lease:
    """A lease of this worker's own, for the run's next attempt. Nothing is taken yet."""
    return Lease(owner=store.new_id(), run_id=run.run_id, attempt=run.attempts + 1)


async def claim(job: RunJob) -> Claim:
    """Take a place, then the lease. Raises RunUnfinished when either is taken by others: the record is hidden."""
    spent = await _take_place(job)
    taken_at = job.runtime.clock()
    return Claim(spent, await _take_lease(job), taken_at)


async def _take_place(job: RunJob) -> int:
    """Count the run among those that are running; what the user has spent."""
    try:
        spent: int = await job.runtime.offload(job.store.quotas.begin, job.run)
    except TooManyRuns as full:
        retry_s = job.limits.run_retry_s
        await hide(job.record, retry_s, job.run_queue, job.runtime)
        raise RunUnfinished(
            f"{job.limits.runs_at_once} runs of the user are running, or an older one is next; "
            f"the record will be redelivered in {retry_s} s"
        ) from full
    return spent


async def _take_lease(job: RunJob) -> LeaseGrant:
    """Become the writer of the run's thread. A log that may have lost events begins a new epoch."""
    try:
        grant: LeaseGrant = await job.runtime.offload(job.log.take_lease, job.lease)
    except LeaseHeld as held:
        retry_s = math.ceil(held.remaining_s)
        await hide(job.record, retry_s, job.run_queue, job.runtime)
        raise RunUnfinished(
            f"another worker holds the thread's lease; the record will be redelivered in {retry_s} s"
        ) from held
    if not grant.intact:
        await job.runtime.offload(job.store.threads.renew_epoch, job.run.thread_id)
    return grant


async def hide(record: RunRecord, seconds: int, run_queue: RunQueue, runtime: Runtime) -> None:
    """Let the record return `seconds` from now. When that fails it returns later, by the queue's own time-out."""
    try:
        await runtime.offload(run_queue.set_visibility, record, seconds)
    except Unavailable:
        _logger.warning("visibility_not_set", extra={"thread_id": record.request.thread_id})
