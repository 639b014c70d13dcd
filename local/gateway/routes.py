"""The deployed API as the gateway needs it: which function answers which message. Reading it is done in description.py.

Source: "WebSocket selection expressions" in the API Gateway guide.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

DEFAULT = "$default"
CONNECT = "$connect"
DISCONNECT = "$disconnect"

SELECTION = re.compile(r"\$(?:request\.body\.([\w.-]+)|\{request\.body\.([\w.-]+)\})")


@dataclass(frozen=True)
class Authorizer:
    """A Lambda REQUEST authorizer of $connect."""

    function_arn: str
    identity_sources: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """A route and the function behind it. `two_way`: its answer's body goes back to the client."""

    key: str
    function_arn: str
    timeout_s: float
    two_way: bool
    authorizer: Authorizer | None = None


@dataclass(frozen=True)
class Api:
    """One stage of a WebSocket API. `selector` is the path into a message's body that names its route."""

    api_id: str
    stage: str
    region: str
    selector: tuple[str, ...]
    routes: Mapping[str, Route]
    stage_variables: Mapping[str, str]

    def route_for(self, message: str) -> Route | None:
        """The route of a client's message; $default when its body names none that exists, None without either.

        A body may name any key, also ``$disconnect``: AWS compares the text and no more, so functions must look at
        the eventType.
        """
        return self.routes.get(_selected(message, self.selector), self.routes.get(DEFAULT))


def selector(expression: str) -> tuple[str, ...] | None:
    """The path in ``$request.body.a.b`` or ``${request.body.a.b}``; None for any other expression."""
    found = SELECTION.fullmatch(expression)
    return tuple((found[1] or found[2]).split(".")) if found else None


def _selected(message: str, path: tuple[str, ...]) -> str:
    try:
        value: object = json.loads(message, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return DEFAULT
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, int | float) else DEFAULT


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON.")
