"""An event loop for one simulated world: time jumps to the next timer; nothing is waited for, and no sockets are made.

It runs nothing but what the simulation schedules: the same calls in the same order, every time.
"""

from __future__ import annotations

import asyncio
from typing import Any

_ROUNDS = 2_000_000


class Deadlock(Exception):
    """Nothing is scheduled any more, or nothing comes to rest, and the story is not over."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Time is in seconds from 0."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._selector = _Timers(self)

    def time(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

    def finish(self) -> None:
        """Cancel what is left, and close."""
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        if left:
            self.run_until_complete(asyncio.wait(left, timeout=1.0))
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    def _process_events(self, event_list: Any) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody else could wake it."""


class _Timers:
    """Where other loops wait for sockets, this one makes the next timer due."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._rounds = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing is scheduled, and the story is not over")
        self._rounds += 1
        if self._rounds > _ROUNDS:
            raise Deadlock(f"after {_ROUNDS} rounds nothing has come to rest")
        if timeout > 0:
            self._loop.advance(timeout)
        return []
