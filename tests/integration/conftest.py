"""The deployments of the integration tests. If one cannot start, its tests fail with what it says; none is skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.deployment import Deployment

ORIGIN = "https://app.example.com"
ANOTHER_ORIGIN = "https://admin.example.com"

PARAMETERS = {"AllowedOrigins": f"{ORIGIN},{ANOTHER_ORIGIN}"}

# Times so short that a test can see them pass, and a look at the auth service at every connect.
STRICT_LIMITS = {"token_grace_s": 2, "expiring_notice_s": 3, "recheck_s": 1}
STRICT_PARAMETERS = {"Introspection": "all"}


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """As `make up` starts it, but for two pages that may use it."""
    running = Deployment("--parameters", json.dumps(PARAMETERS))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def strict() -> Iterator[Deployment]:
    """One whose limits are short and which asks about every token, for tests that break functions as they go."""
    running = Deployment("--parameters", json.dumps(STRICT_PARAMETERS), "--limits", json.dumps(STRICT_LIMITS))
    yield running
    running.stop()
