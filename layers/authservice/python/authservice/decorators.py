"""Where Lambda meets the code: events become requests, refusals and faults become what a client may know.

Nothing of a fault leaves here but `server_error`; the log gets its type and place, not its text. What is logged of a
request is the path it matched and the status, never a header, a query or a body.
"""

from __future__ import annotations

import base64
import binascii
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from aws_lambda_powertools import Logger

from authservice.errors import (
    AuthServiceError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Refusal,
    ServerError,
    TooLarge,
)
from authservice.inputs import NO_STORE, Request, Response, Routes, json_response
from authservice.limits import Limits
from lambdakit import cors

Event = Mapping[str, Any]
LambdaResponse = dict[str, Any]
Handler = Callable[[Event, object], Any]
T = TypeVar("T")

_REQUEST_HEADERS = "Authorization, Content-Type"  # that a page may send
_READABLE_HEADERS = "Retry-After, WWW-Authenticate"  # that a page may read

logger = Logger()


def http(routes: Routes, *, origins: Collection[str], limits: Limits) -> Handler:
    """HTTP API, payload format 2.0: every path and method, with CORS on every response."""

    def dispatch(event: Event) -> Response:
        # An issuer may end in a slash, and its endpoints are its address and what follows.
        path, method = "/" + event["rawPath"].lstrip("/"), event["requestContext"]["http"]["method"]
        endpoints = routes.get(path)
        if endpoints is None:
            raise NotFound("path is unknown; /.well-known/oauth-authorization-server lists the endpoints")
        if method == "OPTIONS":
            return _preflight(_origin(event), endpoints, origins, limits)
        if method not in endpoints:
            raise MethodNotAllowed(", ".join([*sorted(endpoints), "OPTIONS"]))
        return endpoints[method](Request(_headers(event), _body(event, limits)))

    def attempt(event: Event) -> Response:
        try:
            return dispatch(event)
        except Refusal as refusal:
            logger.info("request_refused", status=refusal.status, error=refusal.error, reason=str(refusal))
            return _refused(refusal)

    def handler(event: Event, _context: object) -> LambdaResponse:
        response = _guarded(lambda: attempt(event), otherwise=lambda _error: _refused(ServerError()))
        path = event.get("rawPath")
        logger.info("request_completed", path=path if path in routes else "another", status=response.status)
        headers = {**cors.headers(_origin(event), origins=origins, readable=_READABLE_HEADERS), **response.headers}
        return {"statusCode": response.status, "headers": headers, "body": response.body}

    return handler


def resource(
    step: Callable[[Event], Mapping[str, str]], *, report: Callable[[Event, str, Mapping[str, str]], None]
) -> Handler:
    """A CloudFormation custom resource: `report` tells CloudFormation, with a reason unless it went well.

    It must hear of every failure, or the stack waits for an hour.
    """

    def handler(event: Event, _context: object) -> None:
        reason, data = _guarded(lambda: ("", step(event)), otherwise=lambda error: (_reason(error), {}))
        logger.info("key_set_reported", request_type=event["RequestType"], succeeded=not reason)
        report(event, reason, data)

    return handler


def _guarded(step: Callable[[], T], *, otherwise: Callable[[Exception], T]) -> T:
    try:
        return step()
    except Exception as error:  # noqa: BLE001 (the edge: whatever it is, it must not reach a client)
        frames = traceback.extract_tb(error.__traceback__)[-8:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        logger.error("internal_error", error=type(error).__name__, places=places)  # noqa: TRY400 (no text of it)
        return otherwise(error)


def _refused(refusal: Refusal) -> Response:
    content = {"error": refusal.error, "error_description": refusal.description} if refusal.error else {}
    said = {name: text for name, text in content.items() if text}
    return json_response(said, status=refusal.status, headers={**NO_STORE, **refusal.headers()})


def _reason(error: Exception) -> str:
    """For the operator who reads the stack's events: only texts of ours, and AWS's code of what it rejected."""
    if operation := getattr(error, "operation_name", ""):  # botocore's ClientError, which not every function loads
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        return f"AWS rejected {operation}: {code}"
    if isinstance(error, AuthServiceError):
        return f"{type(error).__name__}: {error}"[:500]
    return f"{type(error).__name__}; the log of the function says where"


def _preflight(origin: str, methods: Collection[str], origins: Collection[str], limits: Limits) -> Response:
    permission = cors.preflight(
        origin,
        origins=origins,
        methods=methods,
        request_headers=_REQUEST_HEADERS,
        max_age_s=limits.preflight_max_age_s,
        readable=_READABLE_HEADERS,
    )
    return Response(204, {"Allow": ", ".join([*sorted(methods), "OPTIONS"]), **permission})


def _headers(event: Event) -> dict[str, str]:
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _origin(event: Event) -> str:
    return _headers(event).get("origin", "")


def _body(event: Event, limits: Limits) -> bytes:
    """The body as bytes. Raises TooLarge, or InvalidRequest for what is neither text nor base64."""
    text = event.get("body") or ""
    try:
        body = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except (binascii.Error, ValueError):
        raise InvalidRequest("the body must be UTF-8 text, or base64 of it") from None
    if len(body) > limits.max_body_bytes:
        raise TooLarge(f"the body is {len(body):,} bytes; the limit is {limits.max_body_bytes:,}")
    return body
