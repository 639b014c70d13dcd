"""Starts ministack, the stand-in for AWS's APIs, with safe settings, and ends it.

Inside: its process, its environment, its files, its address and credentials. Kept out: what runs in it (`deploy.py`),
who is let in (`ministack_door.py`), and how it follows a killed launcher (`guard.py`).
"""

import re
import socket
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from local import state
from local.aws import REGION, Access, made_up_credentials
from local.errors import Unable
from local.guarded import Guarded

PYTHON = state.ROOT / ".tools" / "bin" / "python"
ERROR = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b")  # the last line of a traceback
START_S = 60.0  # a cold disk and a busy machine; it takes half a second otherwise


def environment(folder: Path, access: Access, host: str) -> dict[str, str]:
    """All that ministack sees of this machine. Its functions inherit every line, so there is none too many."""
    port = access.endpoint_url.rsplit(":", 1)[1]
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "state" / "s3"),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "LOG_LEVEL": "WARNING",
        "GATEWAY_PORT": port,
        "MINISTACK_HOST": host,
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        # Both listen on all interfaces unless told otherwise, and we need neither.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # It removes containers it takes for its own when it starts and stops: there must be no Docker for it.
        "DOCKER_HOST": "unix:///nonexistent",
        "AWS_ACCESS_KEY_ID": access.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.aws_secret_access_key,
        "AWS_DEFAULT_REGION": access.region_name,
        "AWS_REGION": access.region_name,
        "AWS_ENDPOINT_URL": access.endpoint_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Ministack:
    """One ministack process. `access` is valid from construction on; it answers from `start` to `stop`."""

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", functions_see: Mapping[str, str] | None = None
    ) -> None:
        """`folder` is for its files, one per start. `host` is where it listens: loopback, or a bridge for containers.

        `functions_see` are environment variables for every deployed function, such as AWS_ENDPOINT_URL_BEDROCK_RUNTIME.
        """
        self._folder, self._host = folder, host
        self._functions_see = dict(functions_see or {})
        self._socket = socket.create_server((host, 0))
        key, secret = made_up_credentials()
        self.access = Access(f"http://{host}:{self._socket.getsockname()[1]}", key, secret)
        self._running: Guarded | None = None

    async def start(self) -> None:
        """Return when it answers. Raises Unable with the reason when it does not."""
        for name in ("tmp", "state"):
            (self._folder / name).mkdir(exist_ok=True)
        self._running = await self._spawn()
        # Only the child listens from here on: when it ends, connections are refused instead of waiting for ever.
        self._socket.close()
        try:
            await self._answer()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            await self.stop()
            raise Unable(f"ministack did not start: {self._said()[0]}") from error

    async def _spawn(self) -> Guarded:
        if not PYTHON.exists():
            raise Unable("ministack is not installed: `make setup` installs it into .tools.")
        descriptor = self._socket.fileno()
        with (self._folder / "ministack.log").open("wb") as log:
            return await Guarded.start(
                PYTHON,
                "local.emulators.ministack_door",
                [self._host, str(descriptor)],
                cwd=state.ROOT,
                env=environment(self._folder, self.access, self._host) | self._functions_see,
                stdout=DEVNULL,
                stderr=log,
                pass_fds=[descriptor],
            )

    async def _answer(self) -> None:
        # The socket listens already, so one request waits in its backlog until ministack serves it.
        timeout = aiohttp.ClientTimeout(total=START_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self.access.endpoint_url}/_ministack/health") as response,
        ):
            response.raise_for_status()

    async def ended(self) -> str:
        """Wait until it ends by itself, and return the last it said."""
        if self._running:
            await self._running.process.wait()
        return self._said()[-1]

    def _said(self) -> list[str]:
        """The errors in its log, or all of the log where there is none."""
        log = self._folder / "ministack.log"
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        said = [line.strip() for line in lines if line.strip()]
        return [line for line in said if ERROR.match(line)] or said or ["it said nothing"]

    async def stop(self) -> None:
        """End it and its Lambda workers, and wait until they are gone."""
        self._socket.close()
        if self._running:
            await self._running.stop()
