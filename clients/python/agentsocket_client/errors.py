"""What can go wrong, one class per reason. No text here ever holds a token."""

from __future__ import annotations

from typing import Any

_REFUSALS = {
    401: "the server wants a token (HTTP 401)",
    403: "the server refused the connection (HTTP 403): check the URL's path, then the token, its issuer and audience",
}


class AgentSocketError(Exception):
    """The root of everything this package raises on purpose."""


class Refused(AgentSocketError):
    """The upgrade was answered with an HTTP `status` that trying again will not change."""

    def __init__(self, status: int) -> None:
        super().__init__(_REFUSALS.get(status, f"the server refused the connection (HTTP {status}): check the address"))
        self.status = status


class WrongProtocol(AgentSocketError):
    """Whatever answered does not speak the subprotocol agentsocket.v1."""


class Disconnected(AgentSocketError):
    """The server ended the connection for good; `code` is one of protocol.md's final disconnect or error codes."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason


class CommandFailed(AgentSocketError):
    """A command was answered with an error frame, or could not be sent (`too_large`).

    `field` names the part of the frame to blame; with `temporary` the same command may succeed later, not before
    `retry_after_ms`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        field: str | None = None,
        temporary: bool = False,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field
        self.temporary = temporary
        self.retry_after_ms = retry_after_ms

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> CommandFailed:
        """What the payload of an error frame says."""
        return cls(
            str(payload.get("code")),
            str(payload.get("message", "")),
            payload.get("field"),
            bool(payload.get("temporary")),
            payload.get("retry_after_ms"),
        )


class Damaged(AgentSocketError):
    """A text that was read in pages is not what the server says it is."""


class ClientClosed(AgentSocketError):
    """The client was used after its `async with` block had ended, or before it began."""


class ConnectionLost(AgentSocketError):
    """The connection is lost or could not be made, and it is worth trying again. Never reaches a caller.

    `close_code` is the server's, if it sent one.
    """

    def __init__(self, reason: str, *, retry_after_s: float = 0.0, close_code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.close_code = close_code
