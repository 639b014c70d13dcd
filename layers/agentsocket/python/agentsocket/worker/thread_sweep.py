"""Removing the rows of a deleted thread: under the thread's lease, so that no run writes meanwhile."""

from __future__ import annotations

import math

from agentsocket import principal
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.contract import ContextStore
from agentsocket.errors import LeaseHeld, LeaseLost, RunUnfinished
from agentsocket.inputs import Deletion, RunRecord
from agentsocket.runtime import Runtime
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import Storage

_NO_RUN = "deletion"  # stands where a lease names its run


async def sweep(
    record: RunRecord,
    deletion: Deletion,
    *,
    storage: Storage,
    contexts: ContextStore,
    run_queue: RunQueue,
    runtime: Runtime,
) -> None:
    """Remove everything of the thread. Safe to repeat; raises RunUnfinished or Unavailable when it must come again."""
    offload, limits = runtime.offload, runtime.limits
    owner = principal.of_queued(deletion.user)
    store = storage.for_user(owner)
    deleting, log = store.thread_deletion(deletion.thread_id, by=deletion.command_id), store.log(deletion.thread_id)
    await offload(deleting.hide)  # the command may have died before it could
    lease = Lease(owner=store.new_id(), run_id=_NO_RUN, attempt=1)
    renewed_at = runtime.clock()
    try:
        grant = await offload(log.take_lease, lease)
        # Before the rows: what Redis has of the thread is found by them.
        await offload(contexts.for_user(owner).delete_thread, deletion.thread_id)
        page, rows_left = await offload(deleting.end_runs), True
        while page is not None or rows_left:
            begun = runtime.clock()
            if begun - renewed_at >= limits.renew_every_s:
                await offload(run_queue.set_visibility, record, limits.visibility_s)
                await offload(log.renew_lease, lease, top=grant.top)
                renewed_at = begun
            if page is not None:
                page = await offload(deleting.end_runs, page)
            else:
                rows_left = await offload(deleting.sweep)
        await offload(deleting.finish, lease)
    except LeaseHeld as held:
        retry_s = math.ceil(held.remaining_s)
        await offload(run_queue.set_visibility, record, retry_s)
        raise RunUnfinished(
            f"a running run holds the thread's lease; the record will be redelivered in {retry_s} s"
        ) from held
    except LeaseLost as lost:
        raise RunUnfinished("lease lost to another worker; the record will be redelivered") from lost
