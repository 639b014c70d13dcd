"""Putting other code in a deployed function's place, and its own back, through the API that an operator would use."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.integration.deployment import Deployment
from tests.integration.http_request import ask
from tests.support.waiting import TIME_FACTOR

BUCKET = "packages"  # where local/deploy.py keeps the code of each function, under its name in the template

DOWN = """
def handler(event, context):
    with open({log!r}, "a") as log:
        log.write(event["rawPath"] + "\\n")
    print("down")
    return {{"statusCode": 503, "body": ""}}
"""

HELD = """
import os, time
import original

def hold():
    open({begun!r}, "w").close()
    deadline = time.time() + {patience!r}
    while not os.path.exists({go!r}):
        if time.time() > deadline:
            raise TimeoutError("nobody let it go on")
        time.sleep(0.01)

def handler(event, context):
    if {when!r} == "before":
        hold()
    answer = original.handler(event, context)
    if {when!r} == "after":
        hold()
    return answer
"""


class Outage:
    """A service whose every answer is 503, and what it was asked."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def asked(self) -> list[str]:
        """The paths, in order."""
        return self._log.read_text().splitlines() if self._log.exists() else []


class Hold:
    """A function that waits in the middle of its work: `begun` exists once it does, and `release` lets it go on."""

    def __init__(self, folder: Path) -> None:
        self.begun, self.go = folder / "begun", folder / "go"

    def release(self) -> None:
        self.go.touch()


@contextmanager
def outage(deployment: Deployment, folder: Path) -> Iterator[Outage]:
    """The auth service is down for the length of the block."""
    log = folder / f"asked-{uuid4().hex}"
    with replaced(deployment, "auth", {"app.py": DOWN.format(log=str(log))}):
        assert health(deployment) == 503
        log.unlink()  # from here on it is known what was asked: a first answer takes as long as the function's start
        yield Outage(log)
    assert health(deployment) == 200


def health(deployment: Deployment) -> int:
    """How the auth service says that it is: once it has, its code runs."""
    return ask(f"{deployment.auth}/health").status


@contextmanager
def held(deployment: Deployment, function: str, folder: Path, *, when: str) -> Iterator[Hold]:
    """The function waits `before` or `after` its work, for the length of the block."""
    hold = Hold(folder)
    with zipfile.ZipFile(io.BytesIO(package(deployment, function))) as archive:
        original = archive.read("app.py").decode()
    waiting = HELD.format(begun=str(hold.begun), go=str(hold.go), when=when, patience=20 * TIME_FACTOR)
    with replaced(deployment, function, {"app.py": waiting, "original.py": original}):
        yield hold


@contextmanager
def replaced(deployment: Deployment, function: str, files: dict[str, str]) -> Iterator[None]:
    """The function's code is `files` for the length of the block; its layers, role and settings stay."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    update(deployment, function, ZipFile=content.getvalue())
    try:
        yield
    finally:
        restart(deployment, function)


@contextmanager
def misconfigured(deployment: Deployment, function: str, **variables: str) -> Iterator[None]:
    """The function's environment has other values for the length of the block."""
    client, name = deployment.aws("lambda"), deployment.function(function)
    usual = deployment.variables(function)
    client.update_function_configuration(FunctionName=name, Environment={"Variables": usual | variables})
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, Environment={"Variables": usual})


def restart(deployment: Deployment, function: str) -> None:
    """The function's own code again, in a new process: its next call is a cold start."""
    update(deployment, function, S3Bucket=BUCKET, S3Key=key(function))


def package(deployment: Deployment, function: str) -> bytes:
    content: bytes = deployment.aws("s3").get_object(Bucket=BUCKET, Key=key(function))["Body"].read()
    return content


def key(function: str) -> str:
    return f"{function.title()}Function"


def update(deployment: Deployment, function: str, **code: Any) -> None:
    deployment.aws("lambda").update_function_code(FunctionName=deployment.function(function), **code)
