"""Programs that a test starts and that end when the test process does, however that ends.

`local/guard.py` does it: the program reads from a pipe whose writing end only the test process has. When that closes,
the program and all it has started end. Each is the leader of a session of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from local.guarded import GUARD
from local.state import ROOT
from tests.support.processes import is_group_gone, wait_until


class Tied(subprocess.Popen[Any]):
    """A guarded process; `options` are those of subprocess.Popen. Its standard input is empty."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        """`arguments` are a module, which runs in the project's folder, and what it is given."""
        command = [sys.executable, str(GUARD), *arguments]
        read, self._line = os.pipe()
        try:
            super().__init__(command, cwd=ROOT, stdin=read, start_new_session=True, **options)
        finally:
            os.close(read)

    def wait(self, timeout: float | None = None) -> int:
        status = super().wait(timeout)
        self.let_go()
        return status

    def let_go(self) -> None:
        """Close the pipe: what still runs is asked to end, and killed if it does not."""
        if self._line >= 0:
            os.close(self._line)
            self._line = -1

    def kill_group(self) -> None:
        """SIGKILL to the process and all it has started; returns when they are gone."""
        if not is_group_gone(self.pid):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        wait_until(lambda: is_group_gone(self.pid), "the end of a killed process group")


def run_tied(command: Sequence[str], **options: Any) -> Tied:
    """Any program, in a process that runs it to its end."""
    return Tied("tests.support.run_program", *command, **options)
