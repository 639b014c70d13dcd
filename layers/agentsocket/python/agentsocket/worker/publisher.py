"""One attempt's events on their way out: coalesced, appended to the log, then pushed. Append first, always.

Text deltas are gathered: the first goes out at once, then every 100 ms for a second, then every 250 ms; also at 24 KB,
before any other event, and at the end (architecture.md, Coalescing).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import UNSET

from agentsocket import encoded_text
from agentsocket.limits import Limits
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.messages import Payload
from agentsocket.runtime import Runtime
from agentsocket.storage.long_texts import Line
from agentsocket.storage.rows import LogEvent, Run
from agentsocket.storage.run_states import Outcome
from agentsocket.storage.thread_log import Lease, LeaseGrant, ThreadLog
from agentsocket.worker.fan_out import FanOut

Spawn = Callable[..., "asyncio.Task[None]"]


def flush_interval_s(age_s: float, limits: Limits) -> float:
    """How long to gather text, `age_s` seconds after the first of it went out."""
    fast = age_s * 1000 < limits.flush_fast_for_ms
    return (limits.flush_fast_ms if fast else limits.flush_slow_ms) / 1000


class Publisher:
    """The one writer of an attempt. `spawn` starts a task whose failure ends the attempt."""

    def __init__(
        self,
        run: Run,
        lease: Lease,
        log: ThreadLog,
        subscribers: FanOut,
        *,
        agent_name: str,
        spawn: Spawn,
        runtime: Runtime,
    ) -> None:
        self._run = run
        self._lease = lease
        self._log = log
        self._subscribers = subscribers
        self._agent: dict[str, Any] = {"agent_name": agent_name, "agent_id": f"{lease.run_id}.{lease.attempt}"}
        self._spawn = spawn
        self._runtime = runtime
        self._limits = runtime.limits
        self._writing = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._pending: list[str] = []
        self._sent: list[str] = []
        self._first_flush_at: float | None = None
        self._next_flush_at = 0.0
        self._made = 0
        self._last_ms = 0
        self._started_at = runtime.clock()
        self.top = 0

    @property
    def message_id(self) -> str:
        """The answer's id: an attempt of its own gets a new one."""
        return f"{self._run.run_id}.{self._lease.attempt}"

    async def start(self, taken: LeaseGrant, earlier: Sequence[LogEvent]) -> None:
        """Begin the attempt at the tail. `earlier` are the run's events of attempts before it, for who missed them."""
        opening: list[Payload] = [protocol.AgentStarted(**self._agent, attempt=self._lease.attempt)]
        question = Line(self._run.message_id, "user", self._run.content, truncated=self._run.truncated)
        if not self._run.attempts:
            opening.insert(0, self._question())
        build = self._several(opening)
        first = await self._runtime.offload(
            self._log.start,
            self._run,
            self._lease,
            build,
            seq=taken.top + 1,
            question=question,
            fresh=taken.fresh,
        )
        self._subscribers.offer(earlier)
        self._written(build(first))

    async def event(self, payload_of: type[Payload], **fields: object) -> None:
        """Publish one event of this agent, after the text that came before it."""
        async with self._writing:
            await self._flush()
            await self._append(payload_of(**self._agent, **fields))

    async def text(self, delta: str) -> None:
        """Add to the answer; it goes out now or within 250 ms."""
        self._pending.append(delta)
        now = self._runtime.clock()
        if now >= self._next_flush_at or sum(map(len, self._pending)) >= self._limits.inline_content_bytes:
            await self.flush()
        elif self._timer is None:
            self._timer = self._spawn(self._flush_after(self._next_flush_at - now))

    async def flush(self) -> None:
        """Send the gathered text."""
        async with self._writing:
            await self._flush()

    async def finish(
        self, outcome: Outcome, report: protocol.FinalReport | None, usage: Mapping[str, int] | None = None
    ) -> None:
        """Complete the text, then end the run in one transaction; `usage` is what its models wrote and cost."""
        async with self._writing:
            await self._flush(is_complete=outcome == "success")
            duration = int((self._runtime.clock() - self._started_at) * 1000)
            used = UNSET if usage is None else dict(usage)
            completed = protocol.AgentCompleted(**self._agent, outcome=outcome, duration_ms=duration, usage=used)
            ending: list[Payload] = [completed]
            answer = "".join(self._sent)
            if report is not None:
                ending.append(self._summed_up(report, answer))
            build = self._several(ending)
            line = Line(self.message_id, "assistant", answer) if report is not None else None
            first = await self._runtime.offload(
                self._log.finish, self._lease, build, seq=self.top + 1, outcome=outcome, answer=line
            )
            self._written(build(first))
            if self._timer is not None:
                self._timer.cancel()

    def _question(self) -> protocol.UserMessage:
        run = self._run
        if not run.truncated:
            return protocol.UserMessage(message_id=run.message_id, content=run.content)
        return protocol.UserMessage(
            message_id=run.message_id,
            content=run.content,
            bytes=run.content_bytes,
            sha256=run.sha256,
            truncated=True,
        )

    def _summed_up(self, report: protocol.FinalReport, answer: str) -> protocol.FinalReport:
        report.total_duration_ms = int(self._runtime.clock() * 1000) - self._run.accepted_at
        report.content = answer
        if encoded_text.encoded_bytes(answer) > self._limits.inline_content_bytes:
            report.content = encoded_text.preview(answer, self._limits.preview_bytes)
            report.bytes, report.sha256, report.truncated = len(answer.encode()), encoded_text.sha256(answer), True
        return report

    async def _flush_after(self, delay: float) -> None:
        await self._runtime.sleep(delay)
        self._timer = None
        await self.flush()

    async def _flush(self, *, is_complete: bool = False) -> None:
        text, self._pending = "".join(self._pending), []
        if not text and not (is_complete and self._sent):
            return
        now = self._runtime.clock()
        self._first_flush_at = self._first_flush_at if self._first_flush_at is not None else now
        # Before the appends: text that comes while they are under way waits for the next flush.
        self._next_flush_at = now + flush_interval_s(now - self._first_flush_at, self._limits)
        parts = encoded_text.pieces(text, self._limits.inline_content_bytes)
        for index, part in enumerate(parts):
            await self._append(self._partial(part, is_complete=is_complete and index == len(parts) - 1))
            self._sent.append(part)
        # And again from their end: into a slow log go fewer and larger writes, never one for each token.
        written = self._runtime.clock()
        self._next_flush_at = written + flush_interval_s(written - self._first_flush_at, self._limits)

    def _partial(self, text: str, *, is_complete: bool) -> protocol.PartialResult:
        offset = sum(map(len, self._sent))
        return protocol.PartialResult(
            **self._agent, message_id=self.message_id, offset=offset, content=text, is_complete=is_complete
        )

    async def _append(self, payload: Payload) -> None:
        build = self._several([payload])
        event = await self._runtime.offload(self._log.append, self._lease, lambda seq: build(seq)[0], seq=self.top + 1)
        self._written([event])
        await asyncio.sleep(0)  # its posts begin before the next append does

    def _written(self, events: Sequence[LogEvent]) -> None:
        self.top = events[-1].seq
        self._subscribers.offer(events)

    def _several(self, payloads: Sequence[Payload]) -> Callable[[int], list[LogEvent]]:
        """The events of these payloads at consecutive seqs; only the seq may still change."""
        self._last_ms = max(self._last_ms, int(self._runtime.clock() * 1000))
        stamped = [(f"{self.message_id}.{self._made + index}", payload) for index, payload in enumerate(payloads)]
        self._made += len(stamped)
        now = self._last_ms / 1000
        return lambda seq: [self._logged(event_id, p, now, seq + index) for index, (event_id, p) in enumerate(stamped)]

    def _logged(self, event_id: str, payload: Payload, now: float, seq: int) -> LogEvent:
        frame = frames.frame(
            payload, frame_id=event_id, now=now, thread_id=self._run.thread_id, run_id=self._run.run_id, seq=seq
        )
        return LogEvent(seq, event_id, self._run.run_id, self._lease.attempt, frame.encode())
