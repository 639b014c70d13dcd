"""The names of agents: what a client may say, and what each name makes."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import msgspec
import pytest

from agentsocket.agents.catalog import AGENTS, DEFAULT
from agentsocket.agents.contract import AgentEvent, Turn
from agentsocket.protocol.commands import Name


def test_who_names_no_agent_gets_one():
    assert DEFAULT in AGENTS


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_s_name_is_one_that_a_client_may_send(name):
    assert msgspec.convert(name, Name) == name


@pytest.mark.parametrize("name", AGENTS)
async def test_an_agent_answers_a_turn_with_events_of_the_contract(name):
    events = [event async for event in AGENTS[name]().run(Turn("r", "hello"))]
    assert events
    assert {type(event) for event in events} <= set(get_args(AgentEvent))


@pytest.mark.parametrize("name", AGENTS)
def test_each_run_has_an_agent_of_its_own(name):
    """What one run leaves in its agent, another user's would find."""
    assert AGENTS[name]() is not AGENTS[name]()


def test_the_names_alone_load_no_agent():
    """The Message function checks a name, and never runs what it names."""
    program = "import sys; from agentsocket.agents.catalog import AGENTS; print(*AGENTS, *sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {word for word in run.stdout.split() if word.startswith("agentsocket.")}
    assert loaded == {"agentsocket.agents", "agentsocket.agents.catalog", "agentsocket.agents.contract"}
