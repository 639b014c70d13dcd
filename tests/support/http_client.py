"""Asks the HTTP API through its Lambda handler, as API Gateway does; its document has every answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

import jsonschema

from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.handlers import decorators
from agentsocket.http_api import openapi
from agentsocket.http_api.api import Api
from agentsocket.principal import Principal
from tests.conftest import principal_of
from tests.support.fakes import Clock
from tests.support.world import World

ORIGIN = "https://app.example.com"
DOCUMENT = json.loads(openapi.publish())
FAILURE = {"$ref": "#/components/schemas/Failure"}


@dataclass
class Asking:
    """A handler, and how to ask it. `seen` are the statuses that each operation has answered with."""

    handler: Any
    seen: set[tuple[str, str, int]] = field(default_factory=set)

    def __call__(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        base64: bool = False,
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, body (None without one) and headers. A `body` that is no text goes as JSON."""
        given = {"Authorization": f"Bearer {token}"} if token is not None else {}
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {**given, **(headers or {})},
            "queryStringParameters": query,
            "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
            "body": body if isinstance(body, str | None) else json.dumps(body),
            "isBase64Encoded": base64,
        }
        answer = self.handler(event, None)
        text = answer["body"] if answer.get("body") else None
        found = json.loads(text) if text else None
        if method != "OPTIONS" or found:
            self.seen.add(validate(method, path, answer["statusCode"], found))
        return answer["statusCode"], found, answer["headers"]


class Client(Asking):
    """Asks as users of a world do. A token is its user's name; some names are trouble."""

    def __init__(self, world: World, clock: Clock) -> None:
        api = Api(
            storage=world.storage,
            contexts=world.contexts,
            run_queue=cast(RunQueue, world.queue),
            management_api=cast(ManagementApi, world.sockets),
            verify=self.verify,
            now=clock,
        )
        super().__init__(decorators.http(api, origins={ORIGIN}))
        self.tokens = {name: principal_of(name, clock) for name in ("ada", "bob")}

    def verify(self, token: str) -> Principal:
        if token == "outage":
            raise Unavailable("the auth service does not answer")
        if token == "bug":
            raise ZeroDivisionError("a secret")
        if token not in self.tokens:
            raise TokenRejected("unknown")
        return self.tokens[token]


def validate(method: str, path: str, status: int, body: Any) -> tuple[str, str, int]:
    """An answer against the document. Returns the operation's path and method, and the status."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template.replace(".", r"\.")), unquote(path)):
            operation = operations.get(method.lower())
            assert (operation is None) == (status == 405), (method, path, status)
            schema = FAILURE if operation is None else _schema(operation["responses"], status)
            break
    else:
        assert status == 404
        template, schema = "", FAILURE
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(body)
    return template, method.lower(), status


def _schema(responses: dict[str, Any], status: int) -> Any:
    assert str(status) in responses, f"the document knows no {status} here"
    return responses[str(status)]["content"]["application/json"]["schema"]
