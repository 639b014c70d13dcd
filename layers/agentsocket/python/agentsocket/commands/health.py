"""Whether the service is well, as one object for both channels (protocol.md, get_health and GET /health)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from agentsocket import __version__
from agentsocket.errors import Unavailable
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.messages import Dependency

if TYPE_CHECKING:
    from agentsocket.storage.table import Clock

State = Literal["ok", "degraded", "down"]
Look = Callable[[], State | None]  # None is well, too; raises Unavailable when it is down
_BY_BADNESS: list[State] = ["ok", "degraded", "down"]


def check(dependencies: Mapping[str, Look], *, now: Clock) -> protocol.Health:
    """Look at each; the whole is as bad as its worst part. Says how long an answer took, and no more."""
    found = {name: _looked(look, now) for name, look in dependencies.items()}
    worst = max((dependency.status for dependency in found.values()), key=_BY_BADNESS.index)
    return protocol.Health(status=worst, dependencies=found, version=__version__)


def _looked(look: Look, now: Clock) -> Dependency:
    begun = now()
    try:
        state = look()
    except Unavailable:
        return Dependency(status="down")
    latency_ms = max(0, int((now() - begun) * 1000))
    return Dependency(status=state or "ok", latency_ms=latency_ms)
