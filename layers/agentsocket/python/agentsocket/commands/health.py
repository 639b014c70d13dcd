"""Whether the service is well, as one object for both channels (protocol.md, get_health and GET /health)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from agentsocket import __version__
from agentsocket.errors import Unavailable
from agentsocket.protocol import messages
from agentsocket.protocol.messages import Dependency

if TYPE_CHECKING:
    from agentsocket.storage.table import Clock

State = Literal["ok", "degraded", "down"]
Probe = Callable[[], State | None]  # None means ok; raises Unavailable when it is down
_BEST_FIRST: list[State] = ["ok", "degraded", "down"]


def check(dependencies: Mapping[str, Probe], *, now: Clock) -> messages.Health:
    """Probe each dependency; the whole is as bad as its worst part. Tells how long a probe took, and no more."""
    found = {name: _probed(probe, now) for name, probe in dependencies.items()}
    worst = max((dependency.status for dependency in found.values()), key=_BEST_FIRST.index)
    return messages.Health(status=worst, dependencies=found, version=__version__)


def _probed(probe: Probe, now: Clock) -> Dependency:
    begun = now()
    try:
        state = probe()
    except Unavailable:
        return Dependency(status="down")
    latency_ms = max(0, int((now() - begun) * 1000))
    return Dependency(status=state or "ok", latency_ms=latency_ms)
