"""`make chat` from a fresh clone to its first answer, the first time and the second, with the package cache as it is.

The floor of the second start is how long Python takes to load SAM's command, which every build begins with.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600
AIMS = {"first": "aim: at most 60 s to the prompt", "second": "aim: at most 15 s to the prompt"}


def measure() -> None:
    """Clone what is committed, chat twice, remove the clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "agentsocket"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for which, aim in AIMS.items():
            prompt, whole = _chat(clone)
            print(f"  make chat, {which:<6} to the prompt {prompt:5.1f} s   to the end of a run {whole:5.1f} s   {aim}")
        started = time.perf_counter()
        subprocess.run([str(clone / ".tools/bin/sam"), "--version"], check=True, capture_output=True)
        print(f"  sam --version (floor)  {time.perf_counter() - started:5.1f} s")


def _chat(clone: Path) -> tuple[float, float]:
    """Seconds until the chat is connected and has sent its message, and until the run has ended."""
    command = ["make", "--silent", "chat"]
    started = time.perf_counter()
    chat = subprocess.Popen(command, cwd=clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert chat.stdin is not None
    assert chat.stdout is not None
    with chat.stdin as stdin:
        stdin.write("hello\n")
    chat.stdout.readline()
    prompt = time.perf_counter() - started
    chat.stdout.read()
    chat.stdout.close()
    if chat.wait(TIMEOUT_S) != 0:
        raise SystemExit("make chat failed; what it says stands above")
    return prompt, time.perf_counter() - started
