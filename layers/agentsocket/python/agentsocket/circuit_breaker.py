"""A circuit breaker as a value: whether a failing service is to be called at all. Pure; `now` is an argument.

    closed --failures in a row--> open --cool-down--> half open --one success--> closed
                                   ^                      |
                                   +------- failure ------+

The breaker only saves time: what a failed call or a refused one falls back to is the caller's business, and only the
caller knows which failures are the service's (a user's bad input is none).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

State = Literal["closed", "open", "half_open"]
Event = Literal["succeeded", "failed", "failed_often", "cooled_down", "trial_lost"]

NEXT: dict[tuple[State, Event], State] = {
    ("closed", "succeeded"): "closed",
    ("closed", "failed"): "closed",
    ("closed", "failed_often"): "open",
    ("open", "cooled_down"): "half_open",
    ("half_open", "trial_lost"): "half_open",  # whoever tried was killed, or froze: the slot must not be lost with it
    ("half_open", "succeeded"): "closed",
    ("half_open", "failed"): "open",
    ("half_open", "failed_often"): "open",  # where one failure is often enough
}


class Rules(Struct, frozen=True):
    """Open after that many failures in a row; let one call try again after `open_s` seconds."""

    failures: int
    open_s: float


class Circuit(Struct, frozen=True):
    """`failures` in a row while closed; `since` (seconds) and `term` tell when, and how often, it changed.

    A call reports with the term that it was permitted in: results of calls from before a change say nothing about what
    came after it.
    """

    state: State = "closed"
    failures: int = 0
    since: float = 0.0
    term: int = 0


def permit(circuit: Circuit, *, now: float, rules: Rules) -> Circuit | None:
    """The circuit in whose term a call may be made now, or None. Half open, one call at a time."""
    if circuit.state == "closed":
        return circuit
    if 0 <= now - circuit.since < rules.open_s:
        return None
    event: Event = "cooled_down" if circuit.state == "open" else "trial_lost"
    return Circuit(NEXT[circuit.state, event], since=now, term=circuit.term + 1)


def report(circuit: Circuit, *, term: int, succeeded: bool, now: float, rules: Rules) -> Circuit:
    """The circuit after a call that was permitted in `term`."""
    if term != circuit.term:
        return circuit
    failures = 0 if succeeded else circuit.failures + 1
    event: Event = "succeeded" if succeeded else "failed_often" if failures >= rules.failures else "failed"
    state = NEXT[circuit.state, event]
    if state == circuit.state:
        return replace(circuit, failures=failures)
    return Circuit(state, since=now, term=circuit.term + 1)
