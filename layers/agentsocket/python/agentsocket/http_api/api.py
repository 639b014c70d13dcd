"""The HTTP API: health, and the commands about threads where a WebSocket does not suit.

Which there are: `routes.py`. A request is carried out by the same function as the command over a socket is, out of
the same quota, and its answer is that command's reply. Errors have one form: {"error": {"code", "message", …}}.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from agentsocket import wording
from agentsocket.auth.handshake import Verify
from agentsocket.commands import health, registry
from agentsocket.commands.request import CommandContext
from agentsocket.errors import (
    COMMAND_ID,
    BadRequest,
    CommandError,
    Internal,
    NotFound,
    NoToken,
    TokenRejected,
    TooLarge,
    Unavailable,
)
from agentsocket.http_api import openapi
from agentsocket.http_api.routes import HEALTH, IDEMPOTENCY_KEY, Failure, Route
from agentsocket.inputs import HttpAnswer, HttpRequest
from agentsocket.protocol import frames, strict_json
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.messages import ErrorNotice, Payload

if TYPE_CHECKING:
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.storage.table import Clock
    from agentsocket.storage.user import Storage

_logger = logging.getLogger("agentsocket.http_api.api")

_STATUS = {
    "bad_request": 400,
    "not_found": 404,
    "idempotency_conflict": 409,
    "too_large": 413,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}
_NOT_IN_QUERY = "this operation takes its fields in the JSON body, not in the query"


class Api:
    """What the routes do. `verify` checks an access token; `management_api` notifies the user's connections."""

    def __init__(
        self,
        *,
        storage: Storage,
        contexts: ContextStore,
        run_queue: RunQueue,
        management_api: ManagementApi,
        verify: Verify,
        now: Clock,
    ) -> None:
        self._storage = storage
        self._contexts = contexts
        self._run_queue = run_queue
        self._management_api = management_api
        self._verify = verify
        self._limits = storage.limits
        self._now = now

    def document(self) -> HttpAnswer:
        """What this API can do (OpenAPI 3.1)."""
        return HttpAnswer(200, openapi.document())

    def answer(self, route: Route, request: HttpRequest) -> HttpAnswer:
        """Carry out a request. Raises NoToken, TokenRejected or CommandError: see `refusal`."""
        if route is HEALTH:
            found = health.check({"table": self._storage.reachable, "contexts": self._contexts.state}, now=self._now)
            return HttpAnswer(503 if found.status == "down" else 200, found)
        asked = self._asked(request)
        command = self._command(route, request)
        try:
            [reply] = registry.reply(command, asked)
        except CommandError as error:
            if error.field == COMMAND_ID:
                error.field = IDEMPOTENCY_KEY
            raise
        return HttpAnswer(route.status, reply.payload)

    def _asked(self, request: HttpRequest) -> CommandContext:
        """Who asks, with a token that is in force: one read."""
        who = self._verify(_bearer(request))
        store = self._storage.for_user(who)
        store.revocations.require_token()
        return CommandContext(
            principal=who,
            connection_id="",
            command_id=_key(request) or store.new_id(),
            store=store,
            contexts=self._contexts,
            run_queue=self._run_queue,
            management_api=self._management_api,
            verify=self._verify,
            limits=self._limits,
        )

    def _command(self, route: Route, request: HttpRequest) -> Payload:
        """The command that the request spells out. Raises BadRequest or TooLarge."""
        given = self._body(request.body) if route.has_body else request.query
        if route.has_body and request.query:
            raise BadRequest(_NOT_IN_QUERY, field=min(request.query)[:64])
        if twice := given.keys() & request.parameters.keys():
            raise BadRequest(f"{min(twice)} is already given in the path", field=min(twice))
        fields = {**given, **request.parameters}
        for name, value in ({} if route.has_body else fields).items():
            _require_text(name, value)
        return frames.checked(
            fields,
            route.command,
            limits=self._limits,
            written_out=not route.has_body,
            elsewhere=route.parameters,
        )

    def _body(self, text: str) -> Mapping[str, Any]:
        """The JSON object in a body; none is an empty one."""
        size = len(text.encode(errors="surrogatepass"))
        if size > self._limits.max_message_bytes:
            raise TooLarge(wording.too_large("the body", size, self._limits.max_message_bytes))
        try:
            found = strict_json.loads(text or "{}", max_nesting=self._limits.max_nesting)
        except strict_json.StrictJSONError as error:
            raise BadRequest(f"the body {error}") from None
        if not isinstance(found, dict):
            raise BadRequest("the body must be a JSON object")
        return found


def refusal(error: NoToken | TokenRejected | CommandError) -> HttpAnswer:
    """What a client hears of an error."""
    match error:
        case NoToken():
            return _unauthorized("access token is missing; send the header Authorization: Bearer <token>", "Bearer")
        case TokenRejected():
            return _unauthorized(
                "access token is not accepted: expired, revoked or for another service; get a new one",
                'Bearer error="invalid_token"',
            )
    if isinstance(error, Unavailable):
        _logger.warning("dependency_unavailable", extra={"reason": str(error)})
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_ms / 1000))  # RFC 9110, section 10.2.3: seconds
    return HttpAnswer(_STATUS[error.code], Failure(error=frames.failure(error)), headers)


def nothing() -> HttpAnswer:
    """What a client hears of a path that is none."""
    return refusal(NotFound("path is unknown; GET /openapi.json lists the operations"))


def not_allowed(methods: list[str]) -> HttpAnswer:
    """What a client hears of a method that a path does not have."""
    allowed = ", ".join(sorted(methods))
    said = ErrorNotice(
        code="method_not_allowed", message=f"method is not allowed; this path takes {allowed}", temporary=False
    )
    return HttpAnswer(405, Failure(error=said), {"Allow": allowed})


def internal() -> HttpAnswer:
    """What a client hears of a fault of ours."""
    return refusal(Internal())


def _unauthorized(message: str, challenge: str) -> HttpAnswer:
    said = ErrorNotice(code="unauthorized", message=message, temporary=False)
    return HttpAnswer(401, Failure(error=said), {"WWW-Authenticate": challenge})


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken("no bearer token")
    return token.strip()


def _key(request: HttpRequest) -> str:
    """The request's idempotency key, empty without one. Raises BadRequest."""
    given = request.headers.get(IDEMPOTENCY_KEY.lower())
    if given is None:
        return ""
    try:
        return msgspec.convert(given.removeprefix('"').removesuffix('"'), protocol.CommandId)
    except msgspec.ValidationError:
        raise BadRequest(f"{IDEMPOTENCY_KEY} must be {protocol.ID_WORDS}", field=IDEMPOTENCY_KEY) from None


def _require_text(name: str, value: str) -> None:
    """Half a surrogate pair in an address is no text: it could not be written anywhere. Raises BadRequest."""
    try:
        f"{name}{value}".encode()
    except UnicodeEncodeError:
        raise BadRequest("query holds half of a surrogate pair; send UTF-8") from None
