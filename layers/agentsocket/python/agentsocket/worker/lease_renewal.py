"""What goes on beside a running agent: renewing the worker's claims, and polling who is connected and whether to stop.

Two claims hold a run: the record's invisibility in the queue and the lease on the thread. Visibility is renewed first,
so that a record never returns while its lease is fresh. A worker that cannot renew both for a lease's length stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar

from agentsocket.errors import LeaseLost, Unavailable
from agentsocket.worker.fan_out import FanOut
from agentsocket.worker.job import RunJob
from agentsocket.worker.publisher import Publisher

T = TypeVar("T")
_logger = logging.getLogger("agentsocket.worker.lease_renewal")


class Deadline:
    """How long an agent may go on: until `at`, in seconds of the event loop's clock, or until it is stopped."""

    def __init__(self, at: float) -> None:
        self.stopped = False
        self._at = at
        self._waiting: asyncio.Timeout | None = None

    def stop(self) -> None:
        """End the current wait; no other can begin."""
        self.stopped = True
        if self._waiting is not None:
            self._waiting.reschedule(0)

    @property
    def over(self) -> bool:
        return self.stopped or asyncio.get_running_loop().time() >= self._at

    async def wait_for(self, event: Awaitable[T]) -> T:
        """The event, which is the agent's. Raises TimeoutError when the deadline comes first."""
        async with asyncio.timeout_at(self._at) as self._waiting:
            try:
                return await event
            finally:
                self._waiting = None


async def renew(job: RunJob, publisher: Publisher, *, renewed_at: float) -> None:
    """Renew both claims until cancelled; `renewed_at` is a moment just before the lease was taken. Raises LeaseLost."""
    clock, limits, offload = job.runtime.clock, job.limits, job.runtime.offload
    while True:
        await job.runtime.sleep(limits.look_every_ms / 1000)
        begun = clock()
        if begun - renewed_at < limits.renew_every_s:
            continue
        try:
            await offload(job.run_queue.set_visibility, job.record, limits.visibility_s)
            await offload(job.log.renew_lease, job.lease, top=publisher.top)
            renewed_at = begun
        except Unavailable as error:
            if clock() - renewed_at >= limits.lease_s:
                raise LeaseLost(f"the lease has not been renewed for {limits.lease_s} s") from error


async def watch(job: RunJob, fan_out: FanOut, deadline: Deadline) -> None:
    """Poll the user's connections until cancelled: who follows the thread, and whether the run must stop.

    A poll that fails delays pushes, and ends no run.
    """
    while True:
        try:
            activity = await fan_out.poll()
            if activity.must_stop(job.run):
                deadline.stop()
        except Unavailable:
            _logger.warning("connections_unreadable")
        fan_out.beat()
        await job.runtime.sleep(job.limits.look_every_ms / 1000)
