"""The judge of who stays too long can fail: sockets that nobody closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agentsocket import principal
from tests.simulation import epilogues
from tests.simulation.apigateway import Socket
from tests.simulation.deployment import ISSUER, Deployment, Making
from tests.simulation.faults import Faults
from tests.simulation.loop import VirtualLoop
from tests.simulation.playing import Play
from tests.simulation.simulating import _Stage
from tests.simulation.stories import Story


def _judged(ask: Callable[[Play, Deployment], Awaitable[list[str]]], token_life_s: int = 40) -> list[str]:
    """What is found in a deployment where one socket is open that has no row, so that nobody knows of it."""
    loop = VirtualLoop()
    stage = _Stage(0, loop, Faults(), Making(token_life_s=token_life_s))
    deployment = stage.deployment

    async def story() -> list[str]:
        who = deployment.admit(deployment.token("ada"))
        assert who is not None
        socket = deployment.sockets.sockets["phone-1="] = Socket("phone-1=", who, deployment.sockets)
        socket.server_open = True
        return await ask(
            Play(Story(name="none", devices={}, steps=()), stage, prefix="", tell=list[str]().append), deployment
        )

    try:
        return loop.run_until_complete(story())
    finally:
        loop.finish()


def test_a_socket_that_outlives_its_token_is_seen():
    assert _judged(epilogues.expired) == ["phone-1= is open, and its token has expired"]
    assert _judged(epilogues.expired, token_life_s=900) == []


def test_a_socket_that_outlives_a_sign_out_is_seen():
    async def signed_out(_: Play, deployment: Deployment) -> list[str]:
        await asyncio.sleep(1)
        deployment.start()
        deployment.sign_out("ada")
        return await epilogues.revoked(deployment)

    assert _judged(signed_out) == ["phone-1= is open, and its token was revoked"]


def test_a_sign_out_that_nobody_carries_out_is_seen():
    async def signed_out(_: Play, deployment: Deployment) -> list[str]:
        deployment.sign_out("ada")  # and nobody polls the queue
        return await epilogues.revoked(deployment)

    user = principal.user_id(ISSUER, "ada")
    assert _judged(signed_out) == [f"the sign-out of {user} was not carried out"]


def test_without_a_sign_out_nothing_is_revoked():
    async def nothing(_: Play, deployment: Deployment) -> list[str]:
        return await epilogues.revoked(deployment)

    assert _judged(nothing) == []
