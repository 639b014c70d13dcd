"""What reaches the system from outside, as values: made by `edge.py` from Lambda events, read by everything else.

And what HTTP gets back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentsocket.principal import Principal


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The WebSocket upgrade request: header names in lower case, each with all its values; the query's likewise."""

    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def subprotocols(self) -> list[str]:
        """What the client lists in Sec-WebSocket-Protocol, in its order."""
        return [name.strip() for value in self.headers.get("sec-websocket-protocol", ()) for name in value.split(",")]


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """An event of one connection: the user as the authorizer knew it, and a frame's text or the upgrade's headers."""

    principal: Principal
    connection_id: str
    body: str = ""
    upgrade: Upgrade = field(default_factory=Upgrade)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request of the HTTP API: header names in lower case; of several values of one name, the joined ones."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What is answered: `body` becomes JSON; None is an answer without one."""

    status: int
    body: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What travels through the run queue: references only, never a token or a text.

    `retry` marks the copy that a closing delivery puts into the dead-letter queue: redriven, it is a new run.
    """

    user: str
    thread_id: str
    run_id: str
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deleted thread, on its way through the run queue to be swept; `command_id` says which command deleted it."""

    user: str
    thread_id: str
    command_id: str


@dataclass(frozen=True, slots=True)
class Check:
    """What travels through the control queue from us to us: look at this connection, for the `number`-th time."""

    user: str
    connection_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """What the auth service says: tokens issued up to `not_before` (seconds) are dead, of `session` or of all."""

    issuer: str
    subject: str
    session: str
    not_before: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A received request of the run queue, with the handle by which the queue knows this receipt."""

    request: RunRequest | Deletion
    receipt_handle: str
