"""Waiting for what will happen, generously: a time-out here says that it did not, never that it was slow."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

TIME_FACTOR = float(os.environ.get("TIME_FACTOR", "3"))


async def until(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    """Return when `condition` holds. Raises TimeoutError after `within_s` times TIME_FACTOR."""
    async with asyncio.timeout(within_s * TIME_FACTOR):
        while not condition():  # noqa: ASYNC110 (what is waited for cannot tell)
            await asyncio.sleep(0.01)
