"""The processes of this machine, and waiting for their end."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.waiting import TIME_FACTOR

PATIENCE_S = 30 * TIME_FACTOR


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


def command_line(pid: int) -> str:
    """What the process was started as."""
    path = Path(f"/proc/{pid}/cmdline")
    if path.exists():
        return path.read_text().replace("\0", " ")
    return subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False).stdout
