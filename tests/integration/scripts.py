"""An agent that says what a test wants said: the script travels as the question, the deployed worker does the rest.

Only the worker's catalog of agents is another one (`scripted_app.py`); the function, its layers, role and settings are
the deployed ones.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.breaking import replaced
from tests.integration.deployment import Deployment
from tests.waiting import until

APP = Path(__file__).with_name("scripted_app.py")

Step = list[object]


def script(*steps: Step) -> str:
    """The question that makes the agent do this."""
    return json.dumps(steps)


def say(text: str, times: int = 1, per_second: float = 0) -> Step:
    """A piece of the answer, `times` over, each with its number for `{n}`."""
    return ["say", text, times, per_second]


def think(times: int, pause_s: float = 0) -> Step:
    """So many events."""
    return ["think", times, pause_s]


def use_tool(call_id: str = "1") -> Step:
    return ["use_tool", call_id]


def rest(seconds: float) -> Step:
    """Silence."""
    return ["rest", seconds]


def wait_for(path: Path) -> Step:
    """Silence until that file exists."""
    return ["wait_for", str(path)]


def fail(error_type: str) -> Step:
    """An agent that gives up."""
    return ["fail", error_type]


def crash() -> Step:
    """An agent that breaks."""
    return ["crash"]


class Processes:
    """The worker's processes, as the runs' attempts say which they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, run_id: str) -> list[int]:
        """A process id for each attempt whose agent has begun, in order. One that is warm serves several runs."""
        said = self._folder / run_id
        return [int(line) for line in said.read_text().splitlines()] if said.exists() else []

    async def kill(self, run_id: str, attempt: int = 1, *, within_s: float = 30) -> float:
        """SIGKILL to the process of this attempt, once it has begun. Returns when, in seconds of the wall clock."""
        await until(lambda: len(self.of(run_id)) >= attempt, within_s=within_s)
        os.kill(self.of(run_id)[attempt - 1], signal.SIGKILL)
        return time.time()


@contextmanager
def scripted(deployment: Deployment, folder: Path) -> Iterator[Processes]:
    """The worker's agent plays scripts for the length of the block. `folder` is for what its processes say."""
    with replaced(deployment, "worker", {"app.py": APP.read_text(), "processes": str(folder)}):
        yield Processes(folder)
