"""The state folder (.local in the repository): what lies where, and which stacks are running.

    issuer-*.pem     the issuer's keys, kept from start to start
    stacks/PORT.json how to reach a running stack; locked by the stack for as long as it lives
    runs/NAME/       ministack's files of one start; locked likewise, removed when it ends
    build/           what sam built, reused until its inputs change

A lock on a file (flock) ends with its process, however that ends: so a stack that was killed is known to be gone even
when its process id has been given to another program.
"""

import fcntl
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from local.errors import Unable

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / ".local"


class Lock:
    """A file that nobody else can lock, until `close` or the end of this process."""

    def __init__(self, path: Path) -> None:
        """Open `path`, creating it for this user alone. It is not locked yet."""
        path.touch(mode=0o600)
        self._file = path.open("r+")

    def wait(self) -> "Lock":
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def attempt(self) -> bool:
        """Lock without waiting. False (and closed) when another process holds it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            return False
        return True

    def write(self, text: str) -> None:
        """Put `text` in place of the file's content."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Lock":
        return self.wait()

    def __exit__(self, *_: object) -> None:
        self.close()


def prepare(state: Path) -> Path:
    """Create the state folder for this user alone. Raises Unable when that cannot be done."""
    try:
        for folder in (state, state / "stacks", state / "runs"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        bookkeeping(state).close()
    except OSError as error:
        raise Unable(
            f"The state folder {state} cannot be written ({error.strerror}): choose another by --state."
        ) from error
    return state


def bookkeeping(state: Path) -> Lock:
    """Held while files come and go, or one start would take another's new file for a dead one's."""
    return Lock(state / "lock")


def new_run(state: Path) -> tuple[Path, Lock]:
    """A folder for ministack's files of this start. Removes those of starts that were killed."""
    with bookkeeping(state):
        for left in (state / "runs").iterdir():
            lock = Lock(left / "lock")
            if lock.attempt():
                shutil.rmtree(left, ignore_errors=True)
                lock.close()
        run = Path(tempfile.mkdtemp(dir=state / "runs"))
        return run, Lock(run / "lock").wait()


def publish(state: Path, port: int, facts: dict[str, Any]) -> Lock:
    """Write down how to reach the stack on `port`; it counts as running until the returned lock is closed."""
    with bookkeeping(state):
        lock = Lock(stack_file(state, port)).wait()
        lock.write(json.dumps(facts, indent=2))
        return lock


def withdraw(state: Path, port: int, lock: Lock) -> None:
    stack_file(state, port).unlink(missing_ok=True)
    lock.close()


def stack_file(state: Path, port: int) -> Path:
    return state / "stacks" / f"{port}.json"


def running(state: Path = DEFAULT) -> list[dict[str, Any]]:
    """The stacks that are up, as `publish` wrote them down. Forgets those that were killed."""
    if not (state / "stacks").is_dir():
        return []
    with bookkeeping(state):
        return [facts for path in sorted((state / "stacks").glob("*.json")) for facts in read(path)]


def read(path: Path) -> list[dict[str, Any]]:
    lock = Lock(path)
    if lock.attempt():
        path.unlink(missing_ok=True)
        lock.close()
        return []
    return [json.loads(path.read_text("utf-8"))]
