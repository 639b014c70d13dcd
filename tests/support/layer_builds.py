"""The layers as `sam build` makes them, once for all test processes, and anew only when what they come from changes.

What a build comes from is `local/build.py`'s list: the template, the constraints, the sources, the Python.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

from layers.build import DEFAULT_ARCH, DEFAULT_PYTHON
from local import build, state

_HOST = state.DEFAULT / "build"  # the laptop stack's own
_CROSS = state.DEFAULT / "cross-build"


def for_this_machine() -> Path:
    """The folder of layers for this machine and its Python, as the laptop stack has them."""

    async def template() -> Path:
        async with build.built(_HOST, build.Target.this_machine(), say=print) as path:
            return path

    return asyncio.run(template()).parent


def for_the_default_target() -> tuple[Path, str]:
    """The folder of layers for the template's default target, whatever this machine is; and what sam said."""
    target = build.Target(DEFAULT_PYTHON, DEFAULT_ARCH)
    wanted, said = build.fingerprint(state.ROOT, target), _CROSS / "said"
    with build.lock_of(_CROSS):
        if not build.is_done(_CROSS, wanted):
            build.clear(_CROSS)
            said.write_text(_sam_build(target))
            build.finish(_CROSS, wanted)
    return _CROSS / "sam", said.read_text()


def _sam_build(target: build.Target) -> str:
    environment = {
        **os.environ,
        "LAMBDA_PYTHON": target.runtime,
        "LAMBDA_ARCH": target.architecture,
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(_CROSS),
    }
    command = [str(state.ROOT / ".tools/bin/sam"), *build.sam_build(_CROSS, target)]
    done = subprocess.run(command, cwd=state.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
