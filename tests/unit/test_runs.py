from __future__ import annotations

from agentsocket import runs


def test_what_is_terminal_stays_so():
    assert {"completed", "failed", "stopped"} == runs.TERMINAL
    assert all(not runs.NEXT[state] for state in runs.TERMINAL)


def test_every_outcome_ends_a_running_run():
    assert set(runs.AFTER.values()) <= runs.NEXT["running"] & runs.TERMINAL
