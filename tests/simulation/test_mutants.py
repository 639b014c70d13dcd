"""The simulation finds what it is there to find: each mutant breaks a promise in a seed that is known, or beside it.

`make simulate MUTANTS=1` searches for them without that knowledge.
"""

from __future__ import annotations

import dataclasses

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, made, play

_AROUND = 5  # seeds on either side


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_mutant_is_found(mutant: Mutant):
    first = max(0, mutant.seed - _AROUND)
    found, said = play(mutant, first=first, seeds=mutant.seed + _AROUND + 1 - first, processes=1)
    assert found, said


def test_without_its_fault_a_mutant_breaks_nothing():
    """What is found is the fault, and not how it is looked for."""
    sound = dataclasses.replace(MUTANTS[0], new=MUTANTS[0].old)
    found, said = play(sound, first=sound.seed, seeds=3, processes=1)
    assert not found
    assert "0 broke a promise" in said


def test_a_mutant_whose_text_is_gone_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="0 times"):
        made(Mutant("none", "relay.py", "this text is nowhere in it", "", 0), tmp_path)
