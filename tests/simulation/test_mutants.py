"""The simulation finds what it is there to find: each mutant breaks a promise in one of the first 2,000 seeds."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS, PACKAGE, Mutant, made

_SEEDS = 2000


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_mutant_is_found(mutant: Mutant, tmp_path):
    root = PACKAGE.parents[3]
    path = os.pathsep.join([str(made(mutant, tmp_path)), str(root)])
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", str(_SEEDS), "--until-broken"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "broken promises; play it again" in played.stdout, played.stdout + played.stderr
    assert played.returncode == 1


def test_a_mutant_whose_text_is_gone_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="0 times"):
        made(Mutant("none", "relay.py", "this text is nowhere in it", ""), tmp_path)
