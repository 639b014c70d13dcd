"""Which route an event of the HTTP API is for, by Powertools' resolver.

Of the resolver only the routes and the exception handlers are used. Its CORS never says `Vary` (`cors.py` does), its
validation would define the wire a second time, it has no 405, and what nobody handles it logs with its text: so
whatever it does not know is handed on to `decorators.py`, which does not.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NoReturn

import msgspec
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response

from agentsocket.errors import BadRequest, CommandError, NoToken, TokenRejected
from agentsocket.http_api import api as http_api
from agentsocket.http_api import routes
from agentsocket.http_api.api import Api
from agentsocket.http_api.routes import DOCUMENT, ROUTES, Route
from agentsocket.inputs import HttpAnswer, HttpRequest
from lambdakit import cors

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")  # what API Gateway takes for ANY
_preflight = functools.partial(
    cors.preflight,
    request_headers="Authorization, Content-Type, Idempotency-Key",
    max_age_s=600,  # browsers differ in what they accept; all accept this
)


def resolver(api: Api, *, origins: Collection[str]) -> APIGatewayHttpResolver:
    """Its `resolve` takes an event to the answer in Lambda's form, but for CORS headers. Raises faults of ours."""
    # Not in debug mode, whatever the environment says: it would print every event, bearer included.
    found = APIGatewayHttpResolver(debug=False)
    found.route(_rule(DOCUMENT), method="GET")(lambda: response(api.document()))
    for route in ROUTES:
        found.route(_rule(route.path), method=route.method)(_carrying_out(api, route, found))
    for path, methods in routes.methods().items():
        others = sorted(set(_METHODS) - set(methods))
        found.route(_rule(path), method=others)(_refusing(methods, origins, found))
    found.not_found(lambda _error: response(http_api.nothing()))
    refused = [NoToken, TokenRejected, CommandError]
    found.exception_handler(refused)(lambda error: response(http_api.refusal(error)))
    found.exception_handler(Exception)(_hand_on)
    return found


def response(answered: HttpAnswer) -> Response[str]:
    """In Powertools' form."""
    if answered.body is None:
        return Response(answered.status, headers=dict(answered.headers))
    text = msgspec.json.encode(answered.body).decode()
    return Response(answered.status, content_type="application/json", body=text, headers=dict(answered.headers))


def answer(answered: HttpAnswer) -> dict[str, Any]:
    """In Lambda's form, when the resolver has failed."""
    text = msgspec.json.encode(answered.body).decode()
    return {"statusCode": answered.status, "headers": {"Content-Type": "application/json"}, "body": text}


def _rule(path: str) -> str:
    """A path as the resolver has it: a regular expression, in which <name> is a parameter."""
    return re.sub(r"\\{(\w+)\\}", r"<\1>", re.escape(path))


def _carrying_out(api: Api, route: Route, found: APIGatewayHttpResolver) -> Callable[..., Response[str]]:
    def carry_out(**parameters: str) -> Response[str]:
        return response(api.answer(route, _request(found.current_event.raw_event, parameters)))

    return carry_out


def _refusing(
    methods: list[str], origins: Collection[str], found: APIGatewayHttpResolver
) -> Callable[..., Response[str]]:
    """A preflight's answer, or that the path has no such method."""

    def refuse(**_parameters: str) -> Response[str]:
        request = _request(found.current_event.raw_event, {})
        if found.current_event.http_method == "OPTIONS" and "access-control-request-method" in request.headers:
            allowed = _preflight(request.headers.get("origin"), origins=origins, methods=methods)
            return response(HttpAnswer(204, None, allowed))
        return response(http_api.not_allowed(methods))

    return refuse


def _hand_on(error: Exception) -> NoReturn:
    raise error


def headers(event: Mapping[str, Any]) -> Mapping[str, str]:
    """The event's, their names in lower case."""
    return {name.lower(): value for name, value in (event.get("headers") or {}).items()}


def _request(event: Mapping[str, Any], parameters: Mapping[str, str]) -> HttpRequest:
    return HttpRequest(parameters, event.get("queryStringParameters") or {}, headers(event), _body(event))


def _body(event: Mapping[str, Any]) -> str:
    """API Gateway hands on bodies of most types in base64. Raises BadRequest when it is no text."""
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True).decode()
    except ValueError:
        raise BadRequest("the body must be UTF-8 text") from None
