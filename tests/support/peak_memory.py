"""The most memory that each test process has ever had, printed at the end of a run, which fails above the limit.

A pytest plugin (`tests/conftest.py` names it). A worker process of pytest-xdist tells the controller with what else it
reports when it ends; one that was killed cannot tell, and counts as a failure of the run already.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import pytest

LIMIT_MB = 500

_UNITS_PER_MB = 1024 * 1024 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB on Linux
_peaks = pytest.StashKey[dict[str, int]]()


def peak_mb() -> int:
    """The largest resident set that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _UNITS_PER_MB


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_peaks] = {}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """A worker process has ended: keep what it said of itself."""
    said = getattr(node, "workeroutput", {})
    if "peak_mb" in said:
        node.config.stash[_peaks][node.gateway.id] = said["peak_mb"]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["peak_mb"] = peak_mb()
        return
    peaks = session.config.stash[_peaks]
    peaks["main"] = peak_mb()
    if above(peaks) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    peaks = config.stash[_peaks]
    said = ", ".join(f"{name} {mb} MB" for name, mb in sorted(peaks.items()))
    terminalreporter.write_line(f"peak memory of each test process: {said} (limit {LIMIT_MB} MB)")
    for name in above(peaks):
        terminalreporter.write_line(
            f"FAILED: process {name} needed {peaks[name]} MB; the limit is {LIMIT_MB} MB", red=True
        )


def above(peaks: dict[str, int]) -> list[str]:
    """The processes that needed more than the limit."""
    return [name for name, mb in sorted(peaks.items()) if mb > LIMIT_MB]
