"""Ten ways in which delivery was nearly built, or might be broken one day. Each must cost some seed a promise.

A mutant is a text of the package and what stands in its place. When the old text is gone, the mutant must be written
anew: `test_mutants.py` fails then. When other seeds find it than the one that is recorded with it, `make simulate
MUTANTS=1` says which: it searches without knowing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.lifeline import Tied

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "layers" / "agentsocket" / "python" / "agentsocket"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands in `module` once; `new` is the fault. `seed` is the first that finds it."""

    name: str
    module: str
    old: str
    new: str
    seed: int


def made(mutant: Mutant, folder: Path) -> Path:
    """A copy of the package with the fault in it; the folder to import it from. Raises ValueError if it cannot be."""
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / mutant.module
    text = module.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.module} has {text.count(mutant.old)} times: {mutant.old}")
    module.write_text(text.replace(mutant.old, mutant.new))
    return folder


def play(mutant: Mutant, *, first: int, seeds: int, processes: int) -> tuple[bool, str]:
    """Play so many seeds with the fault, to the first that breaks a promise. Whether one did, and what was said."""
    options = {"first": first, "seeds": seeds, "processes": processes}
    given = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(made(mutant, Path(folder))), str(ROOT)])
        command = ["tests.simulation", *given, "--until-broken"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with Tied(*command, env={**os.environ, "PYTHONPATH": path}, **streams) as playing:
            said = playing.communicate()[0]
    return playing.returncode == 1 and "broken promises; play it again" in said, said


MUTANTS = [
    Mutant(
        "an event is written over whatever is in its slot",
        "storage/thread_log.py",
        """        return put(row, when=ABSENT)
""",
        """        return put(row)
""",
        seed=76,
    ),
    Mutant(
        "the cursor is written after the log was read",
        "commands/replay.py",
        """    generation = store.connections.subscribe(connection_id, thread_id, cursor=since.seq, only=only)
    missed = _missed(log, since, limits, max_bytes)
""",
        """    missed = _missed(log, since, limits, max_bytes)
    generation = store.connections.subscribe(connection_id, thread_id, cursor=log.top())
""",
        seed=68,
    ),
    Mutant(
        "an event is pushed before it is in the log",
        "worker/publisher.py",
        """        event = await self._runtime.offload(self._log.append,""",
        """        self._written(build(self.top + 1))
        self.top -= 1
        event = await self._runtime.offload(self._log.append,""",
        seed=57,
    ),
    Mutant(
        "who has lost a slot does not look at the lease",
        "storage/thread_log.py",
        """        if meta.lease_owner != lease.owner:
""",
        """        if not meta:
""",
        seed=76,
    ),
    Mutant(
        "a record is acknowledged though the lease was lost",
        "worker/attempt.py",
        """    elif unfinished:
        raise RunUnfinished("lease lost or storage unavailable; the record will be redelivered")
""",
        """    elif unfinished:
        return
""",
        seed=1380,
    ),
    Mutant(
        "a worker stops at any slot it loses, be it to itself",
        "storage/thread_log.py",
        """                if refused.row and (refused.row["owner"],""",
        """                raise LeaseLost("the slot was taken") from refused
                if refused.row and (refused.row["owner"],""",
        seed=29,
    ),
    Mutant(
        "a run's ending is two writes",
        "storage/thread_log.py",
        """                self._table.transact(*operations(seq))
""",
        """                first, second = operations(seq)[:2], operations(seq)[2:]
                self._table.transact(*first)
                self._table.transact(*second)
""",
        seed=14,
    ),
    Mutant(
        "nobody looks for subscribers after the last event",
        "worker/fan_out.py",
        """        await self.poll()
        self._ending = True
""",
        """        self._ending = True
""",
        seed=128,
    ),
    Mutant(
        "a message that comes twice is not queued again",
        "relay.py",
        """    if run.state == "accepted":
""",
        """    if run.state == "accepted" and not accepted.duplicate:
""",
        seed=454,
    ),
    Mutant(
        "a thread's tombstone is not looked at",
        "storage/threads.py",
        """        if row is None or "deleted_at" in row:
            raise""",
        """        if row is None:
            raise""",
        seed=0,
    ),
]
