"""Builds template.yaml for this machine with sam, unless nothing that goes into it has changed.

Inside: what the build depends on, the call of sam, and what it said when it failed. Kept out: building for AWS
(`make deploy`, which has a folder of its own), and everything after the build (`deploy.py`).
"""

import asyncio
import hashlib
import os
import platform
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from local.emulators.ministack import PYTHON
from local.errors import Unable
from local.guarded import Guarded
from local.state import ROOT, Lock

INPUTS = ("template.yaml", "pyproject.toml", "constraints.txt", "layers", "functions")
SHOWN_LINES = 12

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """The template parameters that say what the layers and functions run on."""

    runtime: str
    architecture: str

    @classmethod
    def this_machine(cls) -> "Target":
        architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
        return cls(f"python{sys.version_info.major}.{sys.version_info.minor}", architecture)


def fingerprint(project: Path, target: Target) -> str:
    """Changes with everything that the build reads: names and contents of INPUTS, and the target."""
    found = hashlib.sha256(f"{project} {target} {sys.version}".encode())
    for path in inputs(project):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(project)} {content}\n".encode())
    return found.hexdigest()


def inputs(project: Path) -> Iterator[Path]:
    for name in INPUTS:
        path = project / name
        files = path.rglob("*") if path.is_dir() else [path]
        yield from sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def environment(target: Target) -> dict[str, str]:
    """The caller's own, for the package index, but for his AWS settings; and what the layers' Makefiles read."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    return mine | {
        "SAM_CLI_TELEMETRY": "0",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_PYTHON": target.runtime,
        # The very machine, not just its processor: a layer for Lambda's Linux does not run on a Mac.
        "LAMBDA_ARCH": "host",
    }


def sam_build(folder: Path, target: Target) -> list[str]:
    parameters = [f"PythonRuntime={target.runtime}", f"Architecture={target.architecture}"]
    folders = ["--build-dir", str(folder / "sam"), "--cache-dir", str(folder / "cache")]
    return ["build", *folders, "--parameter-overrides", *parameters]


@asynccontextmanager
async def built(folder: Path, target: Target, *, say: Say, project: Path = ROOT) -> AsyncIterator[Path]:
    """The built template, held still for the length of the block. `folder` is where builds are kept.

    Raises Unable with sam's last lines when the build fails.
    """
    async with alone(folder, say):
        wanted = fingerprint(project, target)
        if not is_done(folder, wanted):
            say("building the layers (at the first start and after a change)")
            clear(folder)
            await run_sam(sam_build(folder, target), target, project)
            finish(folder, wanted)
        yield folder / "sam" / "template.yaml"


def is_done(folder: Path, wanted: str) -> bool:
    done = folder / "fingerprint"
    return done.exists() and done.read_text() == wanted


def clear(folder: Path) -> None:
    (folder / "fingerprint").unlink(missing_ok=True)
    shutil.rmtree(folder / "sam", ignore_errors=True)


def finish(folder: Path, wanted: str) -> None:
    (folder / "fingerprint").write_text(wanted)


@asynccontextmanager
async def alone(folder: Path, say: Say) -> AsyncIterator[None]:
    """Two stacks that start at once share the build: the second waits for the first."""
    lock = lock_of(folder)
    if not lock.attempt():
        say("waiting for another start to finish its build")
        lock = await next_lock(folder)
    try:
        yield
    finally:
        lock.close()


def lock_of(folder: Path) -> Lock:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Lock(folder / "lock")


async def next_lock(folder: Path) -> Lock:
    while True:
        lock = lock_of(folder)
        if lock.attempt():
            return lock
        await asyncio.sleep(0.2)


async def run_sam(arguments: list[str], target: Target, project: Path) -> None:
    if not PYTHON.exists():
        raise Unable("sam is not installed: `make setup` installs it into .tools.")
    sam = await Guarded.start(
        PYTHON, "samcli", arguments, cwd=project, env=environment(target), stdout=PIPE, stderr=STDOUT
    )
    try:
        output, _ = await sam.process.communicate()
    finally:
        await sam.stop()
    if sam.process.returncode:
        raise Unable(
            f"The build of template.yaml failed; sam's last lines:\n{last_lines(output.decode(errors='replace'))}"
        )


def last_lines(output: str) -> str:
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-SHOWN_LINES:])
