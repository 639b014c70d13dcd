"""An event loop whose time passes at once: twenty seconds of an agent's pauses take the processor's time and no more.

Timers run in the order and at the moments they were set for, so that what depends on them is decided as in real time.
What blocks a thread is not seen by it; a loop that waits for something other than a timer has hung, and says so.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time, in seconds from 0, jumps to the next timer whenever nothing is ready."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._elapsed

    def jump(self, seconds: float) -> None:
        self._elapsed += seconds


class _Jumping(selectors.SelectSelector):
    """Instead of waiting until the next timer is due, it makes it due."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is due any more, and the program has not ended")
        self._loop.jump(max(0.0, timeout))
        return super().select(0)
