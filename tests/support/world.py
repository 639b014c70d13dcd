"""One deployment in one process: the real steps and the real storage, between little programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from agentsocket import relay
from agentsocket.agents.contract import Agent
from agentsocket.aws import control_queue
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.contract import ContextStore
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.control.connection_checks import ConnectionChecks
from agentsocket.errors import TokenRejected
from agentsocket.inputs import Check, Revocation, RunRecord, RunRequest, SocketRequest
from agentsocket.principal import Principal
from agentsocket.protocol.frames import Reply
from agentsocket.runtime import Runtime
from agentsocket.storage.user import Storage
from agentsocket.worker import claim
from agentsocket.worker.job import RunJob
from tests.support import schema_check
from tests.support.fakes import Queue, Schedule, Scripted, Sockets


class World:
    """The adapters of one deployment, and what clients do to it."""

    def __init__(self, storage: Storage, runtime: Runtime, agent: Scripted) -> None:
        self.storage = storage
        self.contexts: ContextStore = TableContexts(storage._table, limits=runtime.limits)
        self.runtime = runtime
        self.agent = agent
        self.agents: dict[str, Callable[[], Agent]] = {"usage_analyst": lambda: self.agent}
        self.queue = Queue()
        self.sockets = Sockets()
        self.schedule = Schedule()
        self.tokens: dict[str, Principal] = {}

    def open(self, who: Principal, connection_id: str) -> None:
        relay.connect(
            SocketRequest(who, connection_id),
            storage=self.storage,
            control_queue=cast(control_queue.ControlQueue, self.schedule),
        )

    def connect(self, who: Principal, connection_id: str) -> None:
        self.open(who, connection_id)
        [welcome] = self.say(who, connection_id, "hello", protocol=1)
        assert welcome["user_id"] == who.user

    def say(self, who: Principal, connection_id: str, kind: str, **payload: Any) -> list[dict[str, Any]]:
        """Send a command; the payloads of its replies."""
        body = msgspec.json.encode({"type": kind, "payload": payload, "id": "c1"}).decode()
        replies = self.receive(SocketRequest(who, connection_id, body))
        return [schema_check.told(reply)["payload"] for reply in replies]

    def receive(self, request: SocketRequest) -> Iterator[Reply]:
        """One frame of a client: its replies, as they are made."""
        return relay.receive(
            request,
            storage=self.storage,
            contexts=self.contexts,
            run_queue=cast(RunQueue, self.queue),
            management_api=cast(ManagementApi, self.sockets),
            verify=self.verify,
            agents=self.agents,
        )

    def verify(self, token: str) -> Principal:
        """Whose token it is; an unknown one is rejected."""
        if token not in self.tokens:
            raise TokenRejected("unknown")
        return self.tokens[token]

    def control(self, order: Check | Revocation) -> None:
        """Let the control function act on an order."""
        ConnectionChecks(
            storage=self.storage,
            control_queue=cast(control_queue.ControlQueue, self.schedule),
            management_api=cast(ManagementApi, self.sockets),
            limits=self.runtime.limits,
            now=self.runtime.clock,
        ).act(order)

    def send(self, who: Principal, connection_id: str, content: str, **payload: Any) -> dict[str, Any]:
        """Send a message; what accepted it."""
        [accepted] = self.say(who, connection_id, "user_message", content=content, **payload)
        return accepted

    def job(self, who: Principal, accepted: dict[str, Any], **changed: Any) -> RunJob:
        """What a worker makes of an accepted message's record, its lease not taken yet; with attributes `changed`."""
        store = self.storage.for_user(who)
        run = store.runs.get(accepted["run_id"])
        assert run is not None
        made: dict[str, Any] = {
            "run": run,
            "lease": claim.lease_for(run, store),
            "record": RunRecord(RunRequest(who.user, run.thread_id, run.run_id), "receipt"),
            "store": store,
            "contexts": self.contexts.for_user(who),
            "run_queue": self.queue,
            "management_api": self.sockets,
            "agents": self.agents,
            "runtime": self.runtime,
        }
        return RunJob(**made | changed)

    async def work(self, record: RunRecord | None = None) -> None:
        """Let a worker handle the next record, or this one."""
        await relay.execute(
            record or self.queue.take(),
            storage=self.storage,
            contexts=self.contexts,
            run_queue=cast(RunQueue, self.queue),
            management_api=cast(ManagementApi, self.sockets),
            agents=self.agents,
            runtime=self.runtime,
        )
