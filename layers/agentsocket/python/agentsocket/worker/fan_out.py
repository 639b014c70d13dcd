"""From a run's events to the sockets that follow its thread: one lane per connection, each at its own pace.

A lane has one post in flight and keeps its own position; a slow or dead connection delays no other. One that falls
behind what is kept in memory is told to come back: a replay serves it better. A push that fails is a late event, not a
lost one: the log has it, and a client that notices asks again. Who is subscribed is read from the user's connection
rows; a worker takes a cursor from there once per subscription (delivery.md, Cursors).
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from agentsocket.aws.management_api import Delivery, ManagementApi, disconnect
from agentsocket.errors import Disconnect
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.runtime import Runtime
from agentsocket.storage import keys
from agentsocket.storage.rows import Connection, LogEvent, Run, UserActivity
from agentsocket.storage.user import UserStorage

_STEEPEST = 16  # doublings of a wait; beyond any cap
_SENDER = "sender"  # the generation of who sent the message without following the thread
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

    def __init__(
        self,
        run: Run,
        user: UserStorage,
        management_api: ManagementApi,
        runtime: Runtime,
    ) -> None:
        self._run = run
        self._user = user
        self._management_api = management_api
        self._runtime = runtime
        self._limits = runtime.limits
        self._tail: list[LogEvent] = []
        self._floor = 0  # the last seq that the tail has dropped
        self._spoke_at: float | None = None
        self._lanes: dict[str, _SendQueue] = {}
        self._left: set[str] = set()
        # Fewer than the threads there are: hanging sockets must not keep appends and renewals waiting.
        self._posting = asyncio.Semaphore(runtime.limits.posts_at_once)
        self._ending = False

    def offer(self, events: Iterable[LogEvent]) -> None:
        """Hand over events that are in the log, in order."""
        self._tail.extend(events)
        dropped = self._tail[: -self._limits.tail_max_events]
        if dropped:
            self._floor = dropped[-1].seq
            del self._tail[: len(dropped)]
        self._spoke_at = self._runtime.clock()
        for lane in self._lanes.values():
            lane.changed.set()

    def beat(self) -> None:
        """Tell everyone that the run goes on, if it has begun and has had nothing to say for 15 s."""
        now = self._runtime.clock()
        if self._spoke_at is None or now - self._spoke_at < self._limits.heartbeat_s:
            return
        self._spoke_at = now
        heartbeat = protocol.Heartbeat(run_id=self._run.run_id)
        frame_id = keys.ulid(now, os.urandom(10))
        frame = frames.frame(heartbeat, frame_id=frame_id, now=now, thread_id=self._run.thread_id)
        for lane in self._lanes.values():
            lane.heartbeat = frame.encode()
            lane.changed.set()

    async def look(self) -> UserActivity:
        """Read who is connected and subscribed now: new ones get the tail, gone and revoked ones nothing more."""
        live: UserActivity = await self._runtime.offload(self._user.connections.live)
        deleted = self._run.thread_id in live.deleted
        listening = [c for c in live.connections if c.live and not live.revoked(c) and not deleted]
        following = {c.connection_id: c for c in listening if self._generation(c)}
        for connection_id in [name for name in self._lanes if name not in following]:
            self._left.add(connection_id)
            self._end(self._lanes.pop(connection_id))
        for connection in following.values():
            self._follow(connection)
        return live

    async def finish(self) -> None:
        """A last look, then wait until every lane has sent the tail, a few seconds at most."""
        await self.look()
        self._ending = True
        for lane in self._lanes.values():
            lane.changed.set()
        tasks = [lane.task for lane in self._lanes.values() if lane.task]
        if tasks:
            await asyncio.wait(tasks, timeout=self._limits.drain_s)
        self.abandon()

    def abandon(self) -> None:
        """Stop all lanes where they are."""
        for lane in self._lanes.values():
            self._end(lane)
        self._lanes.clear()

    def _generation(self, connection: Connection) -> str:
        subscription = connection.subscriptions.get(self._run.thread_id)
        if subscription:
            return subscription.generation
        is_sender = connection.connection_id == self._run.connection_id
        return _SENDER if is_sender and not self._has_unsubscribed(connection.connection_id) else ""

    def _has_unsubscribed(self, connection_id: str) -> bool:
        """Whether a connection without a subscription had one: it followed the thread, and asked not to any more."""
        lane = self._lanes.get(connection_id)
        return connection_id in self._left or (lane is not None and lane.generation != _SENDER)

    def _follow(self, connection: Connection) -> None:
        generation = self._generation(connection)
        lane = self._lanes.get(connection.connection_id)
        if lane is None:
            lane = _SendQueue(connection.connection_id)
            self._lanes[connection.connection_id] = lane
        lane.token_exp = connection.token_exp
        if lane.generation != generation:
            # Below the floor there is nothing left to send: the client notices the gap, and asks.
            lane.generation, lane.position = generation, max(self._cursor(connection), self._floor)
            lane.changed.set()
            if lane.task is None or lane.task.done():  # new, or given up on until the client asked again
                self._end(lane)
                lane.task = asyncio.get_running_loop().create_task(self._serve(lane))

    def _cursor(self, connection: Connection) -> int:
        subscription = connection.subscriptions.get(self._run.thread_id)
        return subscription.cursor if subscription else 0  # the sender gets its run from the beginning

    async def _serve(self, lane: _SendQueue) -> None:
        failures = 0
        while lane.position >= self._floor:
            event = self._next(lane.position)
            frame = event.frame if event else lane.heartbeat
            if frame:
                generation = lane.generation
                delivery = await self._post(lane, frame)
                if delivery == "gone":
                    return
                if delivery == "throttled":
                    await self._runtime.sleep(self._runtime.uniform(0, self._backoff_s(failures)))
                    failures = min(failures + 1, _STEEPEST)
                    continue
                failures = 0
                if event is None:
                    lane.heartbeat = b""
                elif lane.generation == generation:
                    lane.position = event.seq
            elif self._ending:
                return
            else:
                lane.changed.clear()
                await lane.changed.wait()
        await self._dismiss(lane)

    def _next(self, position: int) -> LogEvent | None:
        index = bisect.bisect_right(self._tail, position, key=lambda event: event.seq)
        return self._tail[index] if index < len(self._tail) else None

    async def _post(self, lane: _SendQueue, frame: bytes) -> Delivery:
        """Post one frame. `gone`, and forgotten; or its token has expired, and there is nothing to be said to it."""
        if self._runtime.clock() > lane.token_exp + self._limits.token_grace_s:
            return "gone"
        async with self._posting:
            delivery: Delivery = await self._runtime.offload(self._management_api.post, lane.connection_id, frame)
        if delivery == "gone":
            await self._runtime.offload(self._user.connections.forget, lane.connection_id)
        return delivery

    def _backoff_s(self, failures: int) -> float:
        return min(self._limits.post_backoff_cap_ms, self._limits.post_backoff_ms * 2.0**failures) / 1000

    async def _dismiss(self, lane: _SendQueue) -> None:
        """End a connection that does not keep up: its client resumes on another, from the log."""
        _logger.info("slow_consumer_disconnected", extra={"connection_id": lane.connection_id})
        async with self._posting:
            why, now = Disconnect("slow_consumer"), self._runtime.clock()
            ended: Delivery = await self._runtime.offload(
                disconnect, self._management_api, lane.connection_id, why, now=now
            )
        if ended != "throttled":  # forgotten while it is open, nobody would watch it
            await self._runtime.offload(self._user.connections.forget, lane.connection_id)

    def _end(self, lane: _SendQueue) -> None:
        if lane.task is None:
            return
        if lane.task.done() and not lane.task.cancelled() and (error := lane.task.exception()):
            _logger.error(
                "send_queue_failed", extra={"connection_id": lane.connection_id, "error": type(error).__name__}
            )
        lane.task.cancel()
