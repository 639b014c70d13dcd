"""Starting the commands under test as real processes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.state import ROOT
from tests.support.lifeline import Tied
from tests.support.processes import PATIENCE_S


def local(*arguments: str, state: Path, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m local` with a state folder, to its end. `settings` are environment variables."""
    command = [sys.executable, "-m", "local", *arguments, "--state", str(state)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, input=typed, capture_output=True, text=True, timeout=PATIENCE_S
    )


class Up:
    """A `python -m local up` that is ready."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        """`folder` is its state folder."""
        self.process, self.url, self.folder = process, url, folder

    def finish(self) -> tuple[int, str]:
        """Wait for its end: exit status and the rest of what it said."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@contextmanager
def up(state: Path, *arguments: str) -> Iterator[Up]:
    """A stack in a process of its own, ended with the block if the block did not."""
    command = ["local", "up", "--port", "0", "--state", str(state), *arguments]
    with Tied(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"WebSocket URL: (ws://\S+)\n", line)
            assert found, f"{line!r}, and on standard error: {process.communicate(timeout=PATIENCE_S)[1]}"
            yield Up(process, found[1], state)
        finally:
            process.terminate()
