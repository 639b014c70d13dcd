"""Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter")."""

from __future__ import annotations

from collections.abc import Callable

_STEEPEST = 32  # doublings; beyond any cap, and far from float overflow


class Backoff:
    """Delays of a series of failures: uniform between 0 and min(cap, base * 2^n), in seconds."""

    def __init__(self, base_s: float, cap_s: float, random: Callable[[], float]) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self._failures = 0

    def next(self) -> float:
        """The delay after one more failure."""
        ceiling = min(self._cap_s, self._base_s * 2.0**self._failures)
        self._failures = min(self._failures + 1, _STEEPEST)
        return self._random() * ceiling

    def reset(self) -> None:
        """Something succeeded: the next failure is the first again."""
        self._failures = 0
