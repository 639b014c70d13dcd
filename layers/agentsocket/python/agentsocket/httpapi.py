"""The HTTP API: health, and what a WebSocket does not suit. One table of paths and methods; errors have one form.

{"error": {"code": "...", "message": "...", "field"?: "..."}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from typing import Any

from agentsocket.admission import Verify
from agentsocket.errors import BadRequest, ClientError, NoToken, TokenRejected, Unavailable
from agentsocket.inputs import HttpAnswer, HttpRequest
from agentsocket.limits import Limits
from agentsocket.storage import Storage, UserStorage
from agentsocket.table import Clock

Body = dict[str, Any]
_STATUS = {"bad_request": 400, "not_found": 404, "unavailable": 503}


class Api:
    """What the paths do. `verify` checks an access token."""

    def __init__(self, *, storage: Storage, verify: Verify, limits: Limits, now: Clock) -> None:
        self._storage = storage
        self._verify = verify
        self._limits = limits
        self._now = now
        self._routes: Mapping[str, Mapping[str, Callable[[HttpRequest], HttpAnswer]]] = {
            "/health": {"GET": self._health},
            "/threads": {"GET": self._threads},
        }

    def methods(self, path: str) -> Collection[str]:
        """What may be asked of a path; nothing when there is no such path."""
        return self._routes.get(path, {}).keys()

    def answer(self, request: HttpRequest) -> HttpAnswer:
        """Carry out a request. Every refusal is an answer too."""
        if not self.methods(request.path):
            return _failure(404, "not_found", "there is nothing at this path")
        step = self._routes[request.path].get(request.method)
        if step is None:
            allow = {"Allow": ", ".join(sorted(self.methods(request.path)))}
            return _failure(405, "method_not_allowed", "this path has no such method", allow)
        try:
            return step(request)
        except NoToken:
            return _failure(401, "unauthorized", "send an access token as bearer", {"WWW-Authenticate": "Bearer"})
        except TokenRejected:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            return _failure(401, "unauthorized", "the access token is not accepted", challenge)
        except ClientError as error:
            return _failure(_STATUS[error.code], error.code, error.message, field=error.field)

    def _health(self, _: HttpRequest) -> HttpAnswer:
        begun = self._now()
        try:
            self._storage.reachable()
        except Unavailable:
            return HttpAnswer(503, {"status": "down", "dependencies": {"table": {"status": "down"}}})
        table = {"status": "ok", "latency_ms": int((self._now() - begun) * 1000)}
        return HttpAnswer(200, {"status": "ok", "dependencies": {"table": table}})

    def _threads(self, request: HttpRequest) -> HttpAnswer:
        user = self._user(request)
        found, following = user.threads(limit=self._limit(request), before=request.query.get("cursor", ""))
        body: Body = {"threads": [asdict(thread) for thread in found]}
        return HttpAnswer(200, body | ({"cursor": following} if following else {}))

    def _user(self, request: HttpRequest) -> UserStorage:
        """Whose request it is. Raises NoToken, TokenRejected, or Unavailable."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise NoToken("no bearer token")
        user = self._storage.for_user(self._verify(token.strip()))
        user.connections.require_token()
        return user

    def _limit(self, request: HttpRequest) -> int:
        text = request.query.get("limit", str(self._limits.max_page))
        if not (re.fullmatch(r"[0-9]{1,4}", text) and 0 < int(text) <= self._limits.max_page):
            raise BadRequest(f"limit must be from 1 to {self._limits.max_page}", field="limit")
        return int(text)


def _failure(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, *, field: str | None = None
) -> HttpAnswer:
    error = {"code": code, "message": message} | ({"field": field} if field else {})
    return HttpAnswer(status, {"error": error}, headers or {})


def internal() -> HttpAnswer:
    """What a client hears of a fault of ours."""
    return _failure(500, "internal", "something went wrong on our side: try again")
