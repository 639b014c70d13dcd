"""What asynchronous code gets from outside: time, randomness, threads for blocking calls, and the limits.

On AWS these are the real ones (`wiring.py`); a simulation brings its own and decides every interleaving.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from agentsocket.limits import Limits


class Runtime(Struct, frozen=True):
    """`clock` in seconds since the epoch; `sleep` takes seconds; `offload(f, *args, **kwargs)` runs a blocking `f`."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    uniform: Callable[[float, float], float]
    offload: Callable[..., Awaitable[Any]]
    limits: Limits
