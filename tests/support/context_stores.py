"""The three stores of contexts as tests want them: alike, whatever is behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from agentsocket.contexts.contract import ContextStore, UserContexts
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.contexts.redis_client import RedisServer
from agentsocket.contexts.redis_store import RedisContexts
from agentsocket.contexts.tiered import TieredContexts
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.table import Table, put
from agentsocket.storage.thread_deletion import ThreadDeletion
from tests.conftest import principal_of
from tests.support.fakes import Clock
from tests.support.redis_server import PASSWORD, RedisProcess
from tests.support.waiting import TIME_FACTOR

Kind = Literal["dynamodb", "redis", "tiered"]
PATIENT = Limits(redis_timeout_ms=int(5000 * TIME_FACTOR), redis_connect_timeout_ms=int(5000 * TIME_FACTOR))


@dataclass
class Remembered:
    """A store of contexts, and what stands around it in a deployment. `clock` is the table's."""

    kind: Kind
    store: ContextStore
    table: Table
    clock: Clock
    limits: Limits
    deployment: str
    server: RedisServer | None = field(default=None)

    def of(self, name: str) -> UserContexts:
        return self.store.for_user(self.principal(name))

    def principal(self, name: str) -> Principal:
        return principal_of(name, self.clock)

    def begin_thread(self, name: str, thread_id: str) -> None:
        """As `create_thread` leaves it."""
        row = {"thread_id": thread_id, "epoch": "e", "title": "", "metadata": "{}", "created_at": 0, "activity": 0}
        self.table.write(put({**keys.thread(self.principal(name).user, thread_id), **row}))

    def hide_thread(self, name: str, thread_id: str) -> None:
        """As `delete_thread` leaves it, before anything is swept."""
        ThreadDeletion(self.table, self.principal(name).user, thread_id, by="d1", limits=self.limits).hide()

    def let_pass(self, seconds: int) -> None:
        """Redis has a clock of its own, which is the real one."""
        self.clock.advance(seconds)
        if self.kind == "redis":
            time.sleep(seconds + 0.05 * TIME_FACTOR)


@contextmanager
def remembered(
    kind: Kind, table: Table, clock: Clock, redis_process: RedisProcess, *, limits: Limits | None = None
) -> Iterator[Remembered]:
    """A store that nobody has used, with keys of its own."""
    chosen, deployment = limits or Limits(), uuid4().hex
    rows = TableContexts(table, limits=chosen)
    if kind == "dynamodb":
        yield Remembered(kind, rows, table, clock, chosen, deployment)
        return
    server = redis_process.server(chosen)
    store: ContextStore = RedisContexts(server, deployment, limits=chosen, now=clock)
    if kind == "tiered":
        store = TieredContexts(rows, server, deployment, limits=chosen, expiry=clock)
    try:
        yield Remembered(kind, store, table, clock, chosen, deployment, server)
    finally:
        server.close()


def through(port: int, world: Remembered, *, limits: Limits = PATIENT, **options: Any) -> tuple[Any, RedisServer]:
    """A store behind another port, with the keys of `world`; and its server, to be closed."""
    server = RedisServer("127.0.0.1", port, limits=limits, **{"password": PASSWORD, **options})
    return RedisContexts(server, world.deployment, limits=limits, now=world.clock), server
