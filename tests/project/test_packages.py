"""The two wheels as an index gets them: complete, apart from each other, usable where nothing else is installed."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import agentsocket_client
from tests.support.waiting import TIME_FACTOR

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "python"
UV = str(Path(sys.executable).with_name("uv"))
VERSION = agentsocket_client.__version__
USE = """
import pathlib, sys
import agentsocket_client
from agentsocket_client import Client, CommandFailed, Limits

package = pathlib.Path(agentsocket_client.__file__).parent
assert package.is_relative_to(sys.prefix), package
assert (package / "py.typed").is_file()
Client("wss://example.org/v1", "token", limits=Limits())
print(agentsocket_client.__version__)
"""


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a program to its success; what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120 * TIME_FACTOR, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(project: Path, folder: Path, *kinds: str) -> list[Path]:
    """The distributions of a project, newly built."""
    run(UV, "build", "--quiet", *kinds, "--out-dir", str(folder), str(project))
    return sorted(path for path in folder.iterdir() if path.suffix in {".whl", ".gz"})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [archive] = build(CLIENT, tmp_path_factory.mktemp("sdist"), "--sdist")
    return archive


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client's wheel, made of its source distribution as whoever packages it would."""
    [archive] = build(source, tmp_path_factory.mktemp("wheel"), "--wheel")
    return archive


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_client_s_wheel_holds_the_package_and_its_licence(wheel: Path):
    package = CLIENT / "agentsocket_client"
    sources = {f"agentsocket_client/{path.name}" for path in package.iterdir() if path.name != "__pycache__"}
    info = f"agentsocket_client-{VERSION}.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE", "licenses/NOTICE")}
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == sources | about
    assert "agentsocket_client/py.typed" in sources


def test_the_client_s_source_distribution_holds_what_its_wheel_is_made_of(source: Path):
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    about = {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "PKG-INFO"}
    assert about <= names
    assert {name for name in names - about if not name.startswith("agentsocket_client/")} <= {".gitignore"}


def test_the_client_s_metadata_says_what_an_index_shows(wheel: Path):
    found = metadata_of(wheel)
    assert (found["Name"], found["Version"]) == ("agentsocket-client", VERSION)
    assert found["License-Expression"] == "Apache-2.0"
    assert found.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert found["Author"] == "The agentsocket authors"
    assert "Typing :: Typed" in found.get_all("Classifier", [])
    assert {"chat", "websocket"} <= set(found["Keywords"].split(","))
    urls = dict(url.split(", ") for url in found.get_all("Project-URL", []))
    assert urls["Changelog"].endswith("/CHANGELOG.md")
    assert urls.keys() == {"Homepage", "Changelog", "Documentation", "Issues"}
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_all("Requires-Dist") == ["websockets>=15.0"]


def test_the_client_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path):
    """Only what its metadata names is installed beside it."""
    python = str(tmp_path / "clean" / "bin" / "python")
    run(UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "clean"))
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", str(ROOT / "constraints.txt"), str(wheel))
    assert run(python, "-I", "-W", "error", "-c", USE, cwd=tmp_path).split() == [VERSION]
    assert "agentsocket-client" in run(UV, "pip", "list", "--python", python)


def test_the_backend_s_wheel_owns_nothing_of_the_client_s(tmp_path: Path):
    [archive] = build(ROOT, tmp_path, "--wheel")
    with zipfile.ZipFile(archive) as opened:
        owned = {name.partition("/")[0] for name in opened.namelist()}
    [info] = [name for name in owned if name.endswith(".dist-info")]
    assert owned == {"agentsocket", "authservice", "lambdakit", info}
    assert metadata_of(archive)["License-Expression"] == "Apache-2.0"
