"""The whole laptop stack, put together: ministack, gateway, fronts, issuer, the deployed template, the pollers.

Inside: in which order they start and stop, and which addresses each gets of the others. Kept out: what each of them
does (a module of its own each), and the command line (`__main__.py`).

    async with Stack(state_folder, port=8080) as stack:
        print(stack.facts["url"])
        await stack.ended()      # returns only if ministack dies
"""

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from local import state
from local.build import Say, Target, built
from local.deploy import Deployment, deploy
from local.emulators.http_api import Front
from local.emulators.issuer import CLIENT_ID, GROUPS_CLAIM, Issuer
from local.emulators.ministack import Ministack
from local.emulators.queue_poller import Poller
from local.errors import Unable
from local.gateway import LAMBDA_CONFIG, Gateway, GatewayError, LambdaInvoker
from local.state import running

__all__ = ["Stack", "free_port", "running"]

STAGE = "live"


class Stack:
    """One stack, up for the length of an `async with` block; what it leaves behind is its keys and its build."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int,
        say: Say,
        limits: str = "{}",
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """`folder` keeps state between starts. `port` is the WebSocket's, 0 for any. `say` gets lines of progress.

        The auth service and the HTTP API take the next two ports, or free ones where another program has those.
        `limits` is the template's parameter Limits, a JSON object; `parameters` are further ones.
        """
        self._folder, self._port, self._say = folder, port, say
        self._parameters = {"Limits": limits} | dict(parameters or {})
        # A new name each time, since ministack derives the keys of its functions' sessions from their names.
        self._stack_name = f"agentsocket-{secrets.token_hex(4)}"
        self._closing = AsyncExitStack()
        self.facts: dict[str, Any] = {}

    async def __aenter__(self) -> "Stack":
        """Start everything. Raises Unable, with nothing left running."""
        try:
            async with AsyncExitStack() as starting:
                await self._start(starting)
                self._closing = starting.pop_all()
        except GatewayError as error:
            raise Unable(str(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    async def ended(self) -> str:
        """Wait until ministack ends by itself, which it should not. Returns what it said last."""
        return await self._ministack.ended()

    async def _start(self, starting: AsyncExitStack) -> None:
        run, lock = state.new_run(state.prepare(self._folder))
        starting.callback(lock.close)
        starting.callback(shutil.rmtree, run, ignore_errors=True)
        self._ministack = Ministack(run)
        starting.push_async_callback(self._ministack.stop)
        self._issuer = Issuer(self._folder)
        starting.push_async_callback(self._issuer.stop)
        self._gateway = self._new_gateway(starting)
        await self._gateway.start(port=self._port)
        self._auth = await self._new_front(starting, "auth service", self._port + 1)
        self._http = await self._new_front(starting, "HTTP API", self._port + 2)
        await self._issuer.start()
        await self._ministack.start()
        deployment = await self._deploy(run / "layers")
        await self._gateway.attach(deployment.outputs["ApiId"])
        await self._auth.attach(deployment.outputs["AuthApiId"])
        await self._http.attach(deployment.outputs["HttpApiId"])
        self._serve(starting, deployment)
        self._publish(starting, deployment)

    def _new_gateway(self, starting: AsyncExitStack) -> Gateway:
        access = self._ministack.access
        invoker = LambdaInvoker(client=access.client("lambda", LAMBDA_CONFIG))
        starting.callback(invoker.close)
        client = access.client("apigatewayv2")
        gateway = Gateway(client=client, invoke=invoker, stage=STAGE)
        starting.push_async_callback(gateway.stop)
        return gateway

    async def _new_front(self, starting: AsyncExitStack, name: str, wanted: int) -> Front:
        front = Front(self._ministack.access, name=name)
        starting.push_async_callback(front.stop)
        await front.start(free_port(wanted, self._say, what=f" for the {name}") if self._port else 0)
        return front

    async def _deploy(self, layers: Path) -> Deployment:
        target = Target.this_machine()
        parameters = self._template_parameters(target)
        async with built(self._folder / "build", target, say=self._say) as template:
            self._say("deploying template.yaml")
            return await asyncio.to_thread(
                deploy,
                self._ministack.access,
                template,
                stack_name=self._stack_name,
                parameters=parameters,
                layers=layers,
            )

    def _template_parameters(self, target: Target) -> dict[str, str]:
        return {
            "Local": "true",
            "StageName": STAGE,
            # Its own address as clients see it, which the deployed stack cannot know.
            "Issuer": self._auth.url,
            "IdentityIssuer": self._issuer.url,
            "IdentityClientId": CLIENT_ID,
            "IdentityJwksUrl": f"{self._issuer.url}/.well-known/jwks.json",
            "GroupsClaim": GROUPS_CLAIM,
            # An https address of S3, where there is nothing of this machine.
            "PublishKeys": "false",
            "ManagementEndpoint": self._gateway.management_endpoint,
            "PythonRuntime": target.runtime,
            "Architecture": target.architecture,
        } | self._parameters

    def _serve(self, starting: AsyncExitStack, deployment: Deployment) -> None:
        for feed in deployment.feeds:
            poller = Poller(self._ministack.access, feed)
            starting.push_async_callback(poller.stop)
            poller.start()

    def _publish(self, starting: AsyncExitStack, deployment: Deployment) -> None:
        port = int(self._gateway.url.split(":")[2].split("/")[0])
        self.facts = {
            "pid": os.getpid(),
            "port": port,
            "url": self._gateway.url,
            "auth": self._auth.url,
            "http": self._http.url,
            "management_endpoint": self._gateway.management_endpoint,
            "issuer": self._issuer.url,
            "stack": self._stack_name,
            "aws": self._ministack.access.as_facts(),
            "outputs": deployment.outputs,
        }
        lock = state.publish(self._folder, port, self.facts)
        starting.callback(state.withdraw, self._folder, port, lock)


def free_port(wanted: int, say: Say, *, what: str = "") -> int:
    """`wanted`, or 0 (any) when another program has it."""
    try:
        socket.create_server(("127.0.0.1", wanted)).close()
    except (OSError, OverflowError):
        say(f"port {wanted}{what} is in use, taking another one")
        return 0
    return wanted
