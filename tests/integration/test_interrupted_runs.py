"""A run of tests that is interrupted leaves no process behind: no stack, no function, no Redis, no pool."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.process_start import started
from tests.support.lifeline import Tied
from tests.support.processes import PATIENCE_S, children, command_line, wait_until

RUN = ("pytest", "-n", "1", "-p", "no:cacheprovider", "tests/integration/everything_started.py")
POOL = 2  # processes that play seeds


def press_ctrl_c(run: int) -> None:
    """The terminal sends it to the whole group in the foreground."""
    os.killpg(run, signal.SIGINT)


def terminate(run: int) -> None:
    os.kill(run, signal.SIGTERM)


def kill_the_worker(run: int) -> None:
    [worker] = children(run)
    os.kill(worker, signal.SIGKILL)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Tied]:
    """A run that has started everything."""
    ready = tmp_path / "started"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with Tied(*RUN, env=own | {"STARTED": str(ready)}, **streams) as running:
        try:
            wait_until(lambda: ready.exists() or running.poll() is not None, "a run that has started everything")
            assert running.poll() is None, running.communicate()[0]
            wait_until(lambda: len(children(int(ready.read_text()))) >= POOL, "the processes of the pool")
            yield running
        finally:
            running.let_go()


def family(pid: int) -> dict[int, str]:
    """The process, its children, and theirs: when each began."""
    found = {pid: started(pid)}
    for child in children(pid):
        found |= family(child)
    return found


@pytest.mark.parametrize("interrupt", [press_ctrl_c, terminate, kill_the_worker])
def test_an_interrupted_run_leaves_no_process(run: Tied, interrupt: Callable[[int], None]):
    there = family(run.pid)
    what = " ".join(command_line(pid) for pid in there)
    assert all(name in what for name in ("local", "ministack", "_worker.py", "redis-server", "tests.simulation")), what
    interrupt(run.pid)
    said = run.communicate(timeout=PATIENCE_S)[0]
    assert run.returncode != 0, said
    wait_until(lambda: not [pid for pid, since in there.items() if started(pid) == since], "the end of all processes")
