"""Cross-origin requests of web pages (WHATWG Fetch, section 3.2): which headers a response carries. Pure.

Listed origins only, each named by itself: no wildcard, and a refused origin is not repeated. `Vary` stands on every
response, since a cache must not hand one page's response to another.
"""

from __future__ import annotations

from collections.abc import Collection


def headers(origin: str | None, *, origins: Collection[str], readable: str = "") -> dict[str, str]:
    """What any response to a request from `origin` carries, refusals too; None when the request names no origin.

    `readable` lists the headers that a page may read besides those that it always may.
    """
    if origin is None or origin not in origins:
        return {"Vary": "Origin"}
    allowed = {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
    return {**allowed, "Access-Control-Expose-Headers": readable} if readable else allowed


def preflight(
    origin: str | None,
    *,
    origins: Collection[str],
    methods: Collection[str],
    request_headers: str,
    max_age_s: int,
    readable: str = "",
) -> dict[str, str]:
    """What the response to a preflight carries; `methods` are those of the path asked about.

    A foreign origin learns nothing from it.
    """
    allowed = headers(origin, origins=origins, readable=readable)
    if "Access-Control-Allow-Origin" not in allowed:
        return allowed
    return {
        **allowed,
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
        "Access-Control-Allow-Headers": request_headers,
        "Access-Control-Max-Age": str(max_age_s),
    }
