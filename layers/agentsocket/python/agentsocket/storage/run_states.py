"""The states of a run, as a table. A run has one ending; what is terminal stays so."""

from __future__ import annotations

from typing import Literal

State = Literal["accepted", "running", "completed", "failed", "stopped"]
Outcome = Literal["success", "stopped", "error", "timeout"]

NEXT: dict[State, frozenset[State]] = {
    "accepted": frozenset({"running", "failed", "stopped"}),
    "running": frozenset({"running", "completed", "failed", "stopped"}),  # running again: another attempt
    "completed": frozenset(),
    "failed": frozenset(),
    "stopped": frozenset(),
}
TERMINAL: frozenset[State] = frozenset(state for state, following in NEXT.items() if not following)
OPEN: frozenset[State] = frozenset(NEXT) - TERMINAL
AFTER: dict[Outcome, State] = {"success": "completed", "stopped": "stopped", "error": "failed", "timeout": "failed"}
