"""Ten ways in which delivery was nearly built, or might be broken one day. Each must cost some seed a promise.

A mutant is a text of the package and what stands in its place. When the old text is gone, the mutant must be written
anew: `test_mutants.py` fails then.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "layers" / "agentsocket" / "python" / "agentsocket"


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands in `module` once; `new` is the fault."""

    name: str
    module: str
    old: str
    new: str


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


MUTANTS = [
    Mutant(
        "an event is written over whatever is in its slot",
        "storage/thread_log.py",
        """        return put(row, when=ABSENT)
""",
        """        return put(row)
""",
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
    ),
    Mutant(
        "an event is pushed before it is in the log",
        "worker/publisher.py",
        """        event = await self._runtime.offload(self._log.append,""",
        """        self._written(build(self.top + 1))
        self.top -= 1
        event = await self._runtime.offload(self._log.append,""",
    ),
    Mutant(
        "who has lost a slot does not look at the lease",
        "storage/thread_log.py",
        """        if meta.lease_owner != lease.owner:
""",
        """        if not meta:
""",
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
    ),
    Mutant(
        "a worker stops at any slot it loses, be it to itself",
        "storage/thread_log.py",
        """                if refused.row and (refused.row["owner"],""",
        """                raise LeaseLost("the slot was taken") from refused
                if refused.row and (refused.row["owner"],""",
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
    ),
    Mutant(
        "nobody looks for subscribers after the last event",
        "worker/fan_out.py",
        """        await self.poll()
        self._ending = True
""",
        """        self._ending = True
""",
    ),
    Mutant(
        "a message that comes twice is not queued again",
        "relay.py",
        """    if run.state == "accepted":
""",
        """    if run.state == "accepted" and not accepted.duplicate:
""",
    ),
    Mutant(
        "a thread's tombstone is not looked at",
        "storage/threads.py",
        """        if row is None or "deleted_at" in row:
            raise""",
        """        if row is None:
            raise""",
    ),
]
