"""What asynchronous code gets from outside, and that it gets it from nowhere else."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import pytest
from msgspec.structs import fields, replace

from agentsocket import runtime
from agentsocket.limits import Limits
from agentsocket.runtime import Runtime

PACKAGE = Path(runtime.__file__).parent
WORKER = sorted((PACKAGE / "worker").glob("*.py"))
OUTSIDE = {"time", "random", "secrets", "threading", "datetime", "concurrent"}
DONE_BY_THE_RUNTIME = ("asyncio.sleep(", "asyncio.to_thread(")


async def offload(function, *args, **kwargs):
    return function(*args, **kwargs)


@pytest.fixture
def made(clock):
    return Runtime(clock, asyncio.sleep, max, offload, Limits())


def test_a_runtime_is_given_whole():
    """What was forgotten would be the real thing, where a simulation decides."""
    assert {field.name for field in fields(Runtime) if field.required} == {
        "clock",
        "sleep",
        "uniform",
        "offload",
        "limits",
    }


def test_a_run_s_time_and_limits_do_not_change_under_it(made):
    for name in Runtime.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(made, name, None)


def test_another_deployment_s_limits_leave_the_rest_as_it_is(made, clock):
    other = replace(made, limits=Limits(lease_s=5, renew_every_s=2))
    assert (made.limits.lease_s, other.limits.lease_s) == (20, 5)
    assert (other.clock, other.sleep, other.uniform, other.offload) == (clock, asyncio.sleep, max, offload)


@pytest.mark.parametrize("path", [*WORKER, PACKAGE / "relay.py"], ids=lambda path: path.stem)
def test_a_worker_has_time_chance_and_threads_from_its_runtime_alone(path):
    """Otherwise a simulated day has moments that nobody can play again. The event loop itself may be asked the time."""
    tree = ast.parse(path.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.partition(".")[0] for name in imported} & OUTSIDE
    called = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [call for call in called if call.startswith(DONE_BY_THE_RUNTIME) and call != "asyncio.sleep(0)"] == []
