"""The agent of `examples/`: one message through the real steps, to a client that has named it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentsocket.errors import BadRequest
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage.user import Storage
from examples.echo_agent import Echo
from tests.support.fakes import Scripted
from tests.support.world import World

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "the first line\n\n  the last, ünïcode"


@pytest.fixture
def world(storage: Storage, runtime: Runtime) -> World:
    made = World(storage, runtime, Scripted([]))
    made.agents["echo"] = Echo
    return made


async def test_the_echo_agent_gives_the_question_back(world: World, ada: Principal) -> None:
    world.connect(ada, "a1")
    world.send(ada, "a1", QUESTION, message_id="m1", agent="echo")
    await world.work()
    events = world.sockets.events("a1")
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["user_message", "agent_started", "agent_thinking"]
    assert kinds[-2:] == ["agent_completed", "final_report"]
    assert events[-1]["payload"]["content"] == QUESTION


def test_a_client_names_it_only_where_it_is_in_the_catalog(world: World, ada: Principal) -> None:
    del world.agents["echo"]
    world.connect(ada, "a1")
    with pytest.raises(BadRequest):
        world.send(ada, "a1", QUESTION, message_id="m1", agent="echo")


def test_it_is_in_the_catalog_once_its_readme_is_followed(tmp_path: Path) -> None:
    """The commands and lines of examples/README.md, carried out in a copy."""
    text = (ROOT / "examples" / "README.md").read_text().partition("## The agent")[2]
    [command], [lines] = re.findall(r"```sh\n(cp .*)\n```", text), re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [catalog] = re.findall(r"`(layers/\S+/catalog\.py)`", text)
    for folder in ("examples", "layers/agentsocket/python"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    (tmp_path / catalog).write_text((tmp_path / catalog).read_text() + lines)
    program = "from agentsocket.agents.catalog import AGENTS; made = AGENTS['echo'](); print(type(made).__module__)"
    path = {"PYTHONPATH": str(tmp_path / "layers/agentsocket/python")}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | path, capture_output=True, text=True)
    assert done.stdout == "agentsocket.agents.echo_agent\n", done.stderr
