"""Ids: ULIDs of this moment, and ids derived from a client's own, so that its command can be repeated. No keys, no I/O.

An id that is derived has a ULID's form, so that nobody can tell the two apart.
"""

from __future__ import annotations

import hashlib
import os

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U


def new(now: float) -> str:
    """A ULID of the moment `now`, in seconds."""
    return ulid(now, os.urandom(10))


def ulid(now: float, randomness: bytes) -> str:
    """A ULID: 48 bits of `now` (seconds; kept as milliseconds), 80 bits of `randomness` (10 bytes)."""
    return _crockford((int(now * 1000) << 80) | int.from_bytes(randomness[:10], "big"))


def run_id(user_id: str, message_id: str) -> str:
    """The run of a message: derived, so that the run's row is the idempotency record."""
    return _derived(f"{user_id}\x00{message_id}")


def retry_id(user_id: str, run: str) -> str:
    """The run that a redriven record of `run` starts. A message_id has no dot: this is no message's run."""
    return run_id(user_id, f"{run}.retry")


def thread_id(user_id: str, command_id: str) -> str:
    """The thread that a command creates: derived, so that the command can be repeated."""
    return _derived(f"{user_id}\x00thread\x00{command_id}")


def _derived(text: str) -> str:
    return _crockford(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big"))


def _crockford(number: int) -> str:
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
