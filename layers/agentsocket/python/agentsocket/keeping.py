"""What goes on beside a running agent: renewing the worker's claims, and looking who is listening.

Two claims hold a run: the record's invisibility in the queue and the lease on the thread. Visibility is renewed first,
so that a record never returns while its lease is fresh. Who cannot renew both for a lease's length stops by itself.
"""

from __future__ import annotations

import logging

from agentsocket.dispatch import Dispatch
from agentsocket.errors import LeaseLost, Unavailable
from agentsocket.inputs import RunRecord
from agentsocket.publishing import Publisher
from agentsocket.pushing import Subscribers
from agentsocket.runtime import Runtime
from agentsocket.threadlog import Lease, ThreadLog

_logger = logging.getLogger("agentsocket.keeping")


async def keep(
    record: RunRecord,
    lease: Lease,
    log: ThreadLog,
    publisher: Publisher,
    *,
    taken_at: float,
    dispatch: Dispatch,
    runtime: Runtime,
) -> None:
    """Renew until cancelled; `taken_at` is a moment just before the lease was taken. Raises LeaseLost."""
    clock, limits = runtime.clock, runtime.limits
    renewed_at = taken_at
    while True:
        await runtime.sleep(limits.look_every_ms / 1000)
        begun = clock()
        if begun - renewed_at < limits.renew_every_s:
            continue
        try:
            await runtime.offload(dispatch.hide, record, limits.visibility_s)
            await runtime.offload(log.renew_lease, lease, top=publisher.top)
            renewed_at = begun
        except Unavailable as error:
            if clock() - renewed_at >= limits.lease_s:
                raise LeaseLost("the lease could not be renewed in time") from error


async def watch(subscribers: Subscribers, runtime: Runtime) -> None:
    """Look now and then who is connected, until cancelled. A look that fails delays pushes, and ends no run."""
    while True:
        try:
            await subscribers.look()
        except Unavailable:
            _logger.warning("connections could not be read")
        await runtime.sleep(runtime.limits.look_every_ms / 1000)
