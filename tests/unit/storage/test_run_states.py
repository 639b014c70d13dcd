from __future__ import annotations

from agentsocket.storage import run_states


def test_what_is_terminal_stays_so():
    assert {"completed", "failed", "stopped"} == run_states.TERMINAL
    assert all(not run_states.NEXT[state] for state in run_states.TERMINAL)


def test_every_outcome_ends_a_running_run():
    assert set(run_states.AFTER.values()) <= run_states.NEXT["running"] & run_states.TERMINAL
