"""Cross-origin requests of web pages (WHATWG Fetch, CORS protocol): which headers an answer carries. Pure.

Listed origins only, each named by itself: no wildcard, and a refused origin is not repeated. `Vary` stands on every
answer, since a cache must not hand one page's answer to another.
"""

from __future__ import annotations

from collections.abc import Collection

_MAX_AGE_S = 600  # browsers differ in what they accept; all accept this


def headers(origin: str | None, *, origins: Collection[str]) -> dict[str, str]:
    """What any answer to a request from `origin` carries; None when the request names none."""
    if origin is None or origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}


def preflight(origin: str | None, *, origins: Collection[str], methods: Collection[str]) -> dict[str, str]:
    """What the answer to a preflight carries; `methods` are those of the path asked about."""
    allowed = headers(origin, origins=origins)
    if "Access-Control-Allow-Origin" not in allowed:
        return allowed
    return {
        **allowed,
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
        "Access-Control-Max-Age": str(_MAX_AGE_S),
    }
