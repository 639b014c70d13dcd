"""The @connections API that functions post to, in the form boto3 expects. Signatures are not checked.

Instead it refuses what a browser could send: any Origin, and a Host that is not this machine. What AWS answers to a
malformed id, to another path or for a closed connection was reported by users of its SDKs.
"""

import json
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from aiohttp import web
from websockets.exceptions import ConnectionClosed

from local.gateway import hosts
from local.gateway.connection import NORMAL, Session
from local.gateway.limits import GatewayLimits

CONNECTION_ID = re.compile(r"[A-Za-z0-9_-]{11,}={1,2}")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Throttle:
    """A token bucket that holds one second's calls. `now` is in seconds."""

    def __init__(self, per_second: float, now: Callable[[], float]) -> None:
        self._per_second, self._size, self._now = per_second, max(per_second, 1.0), now
        self._tokens, self._at = self._size, now()

    def allows(self) -> bool:
        """Takes one call's token, if there is one."""
        elapsed, self._at = self._now() - self._at, self._now()
        self._tokens = min(self._size, self._tokens + max(elapsed, 0.0) * self._per_second)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Management:
    """POST, GET and DELETE on ``/{stage}/@connections/{id}`` over the gateway's open sessions."""

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        stage: str,
        limits: GatewayLimits,
        throttle: Throttle,
        allowed_hosts: Collection[str],
        in_background: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._sessions, self._stage, self._limits, self._throttle = sessions, stage, limits, throttle
        self._allowed_hosts, self._in_background = allowed_hosts, in_background

    def app(self) -> web.Application:
        """The application; it reads no body longer than a message may be."""
        app = web.Application(client_max_size=self._limits.message_bytes + 1, middlewares=[self._guard])
        path = f"/{self._stage}/@connections/{{connection_id}}"
        app.router.add_post(path, self._post)
        app.router.add_get(path, self._get, allow_head=False)
        app.router.add_delete(path, self._delete)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        own_host = hosts.is_local(request.headers.getall("Host", []), self._allowed_hosts)
        if not own_host or "Origin" in request.headers:
            return _error(HTTPStatus.FORBIDDEN, "ForbiddenException", hosts.REFUSAL)
        try:
            return await self._metered(request, handler)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return _error(
                HTTPStatus.FORBIDDEN,
                "ForbiddenException",
                f"No method found matching route {request.path[1:]} for http method {request.method}.",
            )

    async def _metered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._throttle.allows():
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", "Too many @connections calls.")
        connection_id = request.match_info.get("connection_id", "")
        if connection_id and not CONNECTION_ID.fullmatch(connection_id):
            return _error(HTTPStatus.BAD_REQUEST, "BadRequestException", f"Invalid connectionId: {connection_id}")
        return await handler(request)

    async def _post(self, request: web.Request) -> web.Response:
        try:
            payload = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._too_large()
        if len(payload) > self._limits.message_bytes:
            return self._too_large()
        session = self._session(request)
        if session is None:
            return _gone()
        if session.is_congested:
            return _error(HTTPStatus.TOO_MANY_REQUESTS, "LimitExceededException", "The client does not read.")
        return await _sent(session, payload)

    async def _get(self, request: web.Request) -> web.Response:
        session = self._session(request)
        if session is None:
            return _gone()
        agent = {} if session.peer.user_agent is None else {"userAgent": session.peer.user_agent}
        return web.json_response(
            {
                "connectedAt": _iso(session.peer.connected_at_ms / 1000),
                "identity": {"sourceIp": session.peer.source_ip, **agent},
                "lastActiveAt": _iso(session.last_active),
            }
        )

    async def _delete(self, request: web.Request) -> web.Response:
        session = self._session(request)
        if session is None:
            return _gone()
        # Not awaited: the connection is gone for every later call, whether or not the client answers the close frame.
        self._in_background(session.close(*NORMAL))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _session(self, request: web.Request) -> Session | None:
        session = self._sessions.get(request.match_info["connection_id"])
        return session if session is not None and session.is_open else None

    def _too_large(self) -> web.Response:
        limit = f"A message may have {self._limits.message_bytes} bytes."
        return _error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "PayloadTooLargeException", limit)


async def _sent(session: Session, payload: bytes) -> web.Response:
    try:
        payload.decode()
        await session.send(payload)
    except UnicodeDecodeError:
        return _error(HTTPStatus.BAD_REQUEST, "BadRequestException", "A message is text in UTF-8.")
    except ConnectionClosed:
        return _gone()
    return web.Response()


def _gone() -> web.Response:
    return _error(HTTPStatus.GONE, "GoneException", "The connection does not exist, or not yet, or no longer.")


def _error(status: HTTPStatus, kind: str, message: str) -> web.Response:
    body = json.dumps({"message": message})
    headers = {"x-amzn-ErrorType": kind}
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
