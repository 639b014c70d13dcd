"""The fake server, for every test of the client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.client.fakes import FakeServer, running_server


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with running_server() as fake:
        yield fake
