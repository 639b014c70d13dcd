"""A release has one number per package, and everybody who asks gets that one."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import agentsocket
import agentsocket_client
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage.user import Storage
from tests.support.fakes import Scripted
from tests.support.world import World

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {"agentsocket": ROOT / "pyproject.toml", "agentsocket-client": ROOT / "clients/python/pyproject.toml"}
NUMBER = re.compile(r"\d+\.\d+\.\d+")


def test_the_version_is_three_numbers():
    assert NUMBER.fullmatch(agentsocket.__version__)
    assert NUMBER.fullmatch(agentsocket_client.__version__)


@pytest.mark.parametrize("path", PROJECTS.values(), ids=PROJECTS)
def test_a_project_reads_its_version_from_the_code(path: Path):
    project = tomllib.loads(path.read_text())
    source = path.parent / project["tool"]["hatch"]["version"]["path"]
    assert project["project"]["dynamic"] == ["version"]
    assert source.read_text().count("__version__ = ") == 1


def test_the_installed_distributions_have_it():
    assert importlib.metadata.version("agentsocket") == agentsocket.__version__
    assert importlib.metadata.version("agentsocket-client") == agentsocket_client.__version__


def test_welcome_names_the_server_s_version(storage: Storage, runtime: Runtime, ada: Principal):
    world = World(storage, runtime, Scripted([]))
    world.open(ada, "a1")
    [welcome] = world.say(ada, "a1", "hello", protocol=1)
    assert welcome["server_version"] == agentsocket.__version__


def test_reading_the_version_imports_nothing():
    program = "import sys; before = set(sys.modules); import agentsocket; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["agentsocket"]
