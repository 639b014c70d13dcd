"""Decides, from a Lambda REQUEST authorizer's answer, who may connect. Calling the function is done in dispatch.py.

Sources: "Control access to WebSocket APIs with AWS Lambda REQUEST authorizers" and "Output from an API Gateway Lambda
authorizer".
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from local.gateway.answers import INTERNAL_ERROR, Refusal
from local.gateway.events import Event
from local.gateway.invoke import InvokeResult
from local.gateway.policy import Effect, PolicyError, evaluate

UNAUTHORIZED = Refusal(401, "Unauthorized")
BROKEN = Refusal(500, INTERNAL_ERROR)
DENIED = Refusal(403, "User is not authorized to access this resource")
DENIED_EXPLICITLY = Refusal(403, "User is not authorized to access this resource with an explicit deny")

HEADER = "route.request.header."
QUERY = "route.request.querystring."
CONTEXT = "context."
STAGE_VARIABLE = "stageVariables."
KINDS = (HEADER, QUERY, CONTEXT, STAGE_VARIABLE)


def lacks_identity(sources: Iterable[str], event: Event) -> bool:
    """Whether an identity source is absent from the authorizer's event, or empty in it."""
    return not all(_identity(source, event) for source in sources)


def verdict(result: InvokeResult, method_arn: str, *, limit_bytes: int) -> Mapping[str, str] | Refusal:
    """The authorizer context of a client that may connect, every value as text; else the refusal.

    An error whose message is exactly "Unauthorized" is a 401; anything else that is not a policy is a 500.
    """
    if result.error == "Unauthorized":
        return UNAUTHORIZED
    if result.payload is None or len(json.dumps(result.payload).encode()) > limit_bytes:
        return BROKEN
    context = _context(result.payload)
    if context is None:
        return BROKEN
    try:
        effect = evaluate(result.payload.get("policyDocument"), method_arn)
    except PolicyError:
        return BROKEN
    if effect is Effect.ALLOW:
        return context
    return DENIED_EXPLICITLY if effect is Effect.DENY else DENIED


def _identity(source: str, event: Event) -> object:
    if source.startswith(HEADER):
        name = source.removeprefix(HEADER).lower()
        return next((value for key, value in event["headers"].items() if key.lower() == name), None)
    if source.startswith(QUERY):
        return event["queryStringParameters"].get(source.removeprefix(QUERY))
    if source.startswith(STAGE_VARIABLE):
        return event["stageVariables"].get(source.removeprefix(STAGE_VARIABLE))
    value: object = event["requestContext"]
    for name in source.removeprefix(CONTEXT).split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _context(payload: Mapping[str, Any]) -> dict[str, str] | None:
    """The context of a whole answer; None if it names no principal, or holds what AWS cannot turn into text."""
    principal, given = payload.get("principalId"), payload.get("context") or {}
    if not isinstance(principal, str) or not isinstance(given, Mapping):
        return None
    if not all(isinstance(value, str | int | float) for value in given.values()):
        return None
    return {**{name: _text(value) for name, value in given.items()}, "principalId": principal}


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else json.dumps(value)
