"""Seeds: a hundred keep every promise, and each is the same in every process (`make simulate` plays more)."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.simulating import simulate

_DIGESTS = "from tests.simulation.simulating import simulate; print([simulate(seed).digest for seed in range(30)])"


def test_a_hundred_seeds_keep_every_promise():
    broken = {seed: found for seed in range(100) if (found := simulate(seed).violations)}
    assert broken == {}, "make simulate N=1 SEED=… plays one of them again, and tells what happens in it"


def test_a_seed_is_the_same_in_every_process():
    """The whole trace, whatever the order of hashes: every call, every frame, every moment."""
    first, second = [
        subprocess.run(
            [sys.executable, "-c", _DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "4711")
    ]
    assert first == second
    assert len(set(first.split(","))) == 30


def test_the_command_says_how_to_play_a_seed_again():
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", "1", "--first", "7"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert played.stdout.splitlines()[-1].startswith("seed 7: ")
