"""Every error this package raises, as one tree.

A `CommandError` may be told to a client, word for word: its code is on the wire (protocol.md, Error codes) and its
message is written for the person at the other end. Everything else is `internal` outside and stays in the log.
"""

from __future__ import annotations

from typing import Any


class AgentSocketError(Exception):
    """The root: whatever this package raises on purpose."""


class SettingsError(AgentSocketError):
    """The environment is missing something or contradicts itself; the message names the variable."""


COMMAND_ID = "command_id"  # as an error's field: the id that the client gave its command


class CommandError(AgentSocketError):
    """Something the client may know, and how it should react.

    `temporary` says that the same command may succeed later; `field` names the command's field that is wrong, such as
    `content`, or COMMAND_ID: where it is in a frame or request is the channel's to say. `retry_after_ms` is a wait.
    """

    code = "internal"
    temporary = False

    def __init__(self, message: str, *, field: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms


class BadRequest(CommandError):
    """The frame breaks the protocol; `field` names where."""

    code = "bad_request"


class UnknownType(CommandError):
    """A command this server does not have."""

    code = "unknown_type"


class TooLarge(CommandError):
    """More bytes than a limit allows."""

    code = "too_large"


class Unauthorized(CommandError):
    """A token that is not accepted."""

    code = "unauthorized"


class Forbidden(CommandError):
    """A good token, for something else."""

    code = "forbidden"


class NotFound(CommandError):
    """No such thing, or not this user's: the two are never told apart."""

    code = "not_found"


class RateLimited(CommandError):
    """More commands than a user may send; `retry_after_ms` says when there is room again."""

    code = "rate_limited"
    temporary = True


class NotStoppable(CommandError):
    """A run that has ended."""

    code = "not_stoppable"


class IdempotencyConflict(CommandError):
    """A known `message_id` with other content."""

    code = "idempotency_conflict"


class VersionConflict(CommandError):
    """What was to be changed has been changed meanwhile: load it again."""

    code = "version_conflict"


class Busy(CommandError):
    """The user has as much of this under way as one user may; later there is room again."""

    code = "busy"
    temporary = True


class Unavailable(CommandError):
    """A dependency did not answer in time; the same command may succeed later.

    `cause` is for the log, which gets both: hosts, services and their codes are nothing for a client.
    """

    code = "unavailable"
    temporary = True

    def __init__(self, message: str, *, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.message} ({self.cause})" if self.cause else self.message


class Internal(CommandError):
    """What a client hears of an error of ours: that there was one."""

    code = "internal"
    temporary = True

    def __init__(self) -> None:
        super().__init__("internal error of the server; send the command again")


class TokenRejected(AgentSocketError):
    """A token that must not open a connection. The reason is for the log; the client hears 403 and no more."""


class NoToken(AgentSocketError):
    """No token came with the request: 401."""


# Every way in which the server ends a connection (protocol.md, Disconnect codes): whether the client should come back,
# and what it is told. A client library that knows a code goes by the code; one that does not, by `reconnect`.
DISCONNECTS: dict[str, tuple[bool, str]] = {
    "connection_age": (True, "the connection is close to API Gateway's limit of 2 hours: reconnect"),
    "no_connection": (True, "the server does not know this connection any more: reconnect"),
    "rate_limited": (True, "too many commands on this connection: reconnect later"),
    "shutdown": (True, "the server is going away: reconnect"),
    "slow_consumer": (True, "the connection does not keep up with its events: reconnect and resume"),
    "token_expired": (True, "the token has expired: reconnect with a new one"),
    "bad_request": (False, "no hello arrived in time: send hello as soon as the connection is open"),
    "connection_limit": (False, "a newer connection of this user took this one's place: close one that is not needed"),
    "revoked": (False, "this sign-in was revoked: sign in again"),
    "unauthorized": (False, "the token is not accepted: sign in again"),
}


class Disconnect(AgentSocketError):
    """The connection ends: the client gets a `disconnect` frame with this code, then the socket is closed.

    `code` is one of DISCONNECTS, which has the rest.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.reconnect, self.reason = DISCONNECTS[code]
        super().__init__(self.reason)


class LeaseHeld(AgentSocketError):
    """Another worker writes this thread; its lease runs `remaining_s` seconds more unless renewed."""

    def __init__(self, remaining_s: float) -> None:
        super().__init__(f"another worker holds the lease for {remaining_s:.1f} s")
        self.remaining_s = remaining_s


class LeaseLost(AgentSocketError):
    """This worker may not write this thread any more."""


class RunOver(LeaseLost):
    """The run was ended by another worker."""


class ThreadDeleted(AgentSocketError):
    """The thread of a run has been deleted: the run ends without a word."""


class TooManyRuns(AgentSocketError):
    """The user has as many runs under way as one user may: this one has to wait."""


class RunUnfinished(AgentSocketError):
    """The run is not terminal: its queue record must come again."""


class ConditionFailed(AgentSocketError):
    """A conditional write found `row` in its way; None when there was no row."""

    def __init__(self, row: dict[str, Any] | None) -> None:
        super().__init__("the condition of a write does not hold")
        self.row = row


class TransactionCancelled(AgentSocketError):
    """None of a transaction's writes happened. Why is found by reading, since the rows may have moved on."""
