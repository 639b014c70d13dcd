"""A ministack of its own for each test that asks for one: it starts in a fraction of a second."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from local.emulators.ministack import Ministack


@pytest_asyncio.fixture
async def ministack(tmp_path: Path) -> AsyncIterator[Ministack]:
    folder = tmp_path / "ministack"
    folder.mkdir()
    running = Ministack(folder)
    await running.start()
    yield running
    await running.stop()
