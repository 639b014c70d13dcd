"""From a run's events to the sockets that follow its thread: one send queue per connection, each at its own pace.

A send queue has one post in flight and its own position in the replay buffer; a slow or dead connection delays no
other. A connection that falls behind the buffer is disconnected: a replay from the log serves it better. A push that
fails is a late event, not a lost one: the log has it, and a client that notices asks again. Subscriptions are read from
the user's connection rows; a worker takes a cursor from there once per subscription (delivery.md, Cursors).
"""

from __future__ import annotations

import asyncio
import bisect
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentsocket import ids
from agentsocket.aws.management_api import Delivery, disconnect
from agentsocket.errors import Disconnect
from agentsocket.protocol import frames, messages
from agentsocket.storage.rows import Connection, LogEvent, UserActivity
from agentsocket.worker.job import RunJob

_STEEPEST = 16  # doublings of a wait; beyond any cap
_SENDER = "sender"  # the generation of a connection that sent the message and does not follow the thread
_logger = logging.getLogger("agentsocket.worker.fan_out")


@dataclass(slots=True)
class _SendQueue:
    connection_id: str
    generation: str = ""
    position: int = 0
    token_exp: int = 0
    heartbeat: bytes = b""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class FanOut:
    """The connections that a run's events go to."""

    def __init__(self, job: RunJob) -> None:
        self._run = job.run
        self._connections = job.store.connections
        self._management_api = job.management_api
        self._runtime = job.runtime
        self._limits = job.limits
        self._buffer: list[LogEvent] = []
        self._floor = 0  # the last seq that the replay buffer has dropped
        self._last_event_at: float | None = None
        self._queues: dict[str, _SendQueue] = {}
        self._unfollowed: set[str] = set()
        # Fewer than the threads there are: hanging sockets must not keep appends and renewals waiting.
        self._posting = asyncio.Semaphore(job.limits.posts_at_once)
        self._ending = False

    def offer(self, events: Iterable[LogEvent]) -> None:
        """Hand over events that are in the log, in order."""
        self._buffer.extend(events)
        dropped = self._buffer[: -self._limits.tail_max_events]
        if dropped:
            self._floor = dropped[-1].seq
            del self._buffer[: len(dropped)]
        self._last_event_at = self._runtime.clock()
        for queue in self._queues.values():
            queue.changed.set()

    def beat(self) -> None:
        """Send every connection a heartbeat if the run has begun and has had no event for 15 s."""
        now = self._runtime.clock()
        if self._last_event_at is None or now - self._last_event_at < self._limits.heartbeat_s:
            return
        self._last_event_at = now
        heartbeat = messages.Heartbeat(run_id=self._run.run_id)
        frame_id = ids.new(now)
        frame = frames.frame(heartbeat, frame_id=frame_id, now=now, thread_id=self._run.thread_id)
        for queue in self._queues.values():
            queue.heartbeat = frame.encode()
            queue.changed.set()

    async def poll(self) -> UserActivity:
        """Read who is connected and subscribed now: new ones get the buffer, gone and revoked ones nothing more."""
        activity: UserActivity = await self._runtime.offload(self._connections.activity)
        deleted = self._run.thread_id in activity.deleted
        listening = [c for c in activity.connections if c.live and not activity.revoked(c) and not deleted]
        following = {c.connection_id: c for c in listening if self._generation(c)}
        for connection_id in [name for name in self._queues if name not in following]:
            self._unfollowed.add(connection_id)
            self._stop(self._queues.pop(connection_id))
        for connection in following.values():
            self._follow(connection)
        return activity

    async def finish(self) -> None:
        """Poll once more, then wait until every connection has got the buffer, a few seconds at most."""
        await self.poll()
        self._ending = True
        for queue in self._queues.values():
            queue.changed.set()
        tasks = [queue.task for queue in self._queues.values() if queue.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.drain_s)
        self.abandon()

    def abandon(self) -> None:
        """Stop all send queues where they are."""
        for queue in self._queues.values():
            self._stop(queue)
        self._queues.clear()

    def _generation(self, connection: Connection) -> str:
        subscription = connection.subscriptions.get(self._run.thread_id)
        if subscription:
            return subscription.generation
        is_sender = connection.connection_id == self._run.connection_id
        return _SENDER if is_sender and not self._has_unsubscribed(connection.connection_id) else ""

    def _has_unsubscribed(self, connection_id: str) -> bool:
        """Whether a connection without a subscription had one, and has ended it."""
        queue = self._queues.get(connection_id)
        return connection_id in self._unfollowed or (queue is not None and queue.generation != _SENDER)

    def _follow(self, connection: Connection) -> None:
        generation = self._generation(connection)
        queue = self._queues.get(connection.connection_id)
        if queue is None:
            queue = _SendQueue(connection.connection_id)
            self._queues[connection.connection_id] = queue
        queue.token_exp = connection.token_exp
        if queue.generation != generation:
            # Below the floor nothing is left to send: the client notices the gap, and asks.
            queue.generation, queue.position = generation, max(self._cursor(connection), self._floor)
            queue.changed.set()
            if queue.task is None or queue.task.done():  # new, or ended until the client subscribed again
                self._stop(queue)
                queue.task = asyncio.get_running_loop().create_task(self._send_all(queue))

    def _cursor(self, connection: Connection) -> int:
        subscription = connection.subscriptions.get(self._run.thread_id)
        return subscription.cursor if subscription else 0  # the sender gets its run from the beginning

    async def _send_all(self, queue: _SendQueue) -> None:
        failures = 0
        while queue.position >= self._floor:
            event = self._next(queue.position)
            frame = event.frame if event else queue.heartbeat
            if frame:
                generation = queue.generation
                delivery = await self._post(queue, frame)
                if delivery == "gone":
                    return
                if delivery == "throttled":
                    await self._runtime.sleep(self._runtime.uniform(0, self._backoff_s(failures)))
                    failures = min(failures + 1, _STEEPEST)
                    continue
                failures = 0
                if event is None:
                    queue.heartbeat = b""
                elif queue.generation == generation:
                    queue.position = event.seq
            elif self._ending:
                return
            else:
                queue.changed.clear()
                await queue.changed.wait()
        await self._disconnect(queue)

    def _next(self, position: int) -> LogEvent | None:
        index = bisect.bisect_right(self._buffer, position, key=lambda event: event.seq)
        return self._buffer[index] if index < len(self._buffer) else None

    async def _post(self, queue: _SendQueue, frame: bytes) -> Delivery:
        """Post one frame. `gone`: the socket is gone and its row is deleted, or its token has expired."""
        if self._runtime.clock() > queue.token_exp + self._limits.token_grace_s:
            return "gone"
        async with self._posting:
            delivery: Delivery = await self._runtime.offload(self._management_api.post, queue.connection_id, frame)
        if delivery == "gone":
            await self._runtime.offload(self._connections.remove, queue.connection_id)
        return delivery

    def _backoff_s(self, failures: int) -> float:
        return min(self._limits.post_backoff_cap_ms, self._limits.post_backoff_ms * 2.0**failures) / 1000

    async def _disconnect(self, queue: _SendQueue) -> None:
        """End a connection that does not keep up: its client resumes on another, from the log."""
        _logger.info("slow_consumer_disconnected", extra={"connection_id": queue.connection_id})
        async with self._posting:
            reason, now = Disconnect("slow_consumer"), self._runtime.clock()
            ended: Delivery = await self._runtime.offload(
                disconnect, self._management_api, queue.connection_id, reason, now=now
            )
        if ended != "throttled":  # an open socket without a row would be checked by nobody
            await self._runtime.offload(self._connections.remove, queue.connection_id)

    def _stop(self, queue: _SendQueue) -> None:
        if queue.task is None:
            return
        if queue.task.done() and not queue.task.cancelled() and (error := queue.task.exception()):
            _logger.error(
                "send_queue_failed", extra={"connection_id": queue.connection_id, "error": type(error).__name__}
            )
        queue.task.cancel()
