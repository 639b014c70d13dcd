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
from agentsocket.protocol import frames, messages
from agentsocket.protocol.messages import Payload
from agentsocket.storage.long_texts import Line
from agentsocket.storage.rows import LogEvent
from agentsocket.storage.run_states import Outcome
from agentsocket.storage.thread_log import LeaseGrant
from agentsocket.worker.fan_out import FanOut
from agentsocket.worker.job import RunJob

Spawn = Callable[..., "asyncio.Task[None]"]


def flush_interval_s(age_s: float, limits: Limits) -> float:
    """How long to gather text, `age_s` seconds after the first of it went out."""
    fast = age_s * 1000 < limits.flush_fast_for_ms
    return (limits.flush_fast_ms if fast else limits.flush_slow_ms) / 1000


class Publisher:
    """The one writer of an attempt. `spawn` starts a task whose failure ends the attempt."""

    def __init__(self, job: RunJob, fan_out: FanOut, *, spawn: Spawn) -> None:
        self._job = job
        self._log = job.log
        self._fan_out = fan_out
        self._agent: dict[str, Any] = {"agent_name": job.agent_name, "agent_id": job.message_id}
        self._spawn = spawn
        self._runtime = job.runtime
        self._limits = job.limits
        self._writing = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._pending: list[str] = []
        self._sent: list[str] = []
        self._first_flush_at: float | None = None
        self._next_flush_at = 0.0
        self._made = 0
        self._last_ms = 0
        self._started_at = job.runtime.clock()
        self.top = 0

    async def start(self, grant: LeaseGrant, earlier: Sequence[LogEvent]) -> None:
        """Begin the attempt at the log's tail. `earlier` are the events of the run's attempts before it."""
        run, lease = self._job.run, self._job.lease
        opening: list[Payload] = [messages.AgentStarted(**self._agent, attempt=lease.attempt)]
        question = Line(run.message_id, "user", run.content, truncated=run.truncated)
        if not run.attempts:
            opening.insert(0, self._question())
        build = self._events(opening)
        first = await self._runtime.offload(
            self._log.start, run, lease, build, seq=grant.top + 1, question=question, fresh=grant.fresh
        )
        self._fan_out.offer(earlier)
        self._written(build(first))

    async def event(self, payload_of: type[Payload], **fields: object) -> None:
        """Publish one event of this agent, after the text that came before it."""
        async with self._writing:
            await self._flush()
            await self._append(payload_of(**self._agent, **fields))

    async def text(self, delta: str) -> None:
        """Add to the agent's text; it goes out now or within 250 ms."""
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
        self, outcome: Outcome, report: messages.FinalReport | None, usage: Mapping[str, int] | None = None
    ) -> None:
        """Complete the text, then end the run in one transaction; `usage` is what its models wrote and cost."""
        async with self._writing:
            await self._flush(is_complete=outcome == "success")
            duration = int((self._runtime.clock() - self._started_at) * 1000)
            used = UNSET if usage is None else dict(usage)
            completed = messages.AgentCompleted(**self._agent, outcome=outcome, duration_ms=duration, usage=used)
            ending: list[Payload] = [completed]
            text = "".join(self._sent)
            if report is not None:
                ending.append(self._with_text(report, text))
            build = self._events(ending)
            line = Line(self._job.message_id, "assistant", text) if report is not None else None
            first = await self._runtime.offload(
                self._log.finish, self._job.lease, build, seq=self.top + 1, outcome=outcome, answer=line
            )
            self._written(build(first))
            if self._timer is not None:
                self._timer.cancel()

    def _question(self) -> messages.UserMessage:
        run = self._job.run
        if not run.truncated:
            return messages.UserMessage(message_id=run.message_id, content=run.content)
        return messages.UserMessage(
            message_id=run.message_id,
            content=run.content,
            bytes=run.content_bytes,
            sha256=run.sha256,
            truncated=True,
        )

    def _with_text(self, report: messages.FinalReport, text: str) -> messages.FinalReport:
        report.total_duration_ms = int(self._runtime.clock() * 1000) - self._job.run.accepted_at
        report.content = text
        if encoded_text.encoded_bytes(text) > self._limits.inline_content_bytes:
            report.content = encoded_text.preview(text, self._limits.preview_bytes)
            report.bytes, report.sha256, report.truncated = len(text.encode()), encoded_text.sha256(text), True
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
        # Before the appends: text that comes during them waits for the next flush.
        self._next_flush_at = now + flush_interval_s(now - self._first_flush_at, self._limits)
        parts = encoded_text.pieces(text, self._limits.inline_content_bytes)
        for index, part in enumerate(parts):
            await self._append(self._partial(part, is_complete=is_complete and index == len(parts) - 1))
            self._sent.append(part)
        # And again after them: a slow log gets fewer and larger writes, never one for each token.
        written = self._runtime.clock()
        self._next_flush_at = written + flush_interval_s(written - self._first_flush_at, self._limits)

    def _partial(self, text: str, *, is_complete: bool) -> messages.PartialResult:
        offset = sum(map(len, self._sent))
        return messages.PartialResult(
            **self._agent, message_id=self._job.message_id, offset=offset, content=text, is_complete=is_complete
        )

    async def _append(self, payload: Payload) -> None:
        build, lease = self._events([payload]), self._job.lease
        event = await self._runtime.offload(self._log.append, lease, lambda seq: build(seq)[0], seq=self.top + 1)
        self._written([event])
        await asyncio.sleep(0)  # its posts begin before the next append does

    def _written(self, events: Sequence[LogEvent]) -> None:
        self.top = events[-1].seq
        self._fan_out.offer(events)

    def _events(self, payloads: Sequence[Payload]) -> Callable[[int], list[LogEvent]]:
        """The events of these payloads at consecutive seqs; only the seq may still change."""
        self._last_ms = max(self._last_ms, int(self._runtime.clock() * 1000))
        stamped = [(f"{self._job.message_id}.{self._made + index}", payload) for index, payload in enumerate(payloads)]
        self._made += len(stamped)
        now = self._last_ms / 1000
        return lambda seq: [self._logged(event_id, p, now, seq + index) for index, (event_id, p) in enumerate(stamped)]

    def _logged(self, event_id: str, payload: Payload, now: float, seq: int) -> LogEvent:
        run = self._job.run
        frame = frames.frame(payload, frame_id=event_id, now=now, thread_id=run.thread_id, run_id=run.run_id, seq=seq)
        return LogEvent(seq, event_id, run.run_id, self._job.lease.attempt, frame.encode())
