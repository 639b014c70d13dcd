"""A test that has started all that tests start, and waits to be ended, as `test_interrupted_runs.py` ends it."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from tests.support.lifeline import Tied


def test_it_waits(deployment, redis_process):
    """A stack with its functions' processes, a Redis, and a pool of processes that play seeds."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with Tied("tests.simulation", "--seeds", "1000000", **quiet) as pool:
        Path(os.environ["STARTED"]).write_text(str(pool.pid))
        threading.Event().wait()
