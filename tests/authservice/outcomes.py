"""What each file of `events/` for the auth service's functions comes to, wherever they run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from local.events import WEB_ORIGIN

Answer = Any


def answers(
    status: int, *, error: str | None = None, origin: str | None = None, **said: str
) -> Callable[[Answer], None]:
    """An HTTP answer with that status and OAuth error, readable by `origin` and no other page, with those headers."""

    def check(answer: Answer) -> None:
        headers = {name.lower(): value for name, value in answer["headers"].items()}
        body = json.loads(answer["body"] or "{}")
        assert (answer["statusCode"], body.get("error")) == (status, error)
        assert headers.get("access-control-allow-origin") == origin
        assert headers["vary"] == "Origin"
        for name, value in said.items():
            assert headers[name.replace("_", "-")].startswith(value)

    return check


def is_inactive(answer: Answer) -> None:
    assert (answer["statusCode"], answer["body"]) == (200, '{"active":false}')


def says_nothing(answer: Answer) -> None:
    """A custom resource answers by HTTP: what it said is seen where it was sent."""
    assert answer is None


BASIC, BEARER = 'Basic realm="', 'Bearer realm="'
OUTCOMES = {
    "auth-client-unknown": answers(401, error="invalid_client", www_authenticate=BASIC),
    "auth-cors-preflight": answers(204, origin=WEB_ORIGIN, access_control_allow_methods="POST"),
    "auth-exchange-malformed": answers(400, error="invalid_grant", cache_control="no-store"),
    "auth-foreign-origin": answers(200),
    "auth-health": answers(200, cache_control="no-store"),
    "auth-introspect-inactive": is_inactive,
    "auth-introspect-unauthorized": answers(401, error="invalid_client", www_authenticate=BASIC),
    "auth-jwks": answers(200, cache_control="public"),
    "auth-logout-no-token": answers(401, origin=WEB_ORIGIN, www_authenticate=BEARER),
    "auth-metadata": answers(200, cache_control="public"),
    "auth-refresh-malformed": answers(400, error="invalid_request"),
    "auth-refresh-unknown": answers(400, error="invalid_grant", origin=WEB_ORIGIN),
    "auth-revoke-unknown": answers(200),
    "auth-ticket-expired": answers(401, error="invalid_token", origin=WEB_ORIGIN, www_authenticate=BEARER),
    "auth-ticket-no-session": answers(401, error="invalid_token", origin=WEB_ORIGIN, www_authenticate=BEARER),
    "auth-unknown-path": answers(404, error="not_found", origin=WEB_ORIGIN),
    "auth-unsupported-grant": answers(400, error="unsupported_grant_type"),
    "auth-wrong-content-type": answers(400, error="invalid_request"),
    "auth-wrong-method": answers(405, error="method_not_allowed", origin=WEB_ORIGIN, allow="POST"),
    "jwks-create": says_nothing,
    "jwks-delete": says_nothing,
    "jwks-no-keys": says_nothing,
}
