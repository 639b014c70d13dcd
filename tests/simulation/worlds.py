"""A little of a simulated world, for the tests of its parts: one loop, one process, one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from agentsocket.storage.table import Table
from tests.simulation.dynamodb import Database, DynamoDB
from tests.simulation.faults import Faults
from tests.simulation.loop import VirtualLoop
from tests.simulation.processes import Process, Tracks, task_factory

T = TypeVar("T")


class Alone:
    """One process before an empty table."""

    def __init__(self, faults: Faults, seed: int = 0) -> None:
        self.loop = VirtualLoop()
        self.loop.set_task_factory(cast("Any", task_factory))
        self.tracks = Tracks(self.loop, faults, seed)
        self.database = Database()
        self.process, self.table = self.another("process")

    def another(self, kind: str) -> tuple[Process, Table]:
        """One more process, and the table as it reaches it."""
        process = self.tracks.process(kind)
        return process, Table(cast("Any", DynamoDB(self.database, process)), "table", now=self.loop.time)

    def run(self, function: Callable[[], T]) -> T:
        """What blocking code of the process comes to."""
        return self.loop.run_until_complete(self.process.run(function))

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.finish()
