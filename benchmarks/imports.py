"""Cold imports: what a function's first invocation pays before its handler runs, against what its libraries cost alone.

Each import runs in an interpreter of its own, bytecode present, floor and figure in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

ROUNDS = 15
CLOCK = "import time; started = time.perf_counter(); {}; print((time.perf_counter() - started) * 1000)"
CLIENTS = "import boto3; session = boto3.Session(region_name='eu-west-1'); [session.client(name) for name in {!r}]"
PAIRS = {
    "authorizer": (
        "from agentsocket import admission, edge, introspection, jwks, tokens, wiring",
        "import jwt, aws_lambda_powertools",
    ),
    "connect": (
        "from agentsocket import edge, relay, wiring; " + CLIENTS.format(["dynamodb"]),
        CLIENTS.format(["dynamodb"]),
    ),
    "message": (
        "from agentsocket import edge, relay, replies, wiring; "
        + CLIENTS.format(["dynamodb", "sqs", "apigatewaymanagementapi"]),
        CLIENTS.format(["dynamodb", "sqs", "apigatewaymanagementapi"]),
    ),
}


def measure() -> None:
    """Print the median of each import beside its floor's, in milliseconds, and their ratio."""
    for name, (ours, floor) in PAIRS.items():
        rounds = [(milliseconds(ours), milliseconds(floor)) for _ in range(ROUNDS)]
        mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"  {name:<11} {mine:6.0f} ms   libraries alone {theirs:6.0f} ms   ratio {mine / theirs:.2f}")


def milliseconds(statement: str, **environment: str) -> float:
    """How long `statement` takes an interpreter that has just started."""
    command = [sys.executable, "-c", CLOCK.format(statement)]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return float(run.stdout)
