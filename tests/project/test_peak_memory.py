"""A run of tests fails when one of its processes needs more memory than it may, and says which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.peak_memory import LIMIT_MB, above

ROOT = Path(__file__).resolve().parents[2]
TEST = "def test_it(): assert len(b'x' * {size})"


def run(folder: Path, size: int) -> subprocess.CompletedProcess[str]:
    """A run with one worker process that needs so many bytes."""
    (folder / "test_it.py").write_text(TEST.format(size=size))
    options = ["-n", "1", "-p", "tests.support.peak_memory", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", *options, str(folder / "test_it.py")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_process_above_the_limit_fails_the_run(tmp_path):
    done = run(tmp_path, (LIMIT_MB + 100) * 1024 * 1024)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "FAILED: process gw0 needed " in done.stdout
    assert "1 passed" in done.stdout


def test_a_process_below_it_does_not(tmp_path):
    done = run(tmp_path, 1)
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert "peak memory of each test process: gw0 " in done.stdout
    assert f"(limit {LIMIT_MB} MB)" in done.stdout


def test_the_limit_itself_is_allowed():
    assert above({"gw0": LIMIT_MB, "gw1": LIMIT_MB + 1}) == ["gw1"]
