"""The deployments of the integration tests. If one cannot start, its tests fail with what it says; none is skipped.

They end with the folder's tests and not with the run: also one that nobody uses takes a share of the processor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.integration.deployment import Deployment
from tests.integration.scripts import Processes, scripted

ORIGIN = "https://app.example.com"
ANOTHER_ORIGIN = "https://admin.example.com"

PARAMETERS = {"AllowedOrigins": f"{ORIGIN},{ANOTHER_ORIGIN}"}

# Tests come and go as the same few people, all day long; what the defaults allow: `test_quotas.py`.
PATIENT_LIMITS = {"connects_per_min": 6000, "runs_per_day": 100_000}

# Times so short that a test can see them pass, and a look at the auth service at every connect.
STRICT_LIMITS = PATIENT_LIMITS | {
    "token_grace_s": 2,
    "expiring_notice_s": 3,
    "recheck_s": 1,
    "lease_s": 3,
    "visibility_s": 5,
    "renew_every_s": 1,
    "introspection_timeout_ms": 4000,  # a busy machine is no outage
}
STRICT_PARAMETERS = {"Introspection": "all"}


@pytest.fixture(scope="package")
def deployment() -> Iterator[Deployment]:
    """As `make up` starts it, but for two pages that may use it, and for how often people may come back."""
    running = Deployment("--parameters", json.dumps(PARAMETERS), "--limits", json.dumps(PATIENT_LIMITS))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def processes(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Those of a worker whose agent says what a test has it say."""
    with scripted(deployment, tmp_path_factory.mktemp("processes")) as running:
        yield running


@pytest.fixture
def speaking(deployment: Deployment, processes: Processes) -> Deployment:
    """The deployment with that agent."""
    return deployment


@pytest.fixture(scope="package")
def strict() -> Iterator[Deployment]:
    """One whose limits are short and which asks about every token, for tests that break functions as they go."""
    running = Deployment("--parameters", json.dumps(STRICT_PARAMETERS), "--limits", json.dumps(STRICT_LIMITS))
    yield running
    running.stop()
