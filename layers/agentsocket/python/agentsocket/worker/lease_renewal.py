"""What goes on beside a running agent: renewing the worker's claims, and looking who listens and whether to stop.

Two claims hold a run: the record's invisibility in the queue and the lease on the thread. Visibility is renewed first,
so that a record never returns while its lease is fresh. Who cannot renew both for a lease's length stops by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from agentsocket.aws.run_queue import RunQueue
from agentsocket.errors import LeaseLost, Unavailable
from agentsocket.inputs import RunRecord
from agentsocket.runtime import Runtime
from agentsocket.storage.rows import Run
from agentsocket.storage.thread_log import Lease, ThreadLog
from agentsocket.worker.fan_out import FanOut
from agentsocket.worker.publisher import Publisher

T = TypeVar("T")
_logger = logging.getLogger("agentsocket.worker.lease_renewal")


class Deadline:
    """How long an agent may go on: until its deadline, in seconds of the event loop's clock, or until it is stopped."""

    def __init__(self, deadline: float) -> None:
        self.stopped = False
        self._deadline = deadline
        self._waiting: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End the wait that is under way; nobody may begin another."""
        self.stopped = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    @property
    def over(self) -> bool:
        return self.stopped or asyncio.get_running_loop().time() >= self._deadline

    async def wait_for(self, event: Awaitable[T]) -> T:
        """The event, which is the agent's. Raises TimeoutError when patience ends first."""
        async with asyncio.timeout_at(self._deadline) as self._waiting:
            try:
                return await event
            finally:
                self._waiting = None


async def keep(
    record: RunRecord,
    lease: Lease,
    log: ThreadLog,
    publisher: Publisher,
    taken_at: float,
    *,
    run_queue: RunQueue,
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
            await runtime.offload(run_queue.set_visibility, record, limits.visibility_s)
            await runtime.offload(log.renew_lease, lease, top=publisher.top)
            renewed_at = begun
        except Unavailable as error:
            if clock() - renewed_at >= limits.lease_s:
                raise LeaseLost("the lease could not be renewed in time") from error


async def watch(run: Run, subscribers: FanOut, patience: Deadline, runtime: Runtime) -> None:
    """Look now and then who is connected, and whether the run may go on, until cancelled; and tell them that it does.

    A look that fails delays pushes, and ends no run.
    """
    while True:
        try:
            live = await subscribers.look()
            if live.halts(run):
                patience.stop()
        except Unavailable:
            _logger.warning("connections_unreadable")
        subscribers.beat()
        await runtime.sleep(runtime.limits.look_every_ms / 1000)
