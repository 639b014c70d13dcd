"""Play many seeds: `make simulate N=1000 SEED=0`. Prints each that breaks a promise, and how to play it again."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing.connection import wait

from tests.simulation.mutants import MUTANTS, play
from tests.simulation.simulating import Outcome, simulate

_AT_ONCE = 20  # seeds that one process plays before it says so

Broken = list[tuple[int, list[str]]]


def main() -> int:
    """0 when every seed keeps every promise, 1 otherwise."""
    options = _options()
    if options.mutants:
        return _hunt(options)
    if options.seeds == 1:
        return _show(simulate(options.first))
    began = time.monotonic()
    played, failed = 0, 0
    for played, broken in _played(options):
        for seed, violations in broken:
            failed += 1
            _tell(seed, violations)
        _progress(f"{played}/{options.seeds} seeds, {failed} broken, {played / (time.monotonic() - began):.0f}/s")
        if failed and options.until_broken:
            break
    _progress("\n")
    print(f"{played} seeds from {options.first} on in {time.monotonic() - began:.0f} s: {failed} broke a promise")
    return 1 if failed else 0


def _played(options: argparse.Namespace) -> Iterator[tuple[int, Broken]]:
    """How many seeds have been played, and those among the last that break a promise."""
    end = options.first + options.seeds
    parts = [range(start, min(start + _AT_ONCE, end)) for start in range(options.first, end, _AT_ONCE)]
    with ProcessPoolExecutor(options.processes, initializer=_end_with_parent) as processes:
        found = processes.map(_quietly, parts)
        try:
            for part, broken in zip(parts, found, strict=True):
                yield part.stop - options.first, broken
        finally:
            processes.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """In a process of the pool: it would wait for its next seeds for ever if the one that gives them were killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _quietly(seeds: range) -> Broken:
    logging.disable()  # the functions' own lines: `N=1` shows what happens in a seed
    return [(seed, found) for seed in seeds if (found := simulate(seed).violations)]


def _hunt(options: argparse.Namespace) -> int:
    """0 when every mutant is found by one of the seeds."""
    missed = 0
    for mutant in MUTANTS:
        found, said = play(mutant, first=options.first, seeds=options.seeds, processes=options.processes)
        missed += not found
        print(f"{mutant.name}: {'found' if found else 'NOT FOUND'}\n  {said.strip().splitlines()[-1]}", flush=True)
        for line in said.splitlines():
            if line.startswith("seed "):
                print(f"  {line}", flush=True)
    return 1 if missed else 0


def _progress(line: str) -> None:
    print(f"\r{line} ", end="", file=sys.stderr, flush=True)


def _tell(seed: int, violations: list[str]) -> None:
    print(f"\nseed {seed}: {len(violations)} broken promises; play it again: make simulate N=1 SEED={seed}")
    for what in islice(violations, 5):
        print(f"  {what}")


def _show(outcome: Outcome) -> int:
    print("\n".join(outcome.trace))
    print(f"seed {outcome.seed}: {outcome.elapsed_s:.0f} s of virtual time, digest {outcome.digest[:16]}")
    for what in outcome.violations:
        print(f"  broken: {what}")
    return 1 if outcome.violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many to play (1000; 2000); with 1, its trace is printed")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--mutants", action="store_true", help="play the planted faults, each until a seed finds it")
    parser.add_argument("--until-broken", action="store_true", help="stop at the first that breaks a promise")
    options = parser.parse_args()
    options.seeds = options.seeds or (2000 if options.mutants else 1000)
    return options


if __name__ == "__main__":
    sys.exit(main())
