"""The starting side of `guard.py`: a child process that ends when we do, and whole with its own children."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.state import ROOT

GUARD = ROOT / "local" / "guard.py"
STOP_S = 10.0


class Guarded:
    """A running Python module, and the pipe that it lives by."""

    def __init__(self, process: Process, pipe: int) -> None:
        self.process = process
        self._pipe: int | None = pipe

    @classmethod
    async def start(cls, python: Path, module: str, arguments: Sequence[str], **settings: Any) -> "Guarded":
        """Run `module` with the interpreter `python`. `settings` are those of asyncio.create_subprocess_exec."""
        read, write = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                python, GUARD, module, *arguments, stdin=read, start_new_session=True, **settings
            )
        except BaseException:
            os.close(write)
            raise
        finally:
            os.close(read)
        return cls(process, write)

    async def stop(self) -> None:
        """Close the pipe, and wait until the process group is gone."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
