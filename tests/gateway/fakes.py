"""What stands around the gateway in its tests: an API description service, functions, a Lambda endpoint, raw clients.

They are small programs with behaviour of their own; none of them records expectations.
"""

import asyncio
import base64
import inspect
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from botocore.exceptions import ClientError
from websockets.asyncio.client import ClientConnection, connect

from local.gateway import Gateway, InvokeResult

PATIENCE_S = 10 * float(os.environ.get("TIME_FACTOR", "3"))
"""How long a test waits for what must happen; never how long something may take."""

ACCOUNT = "123456789012"
REGION = "eu-west-1"

Handler = Callable[[dict[str, Any]], Any]
Start = Callable[..., Awaitable["Running"]]


def arn(function: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


def uri(function: str) -> str:
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{arn(function)}/invocations"


class FakeApi:
    """An apigatewayv2 client that knows one WebSocket API with one stage, and hands out one item a page."""

    def __init__(self, *, selection: str = "$request.body.action", variables: dict[str, str] | None = None) -> None:
        self.meta = SimpleNamespace(region_name=REGION)
        self.api = {"ApiId": "a1b2c3", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": selection}
        self.variables = variables or {}
        self.routes: list[dict[str, Any]] = []
        self.integrations: list[dict[str, Any]] = []
        self.authorizers: list[dict[str, Any]] = []
        self.route_responses: dict[str, list[dict[str, Any]]] = {}

    def route(self, key: str, function: str, *, two_way: bool = False, timeout_ms: int = 29000, **more: Any) -> None:
        """Adds a route with a Lambda proxy integration."""
        number = str(len(self.routes))
        integration = {"IntegrationId": f"i{number}", "IntegrationType": "AWS_PROXY", "TimeoutInMillis": timeout_ms}
        self.integrations.append({**integration, "IntegrationUri": uri(function)})
        route = {"RouteId": number, "RouteKey": key, "Target": f"integrations/i{number}"}
        if two_way:
            route["RouteResponseSelectionExpression"] = "$default"
            self.route_responses[number] = [{"RouteResponseId": "r", "RouteResponseKey": "$default"}]
        self.routes.append({**route, **more})

    def connect_route(self, function: str, *, authorizer: str, identity_sources: Iterable[str] = ()) -> None:
        """Adds $connect behind a Lambda REQUEST authorizer."""
        described = {"AuthorizerId": "auth", "AuthorizerType": "REQUEST", "AuthorizerUri": uri(authorizer)}
        self.authorizers.append({**described, "IdentitySource": [*identity_sources]})
        self.route("$connect", function, AuthorizationType="CUSTOM", AuthorizerId="auth")

    def get_api(self, *, ApiId: str) -> dict[str, Any]:  # noqa: N803
        if ApiId != self.api["ApiId"]:
            raise ClientError({"Error": {"Code": "NotFoundException", "Message": "Invalid API identifier"}}, "GetApi")
        return dict(self.api)

    def get_stage(self, *, ApiId: str, StageName: str) -> dict[str, Any]:  # noqa: N803
        if StageName != "live":
            raise ClientError({"Error": {"Code": "NotFoundException", "Message": "Unable to find Stage"}}, "GetStage")
        return {"StageName": StageName, "StageVariables": self.variables}

    def get_routes(self, *, ApiId: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        return _page(self.routes, NextToken)

    def get_integrations(self, *, ApiId: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        return _page(self.integrations, NextToken)

    def get_authorizers(self, *, ApiId: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        return _page(self.authorizers, NextToken)

    def get_route_responses(self, *, ApiId: str, RouteId: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        return _page(self.route_responses.get(RouteId, []), NextToken)


def three_routes() -> FakeApi:
    api = FakeApi()
    api.route("$connect", "connect")
    api.route("$disconnect", "disconnect")
    api.route("$default", "default", two_way=True)
    return api


def _page(items: list[dict[str, Any]], token: str) -> dict[str, Any]:
    start = int(token)
    page: dict[str, Any] = {"Items": items[start : start + 1]}
    if start + 1 < len(items):
        page["NextToken"] = str(start + 1)
    return page


class FunctionError(Exception):
    """What a function raises; its text is the errorMessage."""


class Functions:
    """Runs Python callables as Lambda would: JSON in, JSON out, an exception becomes an error result."""

    def __init__(self, **handlers: Handler) -> None:
        self.handlers: dict[str, Handler] = {"connect": ok, "disconnect": ok, "default": ok, **handlers}
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._changed = asyncio.Condition()

    async def __call__(self, function_arn: str, event: dict[str, Any], timeout_s: float) -> InvokeResult:
        name = function_arn.rpartition(":")[2]
        received = json.loads(json.dumps(event))
        async with self._changed:
            self.events.append((name, received))
            self._changed.notify_all()
        try:
            returned = self.handlers[name](received)
            returned = json.loads(json.dumps(await returned if inspect.isawaitable(returned) else returned))
        except FunctionError as exc:
            return InvokeResult(error=str(exc))
        return InvokeResult(payload=returned if isinstance(returned, dict) else None)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The events a function has received so far."""
        return [event for called, event in self.events if called == name]

    async def event(self, name: str, nth: int = 0) -> dict[str, Any]:
        """The nth event of a function, once it has come."""
        async with self._changed, asyncio.timeout(PATIENCE_S):
            await self._changed.wait_for(lambda: len(self.of(name)) > nth)
        return self.of(name)[nth]


def ok(event: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": 200}


def echo(event: dict[str, Any]) -> dict[str, Any]:
    return {"statusCode": 200, "body": event["body"]}


def returns(value: Any) -> Handler:
    return lambda event: value


def raises(message: str) -> Handler:
    def handler(event: dict[str, Any]) -> None:
        raise FunctionError(message)

    return handler


async def hangs(event: dict[str, Any]) -> None:
    await asyncio.Event().wait()


def policy(effect: str = "Allow", resource: str | None = None, **more: Any) -> Handler:
    """An authorizer that answers with one statement about the method it is asked for, or about `resource`."""

    def handler(event: dict[str, Any]) -> dict[str, Any]:
        statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource or event["methodArn"]}
        return {"principalId": "ada", "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}, **more}

    return handler


@dataclass
class Running:
    """A started gateway with everything around it."""

    gateway: Gateway
    api: FakeApi
    functions: Functions
    clients: list[ClientConnection] = field(default_factory=list)
    answers: list["RawAnswer"] = field(default_factory=list)

    @property
    def authority(self) -> str:
        return self.gateway.url.removeprefix("ws://").partition("/")[0]

    async def connect(self, *, query: str = "", **options: Any) -> ClientConnection:
        """A client that is closed at the end of the test, and sends no pings of its own."""
        settings = {"proxy": None, "ping_interval": None, "compression": None, "close_timeout": 1, **options}
        client = await connect(self.gateway.url + query, open_timeout=PATIENCE_S, **settings)
        self.clients.append(client)
        return client

    async def upgrade(self, *lines: str, path: str = "/live", host: str | None = None) -> "RawAnswer":
        """An upgrade request written by hand, with these header lines besides the necessary ones."""
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        handshake = [
            f"GET {path} HTTP/1.1",
            f"Host: {host or self.authority}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        return await self.request(*handshake, *lines)

    async def request(self, *lines: str) -> "RawAnswer":
        """Any request written by hand to the clients' listener."""
        self.answers.append(await raw_request(self.authority, *lines))
        return self.answers[-1]

    async def leave(self) -> None:
        """Closes every client."""
        for client in self.clients:
            await client.close()
        for answer in self.answers:
            answer.writer.close()

    async def closed(self, client: ClientConnection) -> tuple[int | None, str | None]:
        """The code and reason with which the gateway closed."""
        async with asyncio.timeout(PATIENCE_S):
            await client.wait_closed()
        return client.close_code, client.close_reason


@dataclass
class RawAnswer:
    """An HTTP answer as it came, `headers` in order and case; after a 101 its streams are the WebSocket's."""

    status: int
    headers: list[tuple[str, str]]
    body: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


async def raw_request(authority: str, *lines: str) -> RawAnswer:
    host, _, port = authority.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    async with asyncio.timeout(PATIENCE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:] if line)]
        status = int(head[0].split()[1])
        body = b"" if status == 101 else await reader.read()
    if status != 101:
        writer.close()
    return RawAnswer(status, headers, body.decode(), reader, writer)


class Endpoint:
    """An HTTP server on a free port."""

    def __init__(self, *routes: web.AbstractRouteDef) -> None:
        app = web.Application()
        app.add_routes(routes)
        self._runner = web.AppRunner(app)
        self.endpoint = ""

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()


class FakeLambda(Endpoint):
    """Lambda's Invoke API in front of functions that make whole HTTP answers."""

    def __init__(self, functions: dict[str, Handler]) -> None:
        super().__init__(web.post("/2015-03-31/functions/{arn}/invocations", self._invoke))
        self._functions = functions

    async def _invoke(self, request: web.Request) -> web.Response:
        name = request.match_info["arn"].rpartition(":")[2]
        if name not in self._functions:
            headers = {"x-amzn-ErrorType": "ResourceNotFoundException"}
            return web.json_response({"Message": "Function not found"}, status=404, headers=headers)
        answer = self._functions[name](await request.json())
        answered: web.Response = await answer if inspect.isawaitable(answer) else answer
        return answered


class FakeControlPlane(Endpoint):
    """A FakeApi behind API Gateway v2's HTTP API, whose names begin in lower case."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__(web.get("/v2/apis/{api}{rest:.*}", self._get))
        self._api = api

    async def _get(self, request: web.Request) -> web.Response:
        which = {"ApiId": request.match_info["api"]}
        token = {"NextToken": request.query["nextToken"]} if "nextToken" in request.query else {}
        match request.match_info["rest"].split("/")[1:]:
            case []:
                answer = self._api.get_api(**which)
            case ["stages", stage]:
                answer = self._api.get_stage(**which, StageName=stage)
            case ["routes", route, "routeresponses"]:
                answer = self._api.get_route_responses(**which, RouteId=route, **token)
            case [kind]:
                answer = getattr(self._api, f"get_{kind}")(**which, **token)
        return web.json_response(_lower(answer))


def _lower(value: Any, *, variables: bool = False) -> Any:
    if isinstance(value, list):
        return [_lower(item) for item in value]
    if not isinstance(value, dict) or variables:
        return value
    return {
        name[0].lower() + name[1:]: _lower(item, variables=name == "StageVariables") for name, item in value.items()
    }
