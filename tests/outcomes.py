"""What each file of `events/` comes to, whether its function runs in this process or in Lambda's own container."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentsocket import principal
from local.invoke import ISSUER_URL

Answer = dict[str, Any]
ADA = principal.user_id(ISSUER_URL, "ada")


def effect(answer: Answer) -> str:
    """Of an authorizer's policy."""
    (statement,) = answer["policyDocument"]["Statement"]
    return str(statement["Effect"])


def frame(answer: Answer) -> tuple[str, Answer]:
    """The one frame that rides the route response: its type and payload."""
    assert answer["statusCode"] == 200
    sent = json.loads(answer["body"])
    return sent["type"], sent["payload"]


def is_admitted(answer: Answer) -> None:
    assert effect(answer) == "Allow"
    assert answer["principalId"] == answer["context"]["user"] == ADA


def is_denied(answer: Answer) -> None:
    assert effect(answer) == "Deny"


def is_unauthorized(answer: Answer) -> None:
    """API Gateway answers 401 to this very text."""
    assert answer["errorMessage"] == "Unauthorized"


def is_accepted(answer: Answer) -> None:
    assert answer["statusCode"] == 200
    assert not answer.get("headers"), "a client that offered no subprotocol is told of none"


def is_accepted_as_a_browser(answer: Answer) -> None:
    assert answer == {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "agentsocket.v1"}}


def is_welcomed(answer: Answer) -> None:
    kind, payload = frame(answer)
    assert (kind, payload["user_id"]) == ("welcome", ADA)


def is_answered(kind: str) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        assert frame(answer)[0] == kind

    return check


def is_refused(code: str, field: str | None = None) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        kind, payload = frame(answer)
        assert (kind, payload["code"], payload.get("field")) == ("error", code, field)

    return check


OUTCOMES = {
    "authorizer-browser": is_admitted,
    "authorizer-expired": is_denied,
    "authorizer-foreign-origin": is_denied,
    "authorizer-no-token": is_unauthorized,
    "authorizer-valid": is_admitted,
    "connect": is_accepted,
    "connect-browser": is_accepted_as_a_browser,
    "disconnect": is_accepted,
    "disconnect-without-authorizer": is_accepted,
    "message-bad-json": is_refused("bad_request"),
    "message-hello": is_welcomed,
    "message-ping": is_answered("pong"),
    "message-subscribe": is_refused("not_found", "payload.thread_id"),
    "message-text-instead-of-content": is_refused("bad_request", "payload.text"),
    "message-unknown-type": is_refused("unknown_type", "type"),
    "message-user-message": is_answered("message_accepted"),
}
