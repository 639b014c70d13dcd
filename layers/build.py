"""Fills one Lambda layer: `python layers/build.py vendor|agentsocket|authservice FOLDER`. The Makefiles call this.

Inside: installing the third-party packages for the processor and Python that the functions run on, leaving out what
they never read, and compiling bytecode. Kept out: which packages those are (pyproject.toml) and at which versions
(constraints.txt).

SAM gives a layer's Makefile nothing of the template's parameters, so the target comes from the environment:
LAMBDA_PYTHON (python3.13) and LAMBDA_ARCH (arm64, x86_64, or `host` for this very machine). Bytecode matters because
Lambda's file system is read-only: what is not compiled here is compiled anew at every cold start. It is made only by
the target's own Python, since its format changes with every minor version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:
    sys.exit(
        "layers: Building a layer needs Python 3.11 or newer as .venv/bin/python or python3 (`make` creates .venv)."
    )

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PYTHON = "python3.13"
DEFAULT_ARCH = "arm64"

# The oldest glibc among Lambda's runtimes is 2.26 (python3.11 on Amazon Linux 2), so wheels for 2.17 run on all.
MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}

# botocore describes 400 services in 28 MB; the functions talk to these. A test holds the list against the source.
SERVICES = frozenset({"apigatewaymanagementapi", "dynamodb", "kms", "s3", "sqs", "sts"})

# Our own packages, each a layer of its own in a folder of its name.
PACKAGES = ("agentsocket", "authservice")
# What both stand on is in the layer of each: a function has the one that its package was tested with.
LEAF = "lambdakit"


class BuildError(Exception):
    """The layer cannot be built; the text is for the person who asked."""


@dataclass(frozen=True)
class Target:
    """What the layer is built for. `version` is like 3.13; `machine` is as Linux calls it, None for this machine."""

    version: str
    machine: str | None


def target(environment: dict[str, str]) -> Target:
    """The target that LAMBDA_PYTHON and LAMBDA_ARCH name. Raises BuildError for a name that Lambda does not have."""
    python = environment.get("LAMBDA_PYTHON", DEFAULT_PYTHON)
    arch = environment.get("LAMBDA_ARCH", DEFAULT_ARCH)
    found = re.fullmatch(r"python(3\.\d+)", python)
    if not found:
        raise BuildError(f"LAMBDA_PYTHON must be a Lambda runtime such as {DEFAULT_PYTHON}, not {python!r}.")
    if arch != "host" and arch not in MACHINES:
        raise BuildError(f"LAMBDA_ARCH must be arm64, x86_64 or host, not {arch!r}.")
    return Target(found[1], MACHINES.get(arch))


def attempt(*command: str) -> str:
    """Run a program: empty if it succeeded, else what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own argument list
    return "" if done.returncode == 0 else done.stderr.strip() or f"{command[0]} ended with status {done.returncode}"


def installers(wanted: Target) -> Iterator[list[str]]:
    """Ways to install wheels for the target, the best first.

    uv is ten times faster and reads requirement markers as the target would; pip knows the mirrors of pip.conf.
    """
    beside = str(Path(sys.executable).parent)
    if uv := shutil.which("uv", path=beside) or shutil.which("uv"):
        platform = ["--python-platform", f"{wanted.machine}-manylinux2014"] if wanted.machine else []
        yield [uv, "pip", "install", "--python-version", wanted.version, *platform]
    # An environment made without pip borrows the one of the Python it was made from.
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        platform = ["--platform", f"manylinux2014_{wanted.machine}"] if wanted.machine else []
        yield [python, "-m", "pip", "install", "--no-compile", "--python-version", wanted.version, *platform]


def install(folder: Path, wanted: Target) -> None:
    """Third-party packages of the project, at the pinned versions, as wheels for the target."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    options = ["--quiet", "--only-binary", ":all:", "--constraint", str(ROOT / "constraints.txt")]
    said = []
    for installer in installers(wanted):
        failure = attempt(*installer, *options, "--target", str(folder), *project["dependencies"])
        if not failure:
            return
        said.append(failure)
        shutil.rmtree(folder, ignore_errors=True)
    raise BuildError("The packages cannot be installed; uv or pip said:\n" + "\n".join(said))


def unread(folder: Path) -> Iterator[Path]:
    """What no function ever reads: scripts, tests, boto3's examples, descriptions of services not used."""
    yield folder / "bin"
    yield folder / "boto3" / "examples"
    yield from (found for found in folder.rglob("tests") if found.is_dir())
    for data in (folder / "botocore" / "data", folder / "boto3" / "data"):
        yield from (entry for entry in data.iterdir() if entry.is_dir() and entry.name not in SERVICES)


def interpreter(version: str) -> str | None:
    """A Python of that minor version, found by running it: pyenv leaves names on PATH that only print an error."""
    asks = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != {version!r})"
    names = (sys.executable, shutil.which(f"python{version}"))
    return next((name for name in names if name and not attempt(name, "-c", asks)), None)


def compile_bytecode(folder: Path, wanted: Target) -> None:
    """Bytecode that is never checked against its source, or one line on why there is none."""
    python = interpreter(wanted.version)
    if not python:
        # On standard output, the only one that `sam build` passes on when a build succeeds.
        print(
            f"layers: there is no Python {wanted.version} here, so no bytecode is shipped and cold starts are slower; "
            f"install it (for example by `uv python install {wanted.version}`) and build again."
        )
        return
    # The same bytes from every build folder: Lambda mounts a layer's content here.
    places = ["-s", str(folder), "-p", "/opt/python"]
    compileall = [python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *places]
    if failure := attempt(*compileall, str(folder)):
        raise BuildError(f"The bytecode cannot be compiled: {failure}")


def build(layer: str, folder: Path, wanted: Target) -> None:
    """Fill `folder`, which becomes /opt/python, with the layer `vendor`, or one of PACKAGES beside LEAF."""
    shutil.rmtree(folder, ignore_errors=True)
    if layer == "vendor":
        install(folder, wanted)
        for path in list(unread(folder)):
            shutil.rmtree(path, ignore_errors=True)
    else:
        for name in (layer, LEAF):
            source = ROOT / "layers" / name / "python"
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    compile_bytecode(folder, wanted)


def main(arguments: list[str]) -> int:
    """Exit status of the command line; what went wrong is on standard error."""
    if len(arguments) != 2 or arguments[0] not in ("vendor", *PACKAGES):
        print("usage: python layers/build.py vendor|agentsocket|authservice FOLDER", file=sys.stderr)
        return 2
    try:
        build(arguments[0], Path(arguments[1]).absolute(), target(dict(os.environ)))
    except (BuildError, OSError) as error:
        print(f"layers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
