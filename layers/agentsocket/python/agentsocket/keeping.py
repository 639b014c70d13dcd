"""The keeper: renews a running worker's claims, and looks who is listening, whatever the agent does meanwhile.

Two claims hold a run: the record's invisibility in the queue and the lease on the thread. Visibility is renewed first,
so that a record never returns while its lease is fresh. Who cannot renew both for a lease's length stops by itself.
"""

from __future__ import annotations

from agentsocket.dispatch import Dispatch
from agentsocket.errors import LeaseLost, Unavailable
from agentsocket.inputs import RunRecord
from agentsocket.publishing import Publisher
from agentsocket.pushing import Subscribers
from agentsocket.runtime import Runtime
from agentsocket.threadlog import Lease, ThreadLog


async def keep(
    record: RunRecord,
    lease: Lease,
    log: ThreadLog,
    publisher: Publisher,
    subscribers: Subscribers,
    *,
    dispatch: Dispatch,
    runtime: Runtime,
) -> None:
    """Runs until cancelled. Raises LeaseLost when the run is not this worker's any more."""
    clock, limits, offload = runtime.clock, runtime.limits, runtime.offload
    renewed_at = clock()
    while True:
        await runtime.sleep(limits.look_every_ms / 1000)
        try:
            await subscribers.look()
            if clock() - renewed_at >= limits.renew_every_s:
                await offload(dispatch.hide, record, limits.visibility_s)
                await offload(log.renew_lease, lease, top=publisher.top)
                renewed_at = clock()
        except Unavailable as error:
            if clock() - renewed_at >= limits.lease_s:
                raise LeaseLost("the lease could not be renewed in time") from error
