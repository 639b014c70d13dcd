"""One deployment for all integration tests. When it cannot start, they fail with what it says, and are not skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.deployment import Deployment


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    running = Deployment()
    yield running
    running.stop()
