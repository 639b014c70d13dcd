"""The agents a client may name. A name from this map, never a dotted path (security.md, Agents)."""

from __future__ import annotations

from collections.abc import Callable

from agentsocket.agents.contract import Agent

DEFAULT = "usage_analyst"


def _usage_analyst() -> Agent:
    from agentsocket.agents.usage_analyst import UsageAnalyst

    return UsageAnalyst()


# Each is imported when first run: the Message function needs the names only.
AGENTS: dict[str, Callable[[], Agent]] = {DEFAULT: _usage_analyst}
