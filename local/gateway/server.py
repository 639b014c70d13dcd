"""The gateway as its owner uses it: start, attach, stop. Clients are served in listener.py, functions in management.py.

There are two servers because the websockets library drops HTTP requests that have a body.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from aiohttp import web

from local.gateway.description import read_api
from local.gateway.dispatch import Dispatcher
from local.gateway.errors import GatewayError
from local.gateway.invoke import Invocations, Invoker
from local.gateway.limits import GatewayLimits
from local.gateway.listener import Listener
from local.gateway.management import Management, Throttle

if TYPE_CHECKING:
    from mypy_boto3_apigatewayv2 import ApiGatewayV2Client

log = logging.getLogger("local.gateway")


class Gateway:
    """An API Gateway WebSocket API on this machine.

        gateway = Gateway(client=boto3.client("apigatewayv2"), invoke=LambdaInvoker(client=...), stage="live")
        await gateway.start(port=8080)          # now url and management_endpoint are known
        await gateway.attach("a1b2c3")          # until then handshakes get 503
        await gateway.stop()

    `client` describes the API, `invoke` calls its functions, `now` is the clock of events in seconds.
    `allowed_hosts` are names besides loopback that a request may be addressed to, such as a container bridge's.
    `empty_replies` sends an empty text message when a two-way route's function returns no body: AWS was reported to
    (github.com/serverless/serverless/issues/6816), so clients should bear it.
    """

    def __init__(
        self,
        *,
        client: "ApiGatewayV2Client",
        invoke: Invoker,
        stage: str,
        limits: GatewayLimits | None = None,
        allowed_hosts: Iterable[str] = (),
        empty_replies: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._stage, self._now, self._empty_replies = client, stage, now, empty_replies
        self._limits = limits or GatewayLimits()
        self._invocations = Invocations(invoke)
        allowed = frozenset(name.lower() for name in allowed_hosts)
        self._listener = Listener(stage=stage, limits=self._limits, allowed_hosts=allowed, now=now)
        self._management = Management(
            self._listener.sessions,
            stage=stage,
            limits=self._limits,
            throttle=Throttle(self._limits.calls_per_second, now),
            allowed_hosts=allowed,
            in_background=self._listener.in_background,
        )
        self._runner = web.AppRunner(self._management.app(), access_log=None, shutdown_timeout=1)
        self._authority = self._management_authority = ""

    @property
    def url(self) -> str:
        """Where clients connect; known once started."""
        return f"ws://{self._authority}/{self._stage}"

    @property
    def management_endpoint(self) -> str:
        """The endpoint_url of an apigatewaymanagementapi client; known once started."""
        return f"http://{self._management_authority}/{self._stage}"

    async def start(
        self,
        host: str = "127.0.0.1",
        port: int = 8080,
        management_port: int = 0,
        management_host: str | None = None,
    ) -> None:
        """Listens for clients and for functions from now on; port 0 picks a free one. Raises GatewayError."""
        try:
            self._authority = _authority(host, await self._listener.start(host, port))
        except OSError as exc:
            raise _cannot_listen(host, port, exc) from exc
        await self._runner.setup()
        beside = management_host or host
        try:
            await web.TCPSite(self._runner, beside, management_port).start()
        except OSError as exc:
            await self.stop()
            raise _cannot_listen(beside, management_port, exc) from exc
        self._management_authority = _authority(beside, self._runner.addresses[0][1])

    async def attach(self, api_id: str) -> None:
        """Reads a deployed API and serves it from now on; again after each deploy. Raises GatewayError."""
        api = await asyncio.to_thread(read_api, self._client, api_id, self._stage, self._limits)
        self._listener.dispatcher = Dispatcher(
            api,
            self._invocations,
            domain_name=self._management_authority,  # where a function reaches the connection again
            limits=self._limits,
            now=self._now,
            empty_replies=self._empty_replies,
        )
        log.info("Serving API %s with routes %s.", api_id, ", ".join(sorted(api.routes)))

    async def stop(self) -> None:
        """Closes every connection with 1001 and runs its $disconnect, in bounded time. Leaves nothing running."""
        try:
            async with asyncio.timeout(self._limits.stop_timeout_s):
                await self._listener.close()
        except TimeoutError:
            log.warning("Functions still run; the gateway stops without them.")
            self._listener.abort()
            await self._invocations.end()
            await self._listener.close()
        await self._invocations.end()
        await self._runner.cleanup()


def _authority(host: str, port: int) -> str:
    """The address to use from this machine: a listener on every interface is reached on loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _cannot_listen(host: str, port: int, cause: OSError) -> GatewayError:
    if cause.errno == errno.EADDRINUSE:
        return GatewayError(
            f"Port {port} of {host} is taken: stop the program that uses it, or choose another port (0 picks one)."
        )
    return GatewayError(f"Port {port} of {host} cannot be used ({cause.strerror}): choose another port or host.")
