"""An HTTP API of API Gateway on a laptop, at an address that is known before the API is deployed.

Inside: listening on loopback, reading the one route of a deployed API, calling its function. Kept out: the form of
the events (`http_event.py`), and what gateway/ does for WebSockets. ministack serves HTTP APIs too, but answers every
OPTIONS request itself, drops all but one of a header's values, and sends its exceptions' texts to clients.

    front = Front(access, name="auth service")
    await front.start(port=8081)         # now url is known
    await front.attach("a1b2c3")         # until then requests get 503
    await front.stop()
"""

import asyncio
import errno
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import CIMultiDict

from local.aws import Access
from local.emulators import http_event
from local.errors import Unable
from local.gateway import LAMBDA_CONFIG, LambdaInvoker, hosts
from local.gateway.invoke import Invocations

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client

MAX_BODY_BYTES = 10 * 1024 * 1024  # "Quotas for HTTP APIs", payload size
MAX_HEADER_BYTES = 10_240  # likewise: total combined size of request line and header values
TIMEOUT_S = 30.0  # likewise: maximum integration timeout
FUNCTION = re.compile(
    r"(?:arn:[\w-]+:apigateway:[\w-]+:lambda:path/[\d-]+/functions/)?(arn:[\w:$-]+?)(?:/invocations)?"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """Where an API's requests go."""

    api_id: str
    function_arn: str
    timeout_s: float


class Front:
    """One HTTP API. `url` is valid after `start`."""

    def __init__(self, access: Access, *, name: str) -> None:
        """`name` is what a person is told of this API."""
        self.url, self._name = "", name
        self._client: ApiGatewayV2Client = access.client("apigatewayv2")
        # Threads of its own: the gateway's may all wait for authorizers, and these for what they ask over HTTP.
        self._invoker = LambdaInvoker(client=access.client("lambda", LAMBDA_CONFIG))
        self._invocations = Invocations(self._invoker)
        self._route: Route | None = None
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rsplit(":", 1)[1])

    async def start(self, port: int) -> None:
        """Listen on loopback; port 0 takes a free one. Raises Unable."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port).start()
        except OSError as error:
            await self.stop()
            raise Unable(cannot_listen(port, self._name, error)) from error
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def attach(self, api_id: str) -> None:
        """Serve a deployed API from now on. Raises Unable if not all of its routes lead to one function."""
        self._route = await asyncio.to_thread(read_route, self._client, api_id)

    async def stop(self) -> None:
        await self._invocations.end()
        await self._runner.cleanup()
        self._invoker.close()

    async def _serve(self, request: web.Request) -> web.Response:
        if not hosts.is_local(request.headers.getall("Host", []), ()):
            return message(403, hosts.REFUSAL)
        if self._route is None:
            return message(503, "Service Unavailable")
        if not request.raw_path.startswith("/"):
            return message(400, "Bad Request")
        if sum(len(name) + len(value) for name, value in request.raw_headers) > MAX_HEADER_BYTES:
            return message(431, "Request Header Fields Too Large")
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return message(413, "Request Entity Too Large")
        return await self._ask(self._route, received(request, body, self.port))

    async def _ask(self, route: Route, request: http_event.Request) -> web.Response:
        account_id = route.function_arn.split(":")[4]
        event = http_event.event(request, api_id=route.api_id, account_id=account_id, now=time.time())
        result = await self._invocations.call(route.function_arn, event, route.timeout_s)
        if result.timed_out:
            return message(503, "Service Unavailable")
        try:
            # What a function raised may quote the event, so it is not repeated.
            answer = http_event.answer(result.payload)
        except http_event.MalformedAnswerError as error:
            log.warning("The function of the %s failed: %s", self._name, error)
            return message(500, "Internal Server Error")
        headers = CIMultiDict([*answer.headers, ("apigw-requestid", event["requestContext"]["requestId"])])
        return web.Response(status=answer.status, headers=headers, body=answer.body)


def received(request: web.Request, body: bytes, port: int) -> http_event.Request:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers)
    return http_event.Request(request.method, request.raw_path, headers, body, request.remote or "", port)


def read_route(client: "ApiGatewayV2Client", api_id: str) -> Route:
    """The function behind an API's routes, which all lead to one: others only have a throttle of their own.

    Blocks on the network.
    """
    routes = client.get_routes(ApiId=api_id)["Items"]
    targets = {route.get("Target", "") for route in routes}
    if len(targets) != 1 or http_event.ROUTE not in {route["RouteKey"] for route in routes}:
        raise Unable(f"API {api_id} has routes that lead elsewhere than $default, which is not emulated here.")
    wanted = targets.pop().removeprefix("integrations/")
    integrations = client.get_integrations(ApiId=api_id)["Items"]
    for integration in integrations:
        found = FUNCTION.fullmatch(integration.get("IntegrationUri", ""))
        if integration["IntegrationId"] == wanted and found and integration["PayloadFormatVersion"] == "2.0":
            timeout_s = integration.get("TimeoutInMillis", TIMEOUT_S * 1000) / 1000
            return Route(api_id, found[1], min(timeout_s, TIMEOUT_S))
    raise Unable(f"$default of API {api_id} leads to no Lambda function with payload format 2.0.")


def message(status: int, text: str) -> web.Response:
    """API Gateway's own answers have this form."""
    return web.Response(status=status, body=json.dumps({"message": text}).encode(), content_type="application/json")


def cannot_listen(port: int, name: str, cause: OSError) -> str:
    if cause.errno == errno.EADDRINUSE:
        return f"Port {port} for the {name} is taken: stop the program that uses it, or choose another PORT."
    return f"Port {port} for the {name} cannot be used ({cause.strerror}): choose another PORT."
