"""Which tests share a worker process, and in which order they are given out.

A pytest plugin (`tests/conftest.py` names it) for `--dist loadgroup`. A stack is started once and serves one process:
who puts other code in its functions must be alone with it. So the tests of a stack are one group, or two where they
would take longest of all. Other tests go by their files. What takes long is begun first, or one process would work at
its end while the others have nothing left.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

# Most tests of a stack, and many of others, wait more than they compute; but what they compute is much.
_PROCESSES_PER_CORE = 1.5

# The fixtures that are stacks (tests/integration/conftest.py and its modules), and the group of those who use them.
_STACKS = {"strict": "strict", "guarded": "guarded", "processes": "scripted", "deployment": "deployment"}
_APART = {"test_reconnecting.py", "test_streaming.py", "test_recovery.py"}  # half of the scripted ones, by their time

# By their time, the longest first; the rest as they come. The replays come early for another reason: one of them needs
# 100 MB for a moment, which would come on top of all that a process has loaded by its end.
_FIRST = (
    "scripted",
    "strict",
    "scripted apart",
    "tests/local/test_stack.py",
    "deployment",
    "tests/unit/commands/test_replay.py",
    "tests/integration/test_interrupted_runs.py",
    "tests/local/emulators/test_queue_poller.py",
    "tests/simulation/test_simulation.py",
    "tests/local/emulators/test_ministack.py",
    "tests/local/test_deploy.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    return round(_PROCESSES_PER_CORE * (os.cpu_count() or 1))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    groups = {item: _group(item) for item in items}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _rank(groups[item], _FIRST))


def _group(item: pytest.Item) -> str:
    """By the stack that the test uses; else by its file."""
    file = item.path.relative_to(item.config.rootpath).as_posix()
    used = getattr(item, "fixturenames", ())
    for fixture, group in _STACKS.items():
        if fixture in used and file.startswith("tests/integration/"):
            return f"{group} apart" if group == "scripted" and item.path.name in _APART else group
    return file


def _rank(group: str, first: Sequence[str]) -> int:
    return first.index(group) if group in first else len(first)
