"""Processes: every call is a scheduling point, and what may go wrong at it goes wrong as it does on AWS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentsocket.errors import ConditionFailed, TransactionCancelled, Unavailable
from agentsocket.storage.table import ABSENT, put
from tests.simulation.faults import Faults
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.processes import Crashed
from tests.simulation.worlds import Alone

_ROW = {"PK": "p", "SK": "s", "by": "me"}


def _always(kind: str) -> Faults:
    return Faults({kind: 1.0})


def test_time_jumps_to_the_next_timer():
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == pytest.approx(3600)
    loop.finish()


def test_a_loop_without_timers_whose_story_is_not_over_is_a_deadlock():
    loop = VirtualLoop()
    with pytest.raises(Deadlock, match="nothing is scheduled"):
        loop.run_until_complete(loop.create_future())
    loop.finish()


def test_blocking_calls_of_two_processes_interleave():
    """Each reads, then writes: both have read before either writes."""
    seen: list[str] = []

    def work(name: str, table: Any) -> None:
        seen.append(f"{name} reads {table.get(_ROW)}")
        table.write(put(_ROW | {"by": name}))

    async def both(alone: Alone) -> None:
        other, table = alone.another("other")
        await asyncio.gather(alone.process.run(work, "one", alone.table), other.run(work, "two", table))

    with Alone(Faults()) as alone:
        alone.loop.run_until_complete(both(alone))
    assert seen == ["one reads None", "two reads None"]


def test_a_refused_call_has_no_effect_and_is_tried_three_times():
    with Alone(_always("refused")) as alone, pytest.raises(Unavailable):
        alone.run(lambda: alone.table.write(put(_ROW)))
    assert list(alone.database.rows()) == []
    assert sum("REFUSED" in line for line in alone.tracks.lines) == 3


def test_a_conditional_write_whose_answer_is_lost_meets_its_own_row_when_the_sdk_repeats_it():
    """The put has no idempotency token: only the row can tell (delivery.md, Lease and attempts)."""
    faults = _always("answer_lost")
    with Alone(faults) as alone:
        alone.loop.call_later(0.015, lambda: setattr(faults, "on", False))
        with pytest.raises(ConditionFailed) as failed:
            alone.run(lambda: alone.table.write(put(_ROW, when=ABSENT)))
    assert failed.value.row == _ROW


def test_a_transaction_whose_answer_is_lost_succeeds_when_the_sdk_repeats_it():
    """It carries an idempotency token within one SDK call, and another call of the same is refused."""
    faults = _always("answer_lost")
    with Alone(faults) as alone:
        alone.loop.call_later(0.015, lambda: setattr(faults, "on", False))
        alone.run(lambda: alone.table.transact(put(_ROW, when=ABSENT)))
        with pytest.raises(TransactionCancelled):
            alone.run(lambda: alone.table.transact(put(_ROW, when=ABSENT)))


def test_a_call_that_hangs_takes_effect_when_its_caller_has_given_up():
    with Alone(_always("hung")) as alone:
        with pytest.raises(Unavailable):
            alone.run(lambda: alone.table.write(put(_ROW)))
        assert any("HANGS" in line for line in alone.tracks.lines)
        alone.loop.run_until_complete(asyncio.sleep(60))
    assert len(list(alone.database.rows())) == 1


def test_a_killed_process_does_nothing_any_more():
    """No `finally` of it reaches the world, and whoever waits hears that it has crashed."""
    with Alone(Faults()) as alone:

        async def work() -> None:
            try:
                await alone.process.sleep(10)
            finally:
                await alone.process.run(alone.table.write, put(_ROW))

        alone.loop.call_later(5, alone.process.kill)
        with pytest.raises(Crashed):
            alone.loop.run_until_complete(alone.process.serve(work()))
        alone.loop.run_until_complete(asyncio.sleep(60))
    assert list(alone.database.rows()) == []
    assert not alone.tracks.alive


def test_a_call_is_cut_where_it_is_when_its_process_is_killed_and_may_take_effect_later():
    with Alone(_always("killed")) as alone:
        with pytest.raises(Crashed):
            alone.loop.run_until_complete(alone.process.serve(alone.process.run(alone.table.write, put(_ROW))))
        alone.loop.run_until_complete(asyncio.sleep(5))
    late = [line for line in alone.tracks.lines if line.endswith("late")]
    assert len(list(alone.database.rows())) == len(late)


def test_a_frozen_process_wakes_as_if_nothing_had_been():
    with Alone(_always("frozen")) as alone:
        alone.run(lambda: alone.table.write(put(_ROW)))
        assert alone.loop.time() > 1
    assert len(list(alone.database.rows())) == 1
