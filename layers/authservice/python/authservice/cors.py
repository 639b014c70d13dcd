"""Cross-origin rules (Fetch, section 3.2): which headers tell a browser that a page may read an answer. Pure.

Only listed origins are ever named, each by itself: never `*`, and never an origin that was merely sent.
"""

from __future__ import annotations

from collections.abc import Collection

_REQUEST_HEADERS = "Authorization, Content-Type"
_READABLE_HEADERS = "Retry-After, WWW-Authenticate"


def headers(origin: str, *, allowed: Collection[str]) -> dict[str, str]:
    """What every answer carries, refusals too. `Vary` stands always, since a cache may hold either form."""
    if origin not in allowed:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _READABLE_HEADERS,
    }


def preflight(origin: str, *, allowed: Collection[str], methods: Collection[str], max_age_s: int) -> dict[str, str]:
    """The answer to OPTIONS on a path that has `methods`; a foreign origin learns nothing from it."""
    answer = headers(origin, allowed=allowed)
    if origin not in allowed:
        return answer
    permission = {
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(max_age_s),
    }
    return answer | permission
