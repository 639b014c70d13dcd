"""The whole laptop stack, put together: ministack, gateway, issuer, the deployed template, the poller.

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
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from local import state
from local.build import Say, Target, built
from local.deploy import Deployment, deploy
from local.errors import Unable
from local.gateway import LAMBDA_CONFIG, Gateway, GatewayError, GatewayLimits, LambdaInvoker
from local.issuer import AUDIENCE, Issuer
from local.ministack import Ministack
from local.poller import Poller
from local.state import running

__all__ = ["Stack", "running"]

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
        gateway_limits: GatewayLimits | None = None,
    ) -> None:
        """`folder` keeps state between starts. `port` is the WebSocket's, 0 for any. `say` gets lines of progress.

        `limits` is the template's parameter Limits, a JSON object; `parameters` are further ones.
        """
        self._folder, self._port, self._say = folder, port, say
        self._parameters = {"Limits": limits} | dict(parameters or {})
        self._gateway_limits = gateway_limits
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
        await self._issuer.start()
        await self._ministack.start()
        deployment = await self._deploy()
        await self._gateway.attach(deployment.outputs["ApiId"])
        self._serve(starting, deployment)
        self._publish(starting, deployment)

    def _new_gateway(self, starting: AsyncExitStack) -> Gateway:
        access = self._ministack.access
        invoker = LambdaInvoker(client=access.client("lambda", LAMBDA_CONFIG))
        starting.callback(invoker.close)
        client = access.client("apigatewayv2")
        gateway = Gateway(client=client, invoke=invoker, stage=STAGE, limits=self._gateway_limits)
        starting.push_async_callback(gateway.stop)
        return gateway

    async def _deploy(self) -> Deployment:
        target = Target.this_machine()
        parameters = self._template_parameters(target)
        # A new name each time, since ministack derives the keys of its functions' sessions from their names.
        name = f"agentsocket-{secrets.token_hex(4)}"
        async with built(self._folder / "build", target, say=self._say) as template:
            self._say("deploying template.yaml")
            return await asyncio.to_thread(
                deploy, self._ministack.access, template, stack_name=name, parameters=parameters
            )

    def _template_parameters(self, target: Target) -> dict[str, str]:
        return self._parameters | {
            "Local": "true",
            "StageName": STAGE,
            "Issuer": self._issuer.url,
            "JwksUrl": f"{self._issuer.url}/.well-known/jwks.json",
            "Audience": AUDIENCE,
            "ManagementEndpoint": self._gateway.management_endpoint,
            "PythonRuntime": target.runtime,
            "Architecture": target.architecture,
        }

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
            "management_endpoint": self._gateway.management_endpoint,
            "issuer": self._issuer.url,
            "aws": self._ministack.access.as_facts(),
            "outputs": deployment.outputs,
        }
        lock = state.publish(self._folder, port, self.facts)
        starting.callback(state.withdraw, self._folder, port, lock)
