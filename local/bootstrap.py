"""Makes the environments that the Makefile asks for: `python3 local/bootstrap.py dev tools`.

Inside: finding a Python >= 3.11 that really runs; creating .venv (dev: the package, its clients, its tests) and
.tools (ministack and sam, which must not see our packages); installing the pinned versions; one sentence for each way
this fails on a person's machine. Kept out: everything third-party, and all syntax newer than Python 3.8, because this
is the one file that an old Python must be able to read in order to say that it is too old.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, NamedTuple  # noqa: UP035 - that of collections.abc is no generic in 3.8

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
OLDEST = (3, 11)
NAMES = ("python3.14", "python3.13", "python3.12", "python3.11", "python3")
STAMP = ".complete"
HEARTBEAT_S = 5.0
PROBE = "import sys, venv; print('%d.%d.%d' % sys.version_info[:3], getattr(sys, '_base_executable', sys.executable))"

NO_NETWORK = re.compile(
    r"name resolution|NewConnectionError|Network is unreachable|No route to host|dns error|Connection refused"
    r"|error sending request|[Tt]imed out|ConnectTimeout|ProxyError|nodename nor servname|Name or service not known"
)
NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|os error 28")
NO_PERMISSION = re.compile(r"Permission denied|Read-only file system|os error (13|30)")


class Stop(Exception):
    """Nothing more can be done here; the text is one sentence for the person who typed make."""


class Environment(NamedTuple):
    """One environment: its folder in the repository, what is installed into it, and which pins hold."""

    folder: str
    wanted: tuple[str, ...]
    constraints: str
    inputs: tuple[str, ...]  # files that decide about its content

    @property
    def path(self) -> Path:
        return ROOT / self.folder

    @property
    def python(self) -> str:
        return str(self.path / "bin" / "python")

    @property
    def log(self) -> Path:
        return LOCAL / f"install{self.folder}.log"


ENVIRONMENTS = {
    "dev": Environment(
        ".venv",
        ("--editable", ".[dev]", "--editable", "./clients/python"),
        "constraints.txt",
        ("constraints.txt", "pyproject.toml", "clients/python/pyproject.toml"),
    ),
    "tools": Environment(".tools", ("ministack", "aws-sam-cli"), "constraints-tools.txt", ("constraints-tools.txt",)),
}


def say(text: str) -> None:
    sys.stderr.write(f"agentsocket: {text}\n")
    sys.stderr.flush()


# --- what is there already


def expected(environment: Environment) -> list[str]:
    """The stamp of a finished environment: first where and on which Python it stands, then what is in it."""
    place = [str(ROOT).encode(), (environment.path / "pyvenv.cfg").read_bytes()]
    content = [" ".join(environment.wanted).encode(), *((ROOT / name).read_bytes() for name in environment.inputs)]
    return [hashlib.sha256(b"\0".join(parts)).hexdigest() for parts in (place, content)]


def stamped(environment: Environment) -> list[str]:
    try:
        return (environment.path / STAMP).read_text().split()
    except OSError:
        return []


def is_usable(environment: Environment) -> bool:
    """Finished once, in this place, on a Python that still exists: what changed since can be installed over it."""
    cfg = environment.path / "pyvenv.cfg"
    there = cfg.is_file() and os.access(environment.python, os.X_OK)
    return there and stamped(environment)[:1] == expected(environment)[:1]


def is_current(environment: Environment) -> bool:
    return is_usable(environment) and stamped(environment) == expected(environment)


# --- which Python


def probe(name: str) -> tuple[tuple[int, ...], str] | None:
    """Version and path of one interpreter, by running it: pyenv leaves names on PATH that only print an error."""
    try:
        found = subprocess.run([name, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version, _, path = found.stdout.decode().strip().partition(" ")
    if found.returncode or not re.match(r"\d+\.\d+\.\d+$", version):
        return None
    return tuple(int(number) for number in version.split(".")), path


def choose_python() -> str:
    """The newest usable interpreter. Raises Stop when all are too old."""
    seen = [found for found in map(probe, (*NAMES, getattr(sys, "_base_executable", sys.executable))) if found]
    if not seen:
        raise Stop("No Python here runs: install Python 3.11 or newer and run make again.")
    version, path = max(seen, key=lambda found: found[0][:2])
    if version < OLDEST:
        raise Stop(
            f"Python 3.11 or newer is needed, and the newest one found is {'.'.join(map(str, version))} ({path}): "
            "install a newer one (Debian: apt install python3, macOS: brew install python) and run make again."
        )
    return path


# --- creating and installing


def clean_environ() -> dict[str, str]:
    """The caller's environment without what would send packages elsewhere than into our own folders."""
    unwanted = ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV", "UV_PYTHON")
    environ = {name: value for name, value in os.environ.items() if name not in unwanted}
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return environ


def run(commands: dict[Environment, list[str]], what: str) -> list[Environment]:
    """Run one command per environment, side by side, each with its own log. Returns those that failed."""
    began = told = time.monotonic()
    running = {environment: start(command, environment.log) for environment, command in commands.items()}
    try:
        while any(process.poll() is None for process in running.values()):
            time.sleep(0.05)
            if time.monotonic() - told > HEARTBEAT_S:
                told = time.monotonic()
                say(f"  still {what} ({round(told - began)} s)")
    finally:
        for process in running.values():
            process.terminate()  # nothing to one that has ended
            process.wait()
    return [environment for environment, process in running.items() if process.returncode]


def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("a") as output:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=clean_environ()
        )


def create(environment: Environment, python: str) -> None:
    """An empty environment in place of what an interrupted or moved one left behind."""
    shutil.rmtree(str(environment.path), ignore_errors=True)
    # Without pip: Debian's python3 has none to put there, and a base pip can install into it from outside.
    if run({environment: [python, "-m", "venv", "--without-pip", environment.folder]}, "creating the environment"):
        raise Stop(explain(environment))


def find_pip(python: str) -> list[str]:
    """A pip that can install into another environment: the base Python's, or one bundled with it."""
    dev = ENVIRONMENTS["dev"]
    for pip in ([python, "-m", "pip"], [dev.python, "-m", "pip"]):
        if not run({dev: [*pip, "--python", dev.python, "--version"]}, "looking for pip"):
            return pip
        if pip[0] == python and run({dev: [dev.python, "-m", "ensurepip"]}, "unpacking pip"):
            break
    raise Stop(
        "This Python has neither pip nor ensurepip, so nothing can be installed: add them "
        "(Debian: apt install python3-venv python3-pip) and run make again."
    )


def installers(pip: list[str]) -> Iterator[list[str]]:
    """uv, which takes seconds; then pip, which takes a minute but knows mirrors that only pip.conf names."""
    dev = ENVIRONMENTS["dev"]
    uv = str(dev.path / "bin" / "uv")
    get_uv = [*pip, "--python", dev.python, "install", "--retries", "2", "-c", "constraints-tools.txt", "uv"]
    if os.access(uv, os.X_OK) or not run({dev: get_uv}, "downloading uv"):
        yield [uv, "pip", "install", "--python"]
    elif NO_NETWORK.search(dev.log.read_text(errors="replace")):
        raise Stop(explain(dev))
    yield [*pip, "--python"]


def install_command(tool: list[str], environment: Environment) -> list[str]:
    verb = [] if tool[-2] == "install" else ["install"]
    return [*tool, environment.python, *verb, "--constraint", environment.constraints, *environment.wanted]


def install(environments: list[Environment], python: str) -> None:
    """Fill the environments side by side. Raises Stop with the reason when every installer fails."""
    left = environments
    for tool in installers(find_pip(python)):
        say(f"installing into {folders(left)} with {Path(tool[0]).name if tool[-2] == 'install' else 'pip'}")
        left = run({environment: install_command(tool, environment) for environment in left}, "installing")
        if not left:
            return
    raise Stop(explain(left[0]))


# --- saying what went wrong


def known(output: str) -> str | None:
    """The sentence for a cause that a person can do something about, if `output` tells of one."""
    if NO_SPACE.search(output):
        return f"The disk is full: free 1 GB for {ROOT} and run make again."
    if NO_PERMISSION.search(output):
        return f"The folder {ROOT} cannot be written: make it yours or clone to one that is, and run make again."
    if NO_NETWORK.search(output):
        return "The packages cannot be downloaded: check the network (or the proxy settings) and run make again."
    return None


def explain(environment: Environment) -> str:
    """Why the last command on this environment failed, from what it printed."""
    output = environment.log.read_text(errors="replace")
    last = ([line.strip() for line in output.splitlines() if line.strip()] or ["it said nothing"])[-1]
    log = environment.log.relative_to(ROOT)
    return known(output) or f"Installing into {environment.folder} failed, see {log}; its last line: {last[:300]}"


# --- the command


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Two commands typed at the same time share the environments: the second waits for the first."""
    LOCAL.mkdir(mode=0o700, exist_ok=True)
    with (LOCAL / "bootstrap.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make to finish installing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def folders(environments: list[Environment]) -> str:
    return " and ".join(environment.folder for environment in environments)


def prepare(environments: list[Environment]) -> None:
    """Bring every environment that is not current up to date; or all anew, since they must be of one Python."""
    is_new = not all(map(is_usable, environments))
    left = [environment for environment in environments if is_new or not is_current(environment)]
    if not left:
        return
    python = choose_python()
    say(f"preparing {folders(left)} with {python} (the first time this takes up to a minute)")
    for environment in left:
        environment.log.write_text("")
        if is_new:
            create(environment, python)
        (environment.path / STAMP).write_text("")
    install(left, python)
    for environment in left:
        (environment.path / STAMP).write_text("\n".join(expected(environment)))


def main(arguments: list[str]) -> int:
    """Exit status of the command line; every failure is one sentence on standard error."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The tools are installed by the uv of .venv, so whoever wants them needs both.
    wanted = [ENVIRONMENTS[name] for name in ("dev", "tools") if name == "dev" or name in arguments]
    try:
        if not all(map(is_current, wanted)):
            with only_one():
                prepare(wanted)
    except KeyboardInterrupt:
        say("Stopped before everything was installed: the next make goes on.")
        return 130
    except Stop as stop:
        say(str(stop))
        return 1
    except OSError as error:
        say(known(str(error)) or f"{error.filename} cannot be used: {error.strerror}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
