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
from dataclasses import dataclass
from pathlib import Path

from tests.integration.deployment import Deployment
from tests.integration.function_code import replaced
from tests.integration.process_start import started
from tests.support.waiting import until

APP = Path(__file__).with_name("scripted_app.py")
STARTED = Path(__file__).with_name("process_start.py")

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


def remember(name: str, **patch: object) -> Step:
    """A change of what is remembered, by a merge patch: `thread.notes` of the thread, `user.notes` of the user."""
    return ["remember", name, patch]


def recall(name: str) -> Step:
    """A piece of the answer: what was remembered under that name when the attempt began, as JSON."""
    return ["recall", name]


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where an attempt went on: its process, when that began, and whether the process has left the run since."""

    pid: int
    since: str
    over: bool


class Processes:
    """The worker's processes, as the runs' attempts say which they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, run_id: str) -> list[int]:
        """A process id for each attempt whose agent has begun, in order. One that is warm serves several runs."""
        return [attempt.pid for attempt in self._attempts(run_id)]

    async def kill(self, run_id: str, attempt: int = 1, *, within_s: float = 60) -> float:
        """SIGKILL to the process of this attempt, once it has begun. Returns when, in seconds of the wall clock.

        Raises ProcessLookupError when the attempt is over, or its process is gone: whoever has that number now may be
        serving another run, or be no worker at all.
        """
        await until(lambda: len(self.of(run_id)) >= attempt, within_s=within_s)
        there = self._attempts(run_id)[attempt - 1]
        if there.over:
            raise ProcessLookupError(f"attempt {attempt} of run {run_id} is over: process {there.pid} is not killed")
        if started(there.pid) != there.since:
            raise ProcessLookupError(f"process {there.pid} of attempt {attempt} of run {run_id} is gone")
        os.kill(there.pid, signal.SIGKILL)
        return time.time()

    def _attempts(self, run_id: str) -> list[Attempt]:
        said = self._folder / run_id
        lines = said.read_text().splitlines() if said.exists() else []
        found = []
        for number, line in enumerate(lines):
            what, pid, since = line.split(" ", 2)
            if what == "begun":
                found.append(Attempt(int(pid), since, f"over {pid} {since}" in lines[number:]))
        return found


@contextmanager
def scripted(deployment: Deployment, folder: Path) -> Iterator[Processes]:
    """The worker's agent plays scripts for the length of the block. `folder` is for what its processes say."""
    files = {
        "app.py": APP.read_text(),
        "tests/integration/process_start.py": STARTED.read_text(),
        "processes": str(folder),
    }
    with replaced(deployment, "worker", files):
        _require_answer(deployment)
        yield Processes(folder)


def _require_answer(deployment: Deployment) -> None:
    """The new code runs before a test's first record comes: a process that ends between taking and hiding one would
    keep it away for 15 minutes. Raises RuntimeError.
    """
    answer = deployment.aws("lambda").invoke(FunctionName=deployment.function("worker"), Payload=b'{"Records": []}')
    if "FunctionError" in answer:
        raise RuntimeError(f"the scripted worker does not start: {answer['Payload'].read()[:1000]!r}")
