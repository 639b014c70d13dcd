"""The HTTP API as an OpenAPI 3.1 document, made from `routes.py` and the wire's shapes.

Served at /openapi.json, and published as `clients/openapi.json`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsocket.http_api.routes import DOCUMENT, HEALTH, IDEMPOTENCY_KEY, ROUTES, Failure, Route
from agentsocket.protocol import messages as protocol

Schema = dict[str, Any]

_REFUSALS = {
    400: "The request breaks the protocol; `field` names where",
    401: "No token, or one that is not accepted",
    404: "No such thing, or another user's",
    409: "The Idempotency-Key was used for another thread",
    413: "More bytes than a limit allows",
    429: "More commands than a user may send; `retry_after_ms` says when there is room again",
    500: "A fault of ours",
    503: "Something that the service needs does not answer: try again",
}
_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After"}


def document() -> Schema:
    """The whole document."""
    shapes = list(dict.fromkeys([*(route.answer for route in ROUTES), Failure, *(route.command for route in ROUTES)]))
    _, components = msgspec.json.schema_components(shapes, ref_template="#/components/schemas/{name}")
    commands = {route.command.__name__: components.pop(route.command.__name__) for route in ROUTES}
    paths: dict[str, Schema] = {DOCUMENT: {"get": _document()}}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, commands[route.command.__name__])
    return {
        "openapi": "3.1.0",
        "info": {"title": "agentsocket over HTTP", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def publish() -> bytes:
    """The document as the file holds it."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def _operation(route: Route, command: Schema) -> Schema:
    described: Schema = {
        "operationId": _names()[route.command],
        "summary": command["description"],
        "security": [] if route.open else [{"token": []}],
        "parameters": _parameters(route, command),
        "responses": _responses(route),
    }
    if route.has_body:
        fields = {name: shape for name, shape in command["properties"].items() if name not in route.parameters}
        required = [name for name in command.get("required", []) if name in fields]
        body = {"type": "object", "properties": fields, "required": required, "additionalProperties": False}
        described["requestBody"] = {"required": bool(required), **_json(body)}
    return described


def _names() -> dict[type[protocol.Payload], str]:
    return {shape: name for name, shape in protocol.COMMANDS.items()}


def _parameters(route: Route, command: Schema) -> list[Schema]:
    required = command.get("required", [])
    found: list[Schema] = []
    for name, shape in command["properties"].items():
        if name in route.parameters:
            found.append({"name": name, "in": "path", "required": True, "schema": shape})
        elif not route.has_body:
            found.append({"name": name, "in": "query", "required": name in required, "schema": shape})
    if route.keyed:
        key = msgspec.json.schema(protocol.CommandId)
        found.append({"name": IDEMPOTENCY_KEY, "in": "header", "required": False, "schema": key})
    return found


def _responses(route: Route) -> Schema:
    answer = {"description": (route.answer.__doc__ or "").partition("\n")[0], **_json(_reference(route.answer))}
    found: Schema = {str(route.status): answer}
    if route is HEALTH:
        found["503"] = {**answer, "description": "Something without which nothing works does not answer"}
        return found | {"500": _refusal(500)}
    return found | {str(status): _refusal(status) for status in _refusals(route)}


def _refusals(route: Route) -> list[int]:
    """With which statuses a command may be refused."""
    unlikely = set() if route.has_body else {413}
    if not (route.parameters or route.keyed):
        unlikely.add(404)
    if not (route.keyed and route.has_body):
        unlikely.add(409)
    return [status for status in _REFUSALS if status not in unlikely]


def _refusal(status: int) -> Schema:
    described = {"description": _REFUSALS[status], **_json(_reference(Failure))}
    if status in _HEADERS:
        described["headers"] = {_HEADERS[status]: {"schema": {"type": "string"}}}
    return described


def _document() -> Schema:
    answer = {"description": "This document", **_json({"type": "object"})}
    return {
        "operationId": "get_openapi",
        "summary": "What this API can do.",
        "security": [],
        "responses": {"200": answer, "500": _refusal(500)},
    }


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _reference(shape: type[protocol.Payload]) -> Schema:
    return {"$ref": f"#/components/schemas/{shape.__name__}"}
