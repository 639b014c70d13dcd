"""What reaches the system from outside, as values: made by `decorators.py` from Lambda events, read by everything else.

And what HTTP gets back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from agentsocket.principal import Principal


class Upgrade(Struct, frozen=True):
    """The WebSocket upgrade request: header names in lower case, each with all its values; the query's likewise."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def subprotocols(self) -> list[str]:
        """What the client lists in Sec-WebSocket-Protocol, in its order."""
        return [name.strip() for value in self.headers.get("sec-websocket-protocol", ()) for name in value.split(",")]


class SocketRequest(Struct, frozen=True):
    """An event of one connection: the user as the authorizer knew it, and a frame's text or the upgrade's headers."""

    principal: Principal
    connection_id: str
    body: str = ""
    upgrade: Upgrade = field(default_factory=Upgrade)


class HttpRequest(Struct, frozen=True):
    """A request of the HTTP API, but for its route: the path's parameters, query, headers, and the body's text.

    Header names are in lower case; of several values of one name it has the joined ones.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class HttpAnswer(Struct, frozen=True):
    """What is answered: `body` becomes JSON; None is an answer without one."""

    status: int
    body: Struct | Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)


class RunRequest(Struct, frozen=True):
    """What travels through the run queue: references only, never a token or a text.

    `retry` marks the copy that a closing delivery puts into the dead-letter queue: redriven, it is a new run.
    """

    user: str
    thread_id: str
    run_id: str
    retry: bool = False


class Deletion(Struct, frozen=True):
    """A deleted thread, on its way through the run queue to be swept; `command_id` says which command deleted it."""

    user: str
    thread_id: str
    command_id: str


class Check(Struct, frozen=True):
    """What travels through the control queue from us to us: look at this connection, for the `number`-th time."""

    user: str
    connection_id: str
    number: int


class Revocation(Struct, frozen=True):
    """What the auth service says: tokens issued up to `not_before` (seconds) are dead, of `session` or of all."""

    issuer: str
    subject: str
    session: str
    not_before: int


class RunRecord(Struct, frozen=True):
    """A received request of the run queue, with the handle by which the queue knows this receipt."""

    request: RunRequest | Deletion
    receipt_handle: str
