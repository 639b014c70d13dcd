from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket import circuit_breaker
from agentsocket.circuit_breaker import NEXT, Circuit, Rules

RULES = Rules(failures=3, open_s=5)


def called(circuit, now, *, succeeded):
    """The circuit after a call that is permitted."""
    permitted = circuit_breaker.permit(circuit, now=now, rules=RULES)
    assert permitted is not None
    return circuit_breaker.report(permitted, term=permitted.term, succeeded=succeeded, now=now, rules=RULES)


def after(*outcomes, circuit=None, now=0.0):
    circuit = circuit or Circuit()
    for succeeded in outcomes:
        circuit = called(circuit, now, succeeded=succeeded)
    return circuit


def permits(circuit, now):
    return circuit_breaker.permit(circuit, now=now, rules=RULES) is not None


OPENED = after(False, False, False, now=100.0)


def test_three_failures_in_a_row_open_it():
    """I3."""
    assert after(False, False).state == "closed"
    assert OPENED.state == "open"


def test_a_success_between_starts_the_count_again():
    """I3."""
    assert after(False, False, True, False, False).state == "closed"
    assert after(False, False, True, False, False, False).state == "open"


@pytest.mark.parametrize(("now", "permitted"), [(100.0, False), (104.999, False), (105.0, True)])
def test_an_open_one_refuses_until_it_has_cooled_down(now, permitted):
    """I3."""
    assert permits(OPENED, now) is permitted


def test_half_open_one_call_tries_and_the_others_are_refused():
    """I3."""
    trial = circuit_breaker.permit(OPENED, now=105.0, rules=RULES)
    assert trial is not None
    assert trial.state == "half_open"
    assert not permits(trial, 105.0)
    assert not permits(trial, 109.9)


def test_one_success_closes_it():
    """I3."""
    closed = called(OPENED, 105.0, succeeded=True)
    assert (closed.state, closed.failures) == ("closed", 0)
    assert after(False, False, circuit=closed, now=106.0).state == "closed"


def test_a_failed_trial_opens_it_for_the_whole_time_again():
    """I3."""
    again = called(OPENED, 105.0, succeeded=False)
    assert again.state == "open"
    assert not permits(again, 109.9)
    assert permits(again, 110.0)


def test_a_trial_that_never_reports_is_given_up_for_lost():
    """Whoever tried was killed; nobody would ever call again otherwise."""
    lost = circuit_breaker.permit(OPENED, now=105.0, rules=RULES)
    assert lost is not None
    next_trial = circuit_breaker.permit(lost, now=110.0, rules=RULES)
    assert next_trial is not None
    late = circuit_breaker.report(next_trial, term=lost.term, succeeded=True, now=111.0, rules=RULES)
    assert late == next_trial
    assert (
        circuit_breaker.report(next_trial, term=next_trial.term, succeeded=True, now=111.0, rules=RULES).state
        == "closed"
    )


@pytest.mark.parametrize("succeeded", [True, False])
def test_what_was_called_before_it_opened_says_nothing_about_later(succeeded):
    before = Circuit()
    assert circuit_breaker.report(OPENED, term=before.term, succeeded=succeeded, now=101.0, rules=RULES) == OPENED


def test_a_clock_that_was_set_back_does_not_keep_it_open():
    assert permits(OPENED, -3600.0)


def test_where_one_failure_is_enough_the_trial_s_is_too():
    strict = Rules(failures=1, open_s=5)
    opened = circuit_breaker.report(Circuit(), term=0, succeeded=False, now=0.0, rules=strict)
    trial = circuit_breaker.permit(opened, now=5.0, rules=strict)
    assert trial is not None
    assert circuit_breaker.report(trial, term=trial.term, succeeded=False, now=5.0, rules=strict).state == "open"


def test_the_table_knows_every_state_and_every_event():
    """The events that a state cannot see: an open one is asked for nothing, a closed one has no trial."""
    assert {state for state, _ in NEXT} == set(NEXT.values()) == set(get_args(circuit_breaker.State))
    assert {event for _, event in NEXT} == set(get_args(circuit_breaker.Event))
    impossible = {("open", event) for event in get_args(circuit_breaker.Event) if event != "cooled_down"}
    impossible |= {("closed", "cooled_down"), ("closed", "trial_lost"), ("half_open", "cooled_down")}
    every = {(state, event) for state in get_args(circuit_breaker.State) for event in get_args(circuit_breaker.Event)}
    assert every - impossible == set(NEXT)


CALLS = st.lists(st.tuples(st.floats(0, 8), st.booleans()), max_size=60)


@given(CALLS)
def test_whatever_happens_it_is_what_a_count_of_failures_says(calls):
    """A model: open for `open_s` after the third failure in a row, or after a trial that failed."""
    circuit, now, row, opened_at = Circuit(), 0.0, 0, None
    for wait, succeeded in calls:
        now += wait
        allowed = opened_at is None or now - opened_at >= RULES.open_s
        assert permits(circuit, now) is allowed
        if not allowed:
            continue
        circuit = called(circuit, now, succeeded=succeeded)
        was_trial, row = opened_at is not None, 0 if succeeded else row + 1
        opened_at = now if not succeeded and (was_trial or row >= RULES.failures) else None
        if opened_at is not None:
            row = 0
        assert circuit.state == ("open" if opened_at is not None else "closed")


@given(st.lists(st.tuples(st.floats(0, 8), st.sampled_from(["ask", True, False]), st.integers(0, 3)), max_size=60))
def test_calls_in_any_order_never_have_two_trials_at_once(steps):
    circuit, now, permitted = Circuit(), 0.0, []
    for wait, step, which in steps:
        now += wait
        if step == "ask":
            asked = circuit_breaker.permit(circuit, now=now, rules=RULES)
            if asked is not None:
                if asked.state == "half_open":
                    assert asked.term > circuit.term
                circuit = asked
                permitted.append(asked.term)
        elif permitted:
            term = permitted.pop(which % len(permitted))
            circuit = circuit_breaker.report(circuit, term=term, succeeded=step, now=now, rules=RULES)
        if circuit.state == "half_open":
            assert permitted.count(circuit.term) == 1
