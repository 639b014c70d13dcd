"""Starts gateways for a test and stops them after it."""

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from local.gateway import Gateway, GatewayLimits
from tests.gateway.fakes import FakeApi, Functions, Running, Start, three_routes


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a gateway for an API, by default one with the three routes of AWS's own names."""
    started: list[Running] = []

    async def started_gateway(
        api: FakeApi | None = None, *, attached: bool = True, limits: dict[str, Any] | None = None, **parts: Any
    ) -> Running:
        options = {name: parts.pop(name) for name in ("now", "allowed_hosts", "empty_replies") if name in parts}
        api, functions = api or three_routes(), Functions(**parts)
        numbers = GatewayLimits(**(limits or {}))
        gateway = Gateway(client=cast(Any, api), invoke=functions, stage="live", limits=numbers, **options)
        await gateway.start(port=0)
        started.append(Running(gateway, api, functions))
        if attached:
            await gateway.attach("a1b2c3")
        return started[-1]

    yield started_gateway
    for running in started:
        await running.leave()
        await running.gateway.stop()
