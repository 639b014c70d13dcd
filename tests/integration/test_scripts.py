"""What kills workers in the tests here kills nobody else. It needs no stack."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.integration.process_start import started
from tests.integration.scripts import Processes


@pytest.fixture
def process():
    sleeping = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with sleeping:
        yield sleeping
        sleeping.kill()


async def test_an_attempt_that_goes_on_is_killed(process, tmp_path):
    since = started(process.pid)
    (tmp_path / "run").write_text(
        f"begun {process.pid} {since}\nover {process.pid} {since}\nbegun {process.pid} {since}\n"
    )
    await Processes(tmp_path).kill("run", 2)
    assert process.wait() == -signal.SIGKILL
    assert started(process.pid) == ""


async def test_an_attempt_that_is_over_is_not_killed(process, tmp_path):
    """A warm process serves somebody else by then."""
    since = started(process.pid)
    (tmp_path / "run").write_text(f"begun {process.pid} {since}\nover {process.pid} {since}\n")
    with pytest.raises(ProcessLookupError, match="attempt 1 of run run is over"):
        await Processes(tmp_path).kill("run")
    assert process.poll() is None


async def test_another_process_of_the_same_number_is_not_killed(process, tmp_path):
    (tmp_path / "run").write_text(f"begun {process.pid} before {started(process.pid)}\n")
    with pytest.raises(ProcessLookupError, match="is gone"):
        await Processes(tmp_path).kill("run")
    assert process.poll() is None
