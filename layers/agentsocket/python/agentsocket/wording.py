"""Phrases that error texts share: sizes with their limit, waits, and what was sent, quoted safely. Pure."""

from __future__ import annotations

import math

MAX_QUOTED = 64  # characters of what a client sent, in a text that goes back to it
_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


def too_large(what: str, size: int, limit: int, unit: str = "bytes") -> str:
    """`what` has a `size` above the `limit`, both in `unit`s."""
    return f"{what} is {size:,} {unit}; the limit is {limit:,}"


def retry(wait_ms: int) -> str:
    """When to try again: rounded up, so that who follows the text is never early."""
    if wait_ms <= 2 * _MINUTE_MS:
        return f"retry after {math.ceil(wait_ms / 1000):,} s"
    if wait_ms <= 2 * _HOUR_MS:
        return f"retry after {math.ceil(wait_ms / _MINUTE_MS)} min"
    return f"retry after {math.ceil(wait_ms / _HOUR_MS)} h"


def fault(error: Exception) -> str:
    """What an AWS client's error comes to in one word for the log: the service's code, or the error's type."""
    response: dict[str, dict[str, str]] = getattr(error, "response", None) or {}
    return response.get("Error", {}).get("Code", "") or type(error).__name__


def quoted(name: str) -> str:
    """A name that a client sent, on one line and cut; for names only, since a value may be a secret."""
    start = "".join(_shown(character) for character in name[:MAX_QUOTED])
    return start + "…" * (len(name) > MAX_QUOTED)


def _shown(character: str) -> str:
    """Quotation marks would end the quotation, and what is not printable may do anything to a terminal."""
    return character if character.isprintable() and character not in '`"\\' else "?"
