"""What comes in and goes out, as values: `decorators.py` makes them from Lambda events, all else uses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, section 5.1


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: header names in lower case, and the body as it was on the wire."""

    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; an empty body has no content type."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


Endpoint = Callable[[Request], Response]
Routes = Mapping[str, Mapping[str, Endpoint]]


def json_response(
    content: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON response that nobody caches, unless `headers` say otherwise."""
    json_type = {"Content-Type": "application/json"}
    body = json.dumps(content, separators=(",", ":"))
    return Response(status, {**json_type, **(NO_STORE if headers is None else headers)}, body)


def public_response(body: str, *, max_age_s: int) -> Response:
    """JSON text that anybody may cache for a while."""
    headers = {"Content-Type": "application/json", "Cache-Control": f"public, max-age={max_age_s}"}
    return Response(200, headers, body)


def empty_response(status: int) -> Response:
    """A response without content."""
    return Response(status, NO_STORE)
