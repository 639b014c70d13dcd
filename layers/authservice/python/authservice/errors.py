"""Every error this package raises, as one tree.

A `Refusal` may be told to a client: its code and status are those of the RFC named beside it, its text is written for
the person at the other end and never quotes what was sent. Everything else is `server_error` outside.
"""

from __future__ import annotations

from collections.abc import Mapping

REALM = "agentsocket"


class AuthServiceError(Exception):
    """The root: whatever this package raises on purpose."""


class SettingsError(AuthServiceError):
    """The environment is missing something or contradicts itself; the message names the variable."""


class TransactionCancelled(AuthServiceError):
    """None of a transaction's writes happened. Why is found by reading again, since the rows may have moved on."""


class ConditionFailed(AuthServiceError):
    """A conditional write did not happen."""


class PublishingFailed(AuthServiceError):
    """The key set cannot be published; the text is for the operator who deploys."""


class Refusal(AuthServiceError):
    """An answer of RFC 6749, section 5.2: `error` and `error_description` in JSON, with a status.

    The description keeps to the characters that the RFC allows there: ASCII without quotes and backslashes.
    """

    status = 400
    error = "invalid_request"

    def __init__(self, description: str = "") -> None:
        super().__init__(description)
        self.description = description

    def headers(self) -> Mapping[str, str]:
        """What the answer says besides: a challenge, the methods that are there, when to come again."""
        return {}


class InvalidRequest(Refusal):
    """Malformed, incomplete, or with a parameter twice (RFC 6749, section 5.2)."""


class TooLarge(Refusal):
    """A body of more bytes than the limit."""

    status = 413


class InvalidGrant(Refusal):
    """A refresh token or subject token that is not, or not any more, good for tokens.

    One code for both (security.md, Exchange and refresh): RFC 8693 would have `invalid_request` for a bad subject
    token, but to a client both mean the same, namely to sign in again.
    """

    error = "invalid_grant"


class InvalidScope(Refusal):
    """More scope than was granted."""

    error = "invalid_scope"


class InvalidTarget(Refusal):
    """Tokens for another audience than ours (RFC 8693, section 2.2.2)."""

    error = "invalid_target"


class UnsupportedGrantType(Refusal):
    """A grant that this service does not have."""

    error = "unsupported_grant_type"


class UnauthorizedClient(Refusal):
    """A known client, but not for this."""

    error = "unauthorized_client"


class ForbiddenClient(UnauthorizedClient):
    """A known client that may not introspect."""

    status = 403


class InvalidClient(Refusal):
    """An unknown client, a wrong secret, or none."""

    status = 401
    error = "invalid_client"

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'}


class Unauthorized(Refusal):
    """No Bearer token came: 401 that says so and gives no error code (RFC 6750, section 3.1)."""

    status = 401
    error = ""

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer realm="{REALM}"'}


class InvalidToken(Refusal):
    """A Bearer token that is malformed, expired, revoked or for somebody else (RFC 6750, section 3.1)."""

    status = 401
    error = "invalid_token"

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer realm="{REALM}", error="{self.error}"'}


class InsufficientScope(Refusal):
    """A good Bearer token without the scope that this needs (RFC 6750, section 3.1)."""

    status = 403
    error = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        super().__init__(f"the token lacks the scope {scope}, which this endpoint needs")
        self.scope = scope

    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": f'Bearer realm="{REALM}", error="{self.error}", scope="{self.scope}"'}


class NotFound(Refusal):
    """No such path."""

    status = 404
    error = "not_found"


class MethodNotAllowed(Refusal):
    """The path exists, but not for this method."""

    status = 405
    error = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"method is not allowed; this path takes {allowed}")
        self.allowed = allowed

    def headers(self) -> Mapping[str, str]:
        return {"Allow": self.allowed}


class Unavailable(Refusal):
    """The table, the key, the queue or the issuer's keys do not answer; the same request may succeed later.

    `cause` is for the log and the operator, who get both: hosts, services and their codes are nothing for a client.
    """

    status = 503
    error = "temporarily_unavailable"

    def __init__(self, description: str = "", *, cause: str = "") -> None:
        super().__init__(description)
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.description} ({self.cause})" if self.cause else self.description

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class ServerError(Refusal):
    """What a client gets to know of a fault of ours: that there was one."""

    status = 500
    error = "server_error"
