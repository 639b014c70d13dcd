"""What local/guard.py promises: a guarded program and its children end with the program that started them."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.guarded import GUARD
from tests.support.processes import PATIENCE_S, is_group_gone, wait_until


def module(folder: Path, code: str) -> str:
    (folder / "guarded_module.py").write_text(textwrap.dedent(code))
    return "guarded_module"


@contextmanager
def guarded(folder: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A guarded module in a session of its own that has printed its first line."""
    with subprocess.Popen(
        [sys.executable, GUARD, module(folder, code), "an", "argument"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            end_group(process.pid)


def end_group(group: int) -> None:
    """What the guard is there for, done by hand: a test that fails must not leave anything either."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def test_a_guarded_module_and_its_child_end_when_the_pipe_closes(tmp_path):
    code = """
        import subprocess, sys, time
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("ready", flush=True)
        time.sleep(600)
    """
    with guarded(tmp_path, code) as process:
        assert process.stdin is not None
        assert not is_group_gone(process.pid)
        process.stdin.close()
        process.wait(PATIENCE_S)
        wait_until(lambda: is_group_gone(process.pid), "the end of the guarded module's child")


def test_a_child_that_ignores_being_asked_is_killed(tmp_path):
    code = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which the child inherits
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("ready", flush=True)
        time.sleep(600)
    """
    with guarded(tmp_path, code) as process:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)
        wait_until(lambda: is_group_gone(process.pid), "the end of the stubborn child")


def test_the_module_runs_as_if_it_were_called_itself(tmp_path):
    code = """
        import sys
        print("ready", flush=True)
        print(__name__, sys.argv[1:], repr(sys.stdin.read()), flush=True)
    """
    with guarded(tmp_path, code) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "__main__ ['an', 'argument'] ''\n"


def test_it_refuses_to_run_where_it_would_end_its_starter_too(tmp_path):
    done = subprocess.run(
        [sys.executable, GUARD, module(tmp_path, "print('ran')")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "session of its own" in done.stderr


def test_killing_the_launcher_leaves_neither_ministack_nor_its_workers(tmp_path):
    launcher = """
        import asyncio, pathlib, sys
        from local.emulators.ministack import Ministack
        from tests.local.functions import call, make_function

        async def main():
            ministack = Ministack(pathlib.Path(sys.argv[1]))
            await ministack.start()
            arn = make_function(ministack.access, "import os\\ndef handler(event, context): return os.getpid()")
            print(call(ministack.access, arn), flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(launcher), tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        group = os.getpgid(int(process.stdout.readline()))
        assert group not in (process.pid, os.getpgid(0)), "ministack and its workers must be a group of their own"
        process.send_signal(signal.SIGKILL)
        try:
            wait_until(lambda: is_group_gone(group), "the end of ministack and its worker")
        finally:
            end_group(group)
