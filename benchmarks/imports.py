"""Cold imports: what a function's first invocation pays before its handler runs, against what its libraries cost alone.

Each import runs in an interpreter of its own that has the layers as they are deployed, bytecode included, and nothing
else; floor and figure in turn. Processor time is shown beside the clock's: a busy machine disturbs it less.

`python -m benchmarks imports --against REVISION` compares with another commit in place of the floor.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from layers import build
from tests.support.env import GIVEN
from tests.support.size_budget import ROOT

ROUNDS = 25
AIM = 1.15
# The session asks nobody for credentials: on Lambda too they stand in the environment.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
CLOCK = (
    "import sys, time; sys.path[:0] = {path!r}; started, used = time.perf_counter(), time.process_time(); {statement}; "
    "print(time.perf_counter() - started, time.process_time() - used)"
)
CLIENTS = "import boto3; session = boto3.Session(); [session.client(name) for name in {!r}]"
FLOORS = {
    "authorizer": "import jwt, aws_lambda_powertools",
    "connect": CLIENTS.format(["dynamodb", "sqs"]),
    "message": CLIENTS.format(["dynamodb", "sqs", "apigatewaymanagementapi"]),
    "disconnect": CLIENTS.format(["dynamodb"]),
}


def measure() -> None:
    """Print the medians of each function's import beside its floor's, and their ratios."""
    with layers() as folder:
        for name, floor in FLOORS.items():
            path = [*folder, ROOT / "functions" / name]
            rounds = [(cold("import app", path), cold(floor, path)) for _ in range(ROUNDS)]
            (wall, cpu), (wall_floor, cpu_floor) = (_medians(column) for column in zip(*rounds, strict=True))
            print(
                f"  {name:<11} {wall:4.0f} ms   libraries alone {wall_floor:4.0f} ms   ratio {wall / wall_floor:.2f}"
                f"   of processor time {cpu:4.0f}, {cpu_floor:4.0f} ms: {cpu / cpu_floor:.2f}   aim: at most {AIM}"
            )


def compare(revision: str) -> None:
    """Print the same medians of this tree and of `revision`, a commit of this repository, each in turn."""
    with layers() as now, layers_of(revision) as (then, functions):
        for name in FLOORS:
            ours, theirs = [*now, ROOT / "functions" / name], [now[0], *then, functions / name]
            rounds = [(cold("import app", ours), cold("import app", theirs)) for _ in range(ROUNDS)]
            (wall, cpu), (wall_then, cpu_then) = (_medians(column) for column in zip(*rounds, strict=True))
            print(
                f"  {name:<11} {wall:4.0f} ms   {revision} {wall_then:4.0f} ms   ratio {wall / wall_then:.2f}"
                f"   of processor time {cpu:4.0f}, {cpu_then:4.0f} ms: {cpu / cpu_then:.2f}"
            )


@contextmanager
def layers_of(revision: str) -> Iterator[tuple[list[Path], Path]]:
    """Our own layers of a commit, built as it builds them, and its folder of functions. Third-party code is today's."""
    with tempfile.TemporaryDirectory() as folder:
        tree, built = Path(folder) / "tree", Path(folder) / "built"
        tree.mkdir()
        archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x"], cwd=tree, input=archive, check=True)
        here = {"LAMBDA_PYTHON": f"python3.{sys.version_info.minor}", "LAMBDA_ARCH": "host"}
        command = [sys.executable, str(tree / "layers" / "build.py"), "agentsocket", str(built)]
        subprocess.run(command, env=os.environ | here, check=True)
        yield [built], tree / "functions"


@contextmanager
def layers() -> Iterator[list[Path]]:
    """The layers of the socket functions, built for this machine and this Python, while they are needed."""
    here = build.Target(f"{sys.version_info.major}.{sys.version_info.minor}", None)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("vendor", "agentsocket")]
        for path in paths:
            build.build(path.name, path, here)
        yield paths


def cold(statement: str, path: list[Path], settings: Mapping[str, str] = GIVEN) -> tuple[float, float]:
    """How long `statement` takes an interpreter that has just started, and its processor time, in milliseconds."""
    program = CLOCK.format(path=[str(folder) for folder in path], statement=statement)
    command = [sys.executable, "-I", "-S", "-c", program]
    run = subprocess.run(command, env=CREDENTIALS | dict(settings), capture_output=True, text=True, check=True)
    wall, cpu = map(float, run.stdout.split())
    return wall * 1000, cpu * 1000


def _medians(rounds: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    wall, cpu = zip(*rounds, strict=True)
    return statistics.median(wall), statistics.median(cpu)
