"""The agent of docs/agents.md, run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Any

import msgspec

from agentsocket.agents import runner
from agentsocket.agents.catalog import DEFAULT
from agentsocket.agents.contract import AgentEvent, Failed, Remember, Text, Thinking, Turn
from tests.support.pages import blocks, text
from tests.support.size_budget import ROOT

AGENT, CATALOG, TESTED = [block.text for block in blocks("docs/agents.md") if block.kind == "python"]


def names() -> dict[str, Any]:
    """What the page's agent and its test define."""
    found: dict[str, Any] = {}
    exec(AGENT + TESTED, found)  # noqa: S102 (our own page)
    return found


async def test_the_agent_of_the_page_answers_and_remembers():
    async def turn(remembers):
        return Turn("run-1", "hello", remembered={name: {} for name in remembers})

    said = [event async for event in runner.events(names()["Parrot"], turn, name="parrot")]
    assert said == [
        Thinking("Repeating, for the 1. time."),
        Text("hello"),
        Remember("thread.count", {"times": 1}),
    ]


async def test_the_pages_own_test_of_it_works():
    assert (await names()["events"]("hello"))[-1] == Remember("thread.count", {"times": 2})


def test_it_is_in_the_catalog_once_the_page_is_followed(tmp_path):
    """The files that the page names, changed as it says, in a copy."""
    package = "layers/agentsocket/python"
    [saved] = re.findall(r"Save it as `(\S+)`", text("docs/agents.md"))
    shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / saved).write_text(AGENT)
    catalog = (tmp_path / saved).with_name("catalog.py")
    lines = catalog.read_text().splitlines(keepends=True)
    assert len([line for line in lines if line.startswith("AGENTS")]) == 1
    catalog.write_text("".join(CATALOG if line.startswith("AGENTS") else line for line in lines))
    program = "from agentsocket.agents.catalog import AGENTS; print(*AGENTS, type(AGENTS['parrot']()).__module__)"
    path = {"PYTHONPATH": str(tmp_path / package)}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | path, capture_output=True, text=True)
    assert done.stdout == f"{DEFAULT} parrot agentsocket.agents.parrot\n", done.stderr


def test_the_tables_name_every_field_of_a_turn_and_every_event():
    fields = msgspec.structs.fields(Turn)
    assert all(f"| `{field.name}` |" in text("docs/agents.md") for field in fields)
    events = [event.__name__ for event in AgentEvent.__args__]
    assert all(f"| `{name}(" in text("docs/agents.md") for name in events)


def test_the_table_names_every_field_of_a_failure():
    [told] = re.findall(r"^\| `Failed\((.*?)\)`", text("docs/agents.md"), re.MULTILINE)
    assert [name.partition("=")[0] for name in told.split(", ")] == list(Failed.__struct_fields__)
