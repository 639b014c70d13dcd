"""Lambda's own containers, by `sam local`: what Docker must have, how sam is called, what an answer means.

Inside: Docker's address and images, the build for containers, the command line of `sam local`. Kept out: which event
goes to which function, and the table and queue behind them (`invoke.py`).

sam and the layers see a Linux Lambda here, so the layers are built for Lambda's Linux, not for this very machine.
"""

import ipaddress
import json
import os
import shutil
import subprocess
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import build
from local.aws import Access
from local.build import Target
from local.emulators.ministack import PYTHON
from local.errors import Unable
from local.guarded import Guarded
from local.state import ROOT

NO_DOCKER = "Docker is needed for `sam local` and is not installed: install Docker Engine, or use `make up` without it."
DEAF_DOCKER = "Docker does not answer: start it (for example by `sudo systemctl start docker`) and try again."


def docker(*arguments: str) -> str | None:
    """What the docker command printed; None if it failed. Raises Unable if there is no such command."""
    if not shutil.which("docker"):
        raise Unable(NO_DOCKER)
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def bridge() -> str:
    """The address at which a container reaches this machine. Raises Unable when Docker does not say."""
    described = docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
    if described is None:
        raise Unable(DEAF_DOCKER)
    (config, *_) = json.loads(described)
    # Docker leaves the gateway out where it is the subnet's first address.
    return str(config.get("Gateway") or ipaddress.ip_network(config["Subnet"])[1])


def image(target: Target) -> str:
    """The image that sam starts a function of this target from."""
    return f"public.ecr.aws/lambda/python:{target.runtime.removeprefix('python')}-{target.architecture}"


def pull_options(target: Target) -> list[str]:
    """Tell sam to use an image that is here. Raises Unable if it is not, and SAM_SKIP_PULL_IMAGE forbids to pull it."""
    if docker("image", "inspect", image(target)) is not None:
        return ["--skip-pull-image"]
    if os.environ.get("SAM_SKIP_PULL_IMAGE", "").lower() in ("1", "true"):
        raise Unable(f"The image {image(target)} is not here: get it by `docker pull`, or unset SAM_SKIP_PULL_IMAGE.")
    return []


@dataclass(frozen=True)
class Sam:
    """How sam is called: for which target, from which built template, with whose credentials."""

    target: Target
    template: Path
    access: Access

    def environment(self) -> dict[str, str]:
        """The caller's own but for his AWS settings; sam hands these credentials on to the containers."""
        return build.environment(self.target) | {
            "LAMBDA_ARCH": self.target.architecture,
            "AWS_ACCESS_KEY_ID": self.access.aws_access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.access.aws_secret_access_key,
            "AWS_DEFAULT_REGION": self.access.region_name,
        }

    def parameters(self) -> list[str]:
        given = {"PythonRuntime": self.target.runtime, "Architecture": self.target.architecture}
        return ["--parameter-overrides", *(f"{name}={value}" for name, value in given.items())]

    async def build(self) -> None:
        """Build the template into the folder it is expected in. Raises Unable with sam's last lines."""
        arguments = ["build", "--build-dir", str(self.template.parent), *self.parameters()]
        status, said = await self.finish(arguments, stderr=STDOUT)
        if status:
            raise Unable(f"The build of template.yaml failed; sam's last lines:\n{build.last_lines(said)}")

    def local(self, command: str, *arguments: str, variables: Path) -> list[str]:
        """Arguments for `sam local invoke` or `start-lambda`. `variables` is a file of each function's environment."""
        files = ["--template-file", str(self.template), "--env-vars", str(variables)]
        return ["local", command, *arguments, *files, *pull_options(self.target), *self.parameters()]

    async def start(self, arguments: Sequence[str], **streams: Any) -> Guarded:
        """A sam process that removes its containers when it ends, and ends when we do."""
        if not PYTHON.exists():
            raise Unable("sam is not installed: `make setup` installs it into .tools.")
        return await Guarded.start(
            PYTHON, "local.interruptible", arguments, cwd=ROOT, env=self.environment(), **streams
        )

    async def finish(self, arguments: Sequence[str], **streams: Any) -> tuple[int, str]:
        """Run sam to its end: its exit status and its standard output."""
        sam = await self.start(arguments, stdout=PIPE, **streams)
        try:
            output, _ = await sam.process.communicate()
            return await sam.process.wait(), output.decode("utf-8", "replace")
        finally:
            await sam.stop()


def failed(answer: str) -> bool:
    """Whether what a function returned says that it raised: Lambda's form of an exception, or nothing at all."""
    try:
        value = json.loads(answer)
    except ValueError:
        return True
    return isinstance(value, Mapping) and "errorMessage" in value
