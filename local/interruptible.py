"""Runs sam so that ending it is like Ctrl-C: `python -m local.guard local.interruptible ARGUMENTS`.

sam removes its containers when it is interrupted, and leaves them running when it is terminated.
"""

import runpy
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runpy.run_module("samcli", run_name="__main__", alter_sys=True)
