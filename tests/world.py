"""One deployment in one process: the real steps and the real storage, between little programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from agentsocket import relay
from agentsocket.agents import Agent
from agentsocket.dispatch import Dispatch
from agentsocket.gateway import Gateway
from agentsocket.inputs import RunRecord, SocketRequest
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage import Storage
from tests.fakes import Queue, Scripted, Sockets


class World:
    """The seams of one deployment, and what clients do to it."""

    def __init__(self, storage: Storage, runtime: Runtime, agent: Scripted) -> None:
        self.storage = storage
        self.runtime = runtime
        self.agent = agent
        self.agents: dict[str, Callable[[], Agent]] = {"usage_analyst": lambda: self.agent}
        self.queue = Queue()
        self.sockets = Sockets()

    def connect(self, who: Principal, connection_id: str) -> None:
        relay.connect(SocketRequest(who, connection_id), storage=self.storage)
        [welcome] = self.say(who, connection_id, "hello", protocol=1)
        assert welcome["user_id"] == who.user

    def say(self, who: Principal, connection_id: str, kind: str, **payload: Any) -> list[dict[str, Any]]:
        """Send a command; the payloads of its replies."""
        body = msgspec.json.encode({"type": kind, "payload": payload, "id": "c1"}).decode()
        replies = relay.receive(
            SocketRequest(who, connection_id, body),
            storage=self.storage,
            dispatch=cast(Dispatch, self.queue),
            agents={"usage_analyst"},
            limits=self.runtime.limits,
        )
        return [msgspec.json.decode(msgspec.json.encode(reply.payload)) for reply in replies]

    def send(self, who: Principal, connection_id: str, content: str, **payload: Any) -> dict[str, Any]:
        """Send a message; what accepted it."""
        [accepted] = self.say(who, connection_id, "user_message", content=content, **payload)
        return accepted

    async def work(self, record: RunRecord | None = None) -> None:
        """Let a worker handle the next record, or this one."""
        await relay.execute(
            record or self.queue.take(),
            storage=self.storage,
            dispatch=cast(Dispatch, self.queue),
            gateway=cast(Gateway, self.sockets),
            agents=self.agents,
            runtime=self.runtime,
        )
