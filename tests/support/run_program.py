"""Runs a program to its end: `python -m tests.support.run_program PROGRAM ARGUMENTS`. `lifeline.py` has it guarded."""

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.call(sys.argv[1:]))
