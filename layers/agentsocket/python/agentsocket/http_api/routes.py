"""The paths of the HTTP API, as a table: `api.py` serves it, `resolver.py` finds a request's line, `openapi.py`
describes it.

A route is a command of the wire (protocol.md) under a path and a method. Fields of the command that the path does not
have come from the query, or where there is a body from that; the answer is the command's reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from agentsocket.protocol import messages as protocol
from agentsocket.protocol.messages import ErrorNotice, Payload

IDEMPOTENCY_KEY = "Idempotency-Key"  # draft-ietf-httpapi-idempotency-key-header: here the command's id


class Failure(Payload):
    """Any refusal."""

    error: ErrorNotice


class Route(Struct, frozen=True):
    """A path in OpenAPI's form and a method of it; the command, its reply, and the status that the reply has.

    `open`: no token is asked for. `keyed`: the command may be repeated under its Idempotency-Key.
    """

    method: str
    path: str
    command: type[Payload]
    answer: type[Payload]
    status: int = 200
    open: bool = False
    keyed: bool = False

    @property
    def parameters(self) -> list[str]:
        """The fields that stand in the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def has_body(self) -> bool:
        return self.method in ("PATCH", "POST")


DOCUMENT = "/openapi.json"  # the one path that is no command's
HEALTH = Route("GET", "/health", protocol.GetHealth, protocol.Health, open=True)
ROUTES: Sequence[Route] = (
    HEALTH,
    Route("GET", "/threads", protocol.ListThreads, protocol.ThreadList),
    Route("POST", "/threads", protocol.CreateThread, protocol.ThreadCreated, status=201, keyed=True),
    Route("PATCH", "/threads/{thread_id}", protocol.RenameThread, protocol.ThreadRenamed),
    Route("DELETE", "/threads/{thread_id}", protocol.DeleteThread, protocol.ThreadDeleted, keyed=True),
    Route("GET", "/threads/{thread_id}/messages", protocol.GetThreadHistory, protocol.ThreadHistory),
    Route("GET", "/threads/{thread_id}/content/{message_id}", protocol.GetContent, protocol.Content),
)


def methods() -> Mapping[str, list[str]]:
    """What may be asked of each path."""
    found: dict[str, list[str]] = {DOCUMENT: ["GET"]}
    for route in ROUTES:
        found.setdefault(route.path, []).append(route.method)
    return found
