"""When a process began: that tells it from a later one of the same number. Deployed beside `scripted_app.py` too."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PROC = Path("/proc/self/stat")


def started(pid: int) -> str:
    """The process's beginning in the system's own words, only to be compared; empty when there is no such process."""
    if not _PROC.exists():
        said = subprocess.run(["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False)
        return " ".join(said.stdout.split())
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = stat.rpartition(")")[2].split()  # the command may have blanks and brackets in it
    return "" if state in "ZX" else fields[18]  # field 22 of proc(5): starttime; one that waits to be reaped is gone
