"""The most memory that each test process has ever had, printed at the end of a run, which fails above the limit.

A pytest plugin (`tests/conftest.py` names it). A worker process of pytest-xdist tells the controller with what else it
reports when it ends; one that was killed cannot tell, and counts as a failure of the run already.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIMIT_MB = 500
_CHARACTERS = "from hypothesis.internal import charmap; charmap.charmap(); charmap.intervals_from_codec('utf-8')"

_UNITS_PER_MB = 1024 * 1024 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux
_peaks = pytest.StashKey[dict[str, int]]()
_rises = pytest.StashKey[dict[str, int]]()  # by how much tests have raised the peak of their process, in MB


def peak_mb() -> int:
    """The largest resident set that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage(2) on Linux counts what the parent had when it forked, too
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _UNITS_PER_MB


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_peaks] = {}
    config.stash[_rises] = {}
    if not hasattr(config, "workerinput"):
        # Hypothesis finds out once in a checkout which characters UTF-8 has: 200 MB in a test process for a moment.
        subprocess.run([sys.executable, "-c", _CHARACTERS], cwd=config.rootpath, check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what each test adds to the peak: the reader of a run that failed wants to know which to look at."""
    before = peak_mb()
    result = yield
    if peak_mb() > before:
        item.config.stash[_rises][item.nodeid] = peak_mb() - before
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker process has ended: keep what it said of itself."""
    said = getattr(node, "workeroutput", {})
    if "peak_mb" in said:
        node.config.stash[_peaks][node.gateway.id] = said["peak_mb"]
        node.config.stash[_rises].update(said["rises"])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["peak_mb"] = peak_mb()
        output["rises"] = session.config.stash[_rises]
        return
    peaks = session.config.stash[_peaks]
    peaks["main"] = peak_mb()
    if above(peaks) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    peaks = config.stash[_peaks]
    said = ", ".join(f"{name} {mb} MB" for name, mb in sorted(peaks.items()))
    terminalreporter.write_line(f"peak memory of each test process: {said} (limit {LIMIT_MB} MB)")
    rises = sorted(config.stash[_rises].items(), key=lambda rise: -rise[1])
    for test, mb in rises[:5] if above(peaks) else []:
        terminalreporter.write_line(f"{mb} MB more with {test}")
    for name in above(peaks):
        terminalreporter.write_line(
            f"FAILED: process {name} needed {peaks[name]} MB; the limit is {LIMIT_MB} MB", red=True
        )


def above(peaks: dict[str, int]) -> list[str]:
    """The processes that needed more than the limit."""
    return [name for name, mb in sorted(peaks.items()) if mb > LIMIT_MB]
