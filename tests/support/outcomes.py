"""What each file of `events/` comes to, whether its function runs in this process or in Lambda's own container."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentsocket import principal
from local.events import WEB_ORIGIN
from local.invoke import ISSUER_URL
from tests.support import schema_check

Answer = dict[str, Any]
ADA = principal.user_id(ISSUER_URL, "ada")


def effect(answer: Answer) -> str:
    """Of an authorizer's policy."""
    (statement,) = answer["policyDocument"]["Statement"]
    return str(statement["Effect"])


def frame(answer: Answer) -> tuple[str, Answer]:
    """The one frame that rides the route response: its type and payload."""
    assert answer["statusCode"] == 200
    sent = schema_check.read(answer["body"])
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


def is_processed(answer: Answer) -> None:
    """Of a record from a queue: it need not come again."""
    assert answer == {"batchItemFailures": []}


def comes_again(answer: Answer) -> None:
    assert len(answer["batchItemFailures"]) == 1


def is_http(status: int, origin: str | None = None) -> Callable[[Answer], None]:
    """An HTTP answer that `origin` may read, and no other."""

    def check(answer: Answer) -> None:
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        assert answer["statusCode"] == status
        assert headers.get("access-control-allow-origin") == origin
        assert "Origin" in headers["vary"]

    return check


def is_oauth_error(status: int, error: str | None, origin: str | None = None) -> Callable[[Answer], None]:
    """A refusal of the auth service; without a token there is a challenge and no error code (RFC 6750, section 3.1)."""

    def check(answer: Answer) -> None:
        is_http(status, origin)(answer)
        assert json.loads(answer["body"]).get("error") == error

    return check


def is_inactive(answer: Answer) -> None:
    is_http(200)(answer)
    assert json.loads(answer["body"]) == {"active": False}


def has_one_key(answer: Answer) -> None:
    is_http(200)(answer)
    (key,) = json.loads(answer["body"])["keys"]
    assert (key["kty"], key["alg"]) == ("EC", "ES256")
    assert "d" not in key


def names_the_issuer(answer: Answer) -> None:
    is_http(200)(answer)
    assert json.loads(answer["body"])["issuer"] == ISSUER_URL


def is_nothing(answer: Answer | None) -> None:
    """A custom resource's function answers CloudFormation, not Lambda."""
    assert answer is None


def lists_the_thread(answer: Answer) -> None:
    """The one that the user's message made, whether or not others were made before."""
    is_http(200)(answer)
    titles = [thread["title"] for thread in json.loads(answer["body"])["threads"]]
    assert titles.count("time,model,input_tokens,output_tokens,cost") == 1


def creates_the_thread(answer: Answer) -> None:
    is_http(201)(answer)
    created = json.loads(answer["body"])
    assert (created["title"], created["metadata"]) == ("Trips", {"colour": "red"})


def is_http_error(status: int, code: str, field: str | None = "thread_id") -> Callable[[Answer], None]:
    """A refusal of the HTTP API; of a method there is no field to blame."""

    def check(answer: Answer) -> None:
        is_http(status)(answer)
        error = json.loads(answer["body"])["error"]
        assert (error["code"], error.get("field")) == (code, None if status == 405 else field)

    return check


def is_the_document(answer: Answer) -> None:
    is_http(200)(answer)
    assert json.loads(answer["body"])["openapi"].startswith("3.1.")


OUTCOMES: dict[str, Callable[[Any], None]] = {
    "auth-client-unknown": is_oauth_error(401, "invalid_client"),
    "auth-cors-preflight": is_http(204, WEB_ORIGIN),
    "auth-exchange-malformed": is_oauth_error(400, "invalid_grant"),
    "auth-foreign-origin": is_http(200),
    "auth-health": is_http(200),
    "auth-introspect-inactive": is_inactive,
    "auth-introspect-unauthorized": is_oauth_error(401, "invalid_client"),
    "auth-jwks": has_one_key,
    "auth-logout-no-token": is_oauth_error(401, None, WEB_ORIGIN),
    "auth-metadata": names_the_issuer,
    "auth-refresh-malformed": is_oauth_error(400, "invalid_request"),
    "auth-refresh-unknown": is_oauth_error(400, "invalid_grant", WEB_ORIGIN),
    "auth-revoke-unknown": is_http(200),
    "auth-ticket-expired": is_oauth_error(401, "invalid_token", WEB_ORIGIN),
    "auth-ticket-no-session": is_oauth_error(401, "invalid_token", WEB_ORIGIN),
    "auth-unknown-path": is_oauth_error(404, "not_found", WEB_ORIGIN),
    "auth-unsupported-grant": is_oauth_error(400, "unsupported_grant_type"),
    "auth-wrong-content-type": is_oauth_error(400, "invalid_request"),
    "auth-wrong-method": is_oauth_error(405, "method_not_allowed", WEB_ORIGIN),
    "authorizer-browser": is_admitted,
    "authorizer-expired": is_denied,
    "authorizer-foreign-origin": is_denied,
    "authorizer-no-token": is_unauthorized,
    "authorizer-ticket": is_admitted,
    "authorizer-valid": is_admitted,
    "connect": is_accepted,
    "connect-browser": is_accepted_as_a_browser,
    "control-check": is_processed,
    "control-malformed": comes_again,
    "control-revoke": is_processed,
    "disconnect": is_accepted,
    "disconnect-without-authorizer": is_accepted,
    "http-content": is_http_error(404, "not_found"),
    "http-create-thread": creates_the_thread,
    "http-create-thread-malformed": is_http_error(400, "bad_request", "name"),
    "http-delete-thread": is_http_error(404, "not_found"),
    "http-foreign-origin": is_http(200),
    "http-health": is_http(200),
    "http-history": is_http_error(404, "not_found"),
    "http-openapi": is_the_document,
    "http-preflight": is_http(204, WEB_ORIGIN),
    "http-rename-thread": is_http_error(404, "not_found"),
    "http-threads": lists_the_thread,
    "http-threads-no-token": is_http(401),
    "http-wrong-method": is_http_error(405, "method_not_allowed"),
    "jwks-create": is_nothing,
    "jwks-delete": is_nothing,
    "jwks-no-keys": is_nothing,
    "message-bad-json": is_refused("bad_request"),
    "message-create-thread": is_answered("thread_created"),
    "message-delete-thread": is_refused("not_found", "payload.thread_id"),
    "message-get-content": is_refused("not_found", "payload.thread_id"),
    "message-get-context": is_answered("context"),
    "message-get-health": is_answered("health"),
    "message-get-thread-history": is_refused("not_found", "payload.thread_id"),
    "message-hello": is_welcomed,
    "message-list-threads": is_answered("thread_list"),
    "message-ping": is_answered("pong"),
    "message-refresh-token": is_refused("unauthorized", "payload.token"),
    "message-rename-thread": is_refused("not_found", "payload.thread_id"),
    "message-subscribe": is_refused("not_found", "payload.thread_id"),
    "message-switch-thread": is_refused("not_found", "payload.thread_id"),
    "message-text-instead-of-content": is_refused("bad_request", "payload.text"),
    "message-unknown-type": is_refused("unknown_type", "type"),
    "message-update-context": is_answered("context"),
    "message-update-context-conflict": is_refused("version_conflict", "payload.version"),
    "message-user-message": is_answered("message_accepted"),
    "message-user-message-part": is_answered("part_accepted"),
    "worker-delete": is_processed,
}
