"""The named stories in the simulation: the same that `tests/integration` plays on real sockets.

D2, D6, D9 cut_mid_run · E8 two_devices · F6 worker_killed · F7 three_kills · J9 stopped · H5 deleted_mid_run
"""

from __future__ import annotations

import dataclasses

import pytest

from tests.simulation.faults import Faults
from tests.simulation.simulating import play
from tests.simulation.stories import NAMED

_MILD = {"posts_dropped": 0.01, "posts_doubled": 0.05, "posts_reordered": 0.1, "refused": 0.03, "answer_lost": 0.02}


@pytest.mark.parametrize("name", NAMED)
def test_a_story_ends_as_it_says(name):
    assert play(1, NAMED[name], Faults()).violations == []


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("seed", range(3))
def test_a_story_loses_nothing_when_calls_and_posts_fail(name, seed):
    """How long it takes is not the same then, so that a kill may come after the end."""
    story = dataclasses.replace(NAMED[name], endings={}, attempts={}, connections={})
    assert play(seed, story, Faults(dict(_MILD))).violations == []
