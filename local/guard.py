"""Runs a Python module that must not outlive the program that started it: `python local/guard.py MODULE ARGUMENTS`.

The starter holds the other end of this process's standard input and never writes to it. When that pipe closes,
because the starter closed it or because it was killed, the whole process group ends: ministack with its Lambda
workers, sam with its make and its uv. The watch runs inside the guarded process, so there is no second process whose
death would leave the first one behind. Whoever starts this makes it the leader of a session of its own.
"""

import os
import runpy
import signal
import sys
import threading
import time

GRACE_S = 5.0


def end_group() -> None:
    """End this process and everything it started: politely, then after GRACE_S for certain."""
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE_S)
    os.killpg(0, signal.SIGKILL)


def watch(pipe: int) -> None:
    """Block until nobody holds the writing end of `pipe` any more."""
    while os.read(pipe, 1024):
        pass
    end_group()


def main() -> None:
    if os.getpgrp() != os.getpid():
        sys.exit("local.guard must be started in a session of its own.")
    pipe = os.dup(0)
    # What is guarded, and all its children, read an empty input instead of holding the pipe.
    with open(os.devnull) as empty:  # noqa: PTH123 - a tiny program: pathlib is an import more
        os.dup2(empty.fileno(), 0)
    threading.Thread(target=watch, args=(pipe,), daemon=True).start()
    module = sys.argv.pop(1)
    # As `python -m` has it; this file's own folder has names such as `build` that others import too.
    sys.path[0] = os.getcwd()  # noqa: PTH109 - as above
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
