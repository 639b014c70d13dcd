"""A ministack for the tests of a module, and one of its own for a test that deploys a stack."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from local.emulators.ministack import Ministack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ministack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ministack]:
    """Tests that share it name what they make there each by itself."""
    running = Ministack(tmp_path_factory.mktemp("ministack"))
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture
async def empty_ministack(tmp_path: Path) -> AsyncIterator[Ministack]:
    folder = tmp_path / "ministack"
    folder.mkdir()
    running = Ministack(folder)
    await running.start()
    yield running
    await running.stop()
