"""Starting the commands under test as real processes, and looking at what they leave behind."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from local.state import ROOT
from tests.support.waiting import TIME_FACTOR

PATIENCE_S = 30 * TIME_FACTOR


def local(*arguments: str, state: Path, typed: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m local` with a state folder, to its end. `settings` are environment variables."""
    command = [sys.executable, "-m", "local", *arguments, "--state", str(state)]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, input=typed, capture_output=True, text=True, timeout=PATIENCE_S
    )


class Up:
    """A `python -m local up` that is ready."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url

    def finish(self) -> tuple[int, str]:
        """Wait for its end: exit status and the rest of what it said."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said


@contextmanager
def up(state: Path, *arguments: str) -> Iterator[Up]:
    """A stack in a process of its own, ended with the block if the block did not."""
    command = [sys.executable, "-m", "local", "up", "--port", "0", "--state", str(state), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"WebSocket URL: (ws://\S+)\n", line)
            assert found, f"{line!r}, and on standard error: {process.communicate(timeout=PATIENCE_S)[1]}"
            yield Up(process, found[1])
        finally:
            process.terminate()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Fail unless `condition` comes true in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.05)


class Seen(NamedTuple):
    """One process of this machine, as the system lists it."""

    pid: int
    parent: int
    group: int
    is_dead: bool  # ended, but its parent has not asked how


def processes() -> Iterator[Seen]:
    """Every process there is; from /proc, since a small Linux has no ps, or else from ps."""
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                state, parent, group = path.read_text().rpartition(")")[2].split()[:3]
                yield Seen(int(path.parent.name), int(parent), int(group), state == "Z")
        return
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True)
    for pid, parent, group, state in map(str.split, listed.stdout.splitlines()):
        yield Seen(int(pid), int(parent), int(group), state.startswith("Z"))


def is_group_gone(group: int) -> bool:
    """Whether no process of the process group is alive."""
    return not any(seen.group == group and not seen.is_dead for seen in processes())


def children(pid: int) -> list[int]:
    """Process ids of the direct children of `pid`."""
    return [seen.pid for seen in processes() if seen.parent == pid]
