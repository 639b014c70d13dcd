"""What local/bootstrap.py promises: which Python it takes, that it repairs, and one sentence for each way it fails.

Run as a real process in a copy of what it reads. `fake_python.sh` stands in for interpreters that no test machine has.
"""

import ast
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.state import ROOT
from tests.support.processes import PATIENCE_S, wait_until

READ = (
    "local/bootstrap.py",
    "constraints.txt",
    "constraints-tools.txt",
    "pyproject.toml",
    "clients/python/pyproject.toml",
    "Makefile",
)
FAKE = Path(__file__).with_name("fake_python.sh")
REFUSED = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}

# Stands for `python3` where that is an old Python: runs what it is given, and says that it is version 3.10.
OLD_PYTHON = f"""#!{sys.executable}
import runpy, sys
if sys.argv[1] == "-c":
    print("3.10.13", __file__)
else:
    sys._base_executable = __file__
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Project:
    """A folder with what bootstrap.py reads, and a PATH on which it finds only what the test put there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin, self.calls_file = folder / "project", folder / "bin", folder / "calls"
        self.bin.mkdir()
        for name in READ:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        for tool in ("sh", "mkdir", "cp", "sleep"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.settings = {"PATH": str(self.bin), "CALLS": str(self.calls_file), "PIP": "ok", "VERSION": "3.14.0"}

    def add_python(self, name: str, content: str | None = None) -> None:
        (self.bin / name).write_text(content or FAKE.read_text())
        (self.bin / name).chmod(0o755)

    def start(self, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "local/bootstrap.py", "dev", "tools"],
            cwd=self.folder,
            env=self.settings | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **settings: str) -> tuple[int, str]:
        """Exit status, and all that was said."""
        process = self.start(**settings)
        out, said = process.communicate(timeout=PATIENCE_S)
        assert out == "", "standard output belongs to the command that comes after"
        assert "Traceback" not in said
        return process.returncode, said

    def calls(self) -> list[str]:
        """What the fake interpreter was asked since the last time, but for its version."""
        text = self.calls_file.read_text() if self.calls_file.exists() else ""
        self.calls_file.write_text("")
        return [line for line in text.splitlines() if not line.startswith("-c")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.add_python("python3.14")
    return made


def sentence(said: str) -> str:
    """The last line, which is what a person is left with."""
    return said.strip().splitlines()[-1]


# --- what it does


def test_it_can_be_read_by_python_3_8():
    ast.parse((ROOT / "local" / "bootstrap.py").read_text(), feature_version=(3, 8))


def test_it_creates_both_environments_with_uv_and_the_second_call_does_nothing(project):
    status, said = project.run()
    assert (status, "uv" in said) == (0, True)
    calls = project.calls()
    assert sum(call.startswith("-m venv") for call in calls) == 2
    assert sum(call.startswith("pip install --python") for call in calls) == 2
    assert project.run() == (0, "")
    assert project.calls() == []


def test_a_python_that_only_prints_an_error_is_passed_over(project):
    project.add_python("python3.14", "#!/bin/sh\necho 'pyenv: python3.14: command not found' >&2\nexit 127\n")
    project.add_python("python3.13")
    status, said = project.run(VERSION="3.13.2")
    assert (status, str(project.bin / "python3.13") in said) == (0, True)


def test_an_interrupted_installation_is_done_again_from_the_start(project):
    process = project.start(PIP="slow")
    wait_until((project.folder.parent / "calls.pid").exists, "the start of the installation")
    process.kill()
    process.communicate()
    os.kill(int((project.folder.parent / "calls.pid").read_text()), signal.SIGKILL)
    project.calls()
    (project.folder / ".venv" / "half").write_text("left by the first")
    assert project.run()[0] == 0
    assert "-m venv --without-pip .venv" in project.calls()
    assert not (project.folder / ".venv" / "half").exists()
    assert project.run() == (0, "")


def test_changed_pins_are_installed_over_what_is_there(project):
    project.run()
    project.calls()
    with (project.folder / "constraints-tools.txt").open("a") as pins:
        pins.write("another==1.0\n")
    assert project.run()[0] == 0
    (installed,) = (call for call in project.calls() if call.startswith("pip install"))
    assert ".tools" in installed


def test_both_environments_are_made_anew_where_one_is_missing_so_that_they_are_of_one_python(project):
    project.run()
    project.calls()
    shutil.rmtree(project.folder / ".tools")
    assert project.run(VERSION="3.14.1")[0] == 0
    assert sum(call.startswith("-m venv") for call in project.calls()) == 2


def test_a_project_that_was_moved_gets_new_environments(project):
    project.run()
    project.calls()
    project.folder = project.folder.rename(project.folder.with_name("moved"))
    assert project.run()[0] == 0
    assert sum(call.startswith("-m venv") for call in project.calls()) == 2


def test_pip_takes_over_where_uv_fails(project):
    status, said = project.run(UV="broken")
    assert status == 0
    assert sentence(said) == "agentsocket: installing into .venv and .tools with pip"


# --- how it fails


def test_old_pythons_alone_are_named_with_their_version(project):
    project.bin.joinpath("python3.14").unlink()
    project.add_python("python3", OLD_PYTHON)
    done = subprocess.run(
        [project.bin / "python3", "local/bootstrap.py", "dev"],
        cwd=project.folder,
        env=project.settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Python 3.11 or newer is needed, and the newest one found is 3.10.13 ({project.bin}/python3)" in done.stderr


def test_make_says_so_where_no_python_is(project):
    project.bin.joinpath("python3.14").unlink()
    done = subprocess.run(
        [str(shutil.which("make")), "chat"],
        cwd=project.folder,
        env=project.settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    first, *rest = done.stderr.splitlines()
    assert done.returncode != 0
    assert first == "agentsocket: No Python is installed here: install Python 3.11 or newer and run make again."
    assert len(rest) <= 1, "make's own line may follow, and no more"


def test_a_python_without_pip_and_ensurepip_is_told_what_to_install(project):
    status, said = project.run(PIP="missing")
    assert status == 1
    assert "apt install python3-venv python3-pip" in sentence(said)


def test_no_network_is_one_sentence(tmp_path):
    project = Project(tmp_path)
    project.settings = REFUSED | {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    status, said = project.run()
    assert status == 1
    assert sentence(said) == (
        "agentsocket: The packages cannot be downloaded: check the network (or the proxy settings) and run make again."
    )


@pytest.mark.parametrize(
    ("said_by_pip", "expected"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full: free 1 GB"),
        ("OSError: [Errno 13] Permission denied: '.venv/x'", "cannot be written: make it yours"),
    ],
)
def test_what_the_disk_refuses_is_one_sentence(project, said_by_pip, expected):
    status, said = project.run(PIP=said_by_pip)
    assert status == 1
    assert expected in sentence(said)


def test_any_other_failure_ends_with_what_was_said_last_and_where_the_rest_is(project):
    status, said = project.run(PIP="the moon is in the wrong phase")
    assert status == 1
    assert "the moon is in the wrong phase" in sentence(said)
    assert ".local/install.venv.log" in sentence(said)


@pytest.fixture
def unwritable() -> Iterator[Project]:
    """A project that belongs to somebody else. Outside tmp_path, whose parents only its owner may enter."""
    with tempfile.TemporaryDirectory() as folder:
        made = Project(Path(folder))
        made.add_python("python3.14")
        Path(folder).chmod(0o755)
        made.folder.chmod(0o555)
        yield made
        made.folder.chmod(0o755)


def test_an_unwritable_folder_is_one_sentence(unwritable):
    nobody = 65534 if os.geteuid() == 0 else None  # root may write anywhere
    done = subprocess.run(
        [readable_python(), "local/bootstrap.py", "dev"],
        cwd=unwritable.folder,
        env=unwritable.settings,
        user=nobody,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"The folder {unwritable.folder} cannot be written" in done.stderr


def readable_python() -> str:
    """An interpreter that another user may run too, which one below root's home is not."""
    return next(
        (found for found in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(found).exists()), sys.executable
    )


def test_ctrl_c_while_installing_is_one_sentence_and_ends_the_installer(project):
    process = project.start(PIP="slow")
    pid_file = project.folder.parent / "calls.pid"
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()), "the start of the installation")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert sentence(said) == "agentsocket: Stopped before everything was installed: the next make goes on."
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
