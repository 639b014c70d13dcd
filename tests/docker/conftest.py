"""One deployed stack and one `sam local start-lambda` for all event files.

`sam local invoke` assembles the image anew for every call (8 s here), so the whole set would take five minutes; with
start-lambda each function's container is made once and stays warm. One test sends an event by `sam local invoke`.
"""

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from local import invoke
from local.aws import Access
from local.errors import Unable
from local.invoke import Bench

TIME_FACTOR = float(os.environ.get("TIME_FACTOR", "3"))
START_S = 20 * TIME_FACTOR
ANSWER_S = 60 * TIME_FACTOR


@dataclass(frozen=True)
class Lambda:
    """The functions in their containers, and the stack behind them."""

    bench: Bench
    access: Access

    def answer(self, event: str) -> dict[str, Any]:
        """What the function whose name begins `event` answers to that file, after all that precedes it."""
        function = event.partition("-")[0]
        self.bench.prepare(function)
        filled = self.bench.event(event)
        once = Config(read_timeout=ANSWER_S, retries={"total_max_attempts": 1})
        client = self.access.client("lambda", once)
        response = client.invoke(FunctionName=invoke.logical_id(function), Payload=json.dumps(filled))
        answer: dict[str, Any] = json.loads(response["Payload"].read())
        return answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


async def listens(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        await asyncio.sleep(0.2)
    pytest.fail("`sam local start-lambda` does not listen")


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Lambda]:
    async with invoke.bench(folder) as bench:
        port = free_port()
        warm = ["--port", str(port), "--warm-containers", "LAZY"]
        with (folder / "start-lambda.log").open("wb") as log:
            sam = await bench.sam.start(
                bench.sam.local("start-lambda", *warm, variables=bench.variables()), stdout=log, stderr=log
            )
        try:
            await listens(port)
            key = bench.sam.access
            yield Lambda(bench, Access(f"http://127.0.0.1:{port}", key.aws_access_key_id, key.aws_secret_access_key))
        finally:
            await sam.stop()


@pytest.fixture(scope="session")
def functions(tmp_path_factory) -> Iterator[Lambda]:
    with asyncio.Runner() as runner:
        stack = serving(tmp_path_factory.mktemp("state"))
        try:
            ready = runner.run(stack.__aenter__())
        except Unable as error:
            pytest.fail(str(error), pytrace=False)
        try:
            yield ready
        finally:
            runner.run(stack.__aexit__(None, None, None))
