"""What the tests of every folder share: a table in moto, a user, and the seams of one message's life."""

from __future__ import annotations

import asyncio
import gc
import io
import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from aws_lambda_powertools import Logger
from moto import mock_aws

from agentsocket.handlers import decorators
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.principal import of_claims as principal_of_claims
from agentsocket.runtime import Runtime
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage, UserStorage
from tests.support.fakes import Clock

pytest_plugins = ["tests.support.peak_memory", "tests.support.interrupting", "tests.support.scheduling"]

ISSUER = "https://issuer.example"

# The SDK must neither find credentials of the person who runs the tests nor ask the network for some.
os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="eu-central-1")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

SESSION = boto3.Session()

_THAWS = itertools.count(1)


def principal_of(name: str, clock: Clock, *, lifetime_s: int = 900) -> Principal:
    """A user who has just signed in."""
    now = int(clock())
    return principal_of_claims({"iss": ISSUER, "sub": name, "iat": now, "exp": now + lifetime_s})


@contextmanager
def captured(logger: Logger) -> Iterator[io.StringIO]:
    """Everything that is logged meanwhile, as CloudWatch would get it."""
    [handler] = logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with captured(decorators.logger) as written:
        yield written


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def create_table(client: Any, name: str = "agentsocket") -> None:
    """An empty table, as template.yaml declares it."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "PK", "AttributeType": "S"},
            {"AttributeName": "SK", "AttributeType": "S"},
            {"AttributeName": "activity", "AttributeType": "N"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_activity",
                "KeySchema": [
                    {"AttributeName": "PK", "KeyType": "HASH"},
                    {"AttributeName": "activity", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )


@contextmanager
def mocked_aws() -> Iterator[None]:
    """moto's AWS for the length of the block, empty, behind one session of boto3 for all tests.

    A session reads the services' descriptions when it makes its first client: 0.1 s, and megabytes. moto has each block
    begin a new one.
    """
    with mock_aws():
        boto3.DEFAULT_SESSION = SESSION
        yield


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    """`wiring` tells the garbage collector to leave out what is there: for good, in a function's process; not here.

    What is thawed counts as old, which is seldom looked through; so that is done now and then.
    """
    yield
    if gc.get_freeze_count():
        gc.unfreeze()
        if next(_THAWS) % 25 == 0:
            gc.collect()


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    """A DynamoDB client on an empty table."""
    with mocked_aws():
        client = boto3.client("dynamodb")
        create_table(client)
        yield client


@pytest.fixture
def table(dynamodb: Any, clock: Clock) -> Table:
    return Table(dynamodb, "agentsocket", now=clock)


@pytest.fixture
def storage(table: Table, limits: Limits) -> Storage:
    return Storage(table, limits=limits, generation="1")


@pytest.fixture
def ada(clock: Clock) -> Principal:
    return principal_of("ada", clock)


@pytest.fixture
def bob(clock: Clock) -> Principal:
    return principal_of("bob", clock)


@pytest.fixture
def adas(storage: Storage, ada: Principal) -> UserStorage:
    return storage.for_user(ada)


@pytest.fixture
def runtime(clock: Clock, limits: Limits) -> Runtime:
    """Real asyncio, a clock that stands still, and blocking calls made in place: moto is not for threads."""

    async def offload(function: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    return Runtime(clock, asyncio.sleep, max, offload, limits)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Any]:
    """A real Redis of this session's own (`redis_server.RedisProcess`). Tests share it: each uses keys of its own."""
    from tests.support.redis_server import running

    with running() as process:
        yield process
