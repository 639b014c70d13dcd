"""API Gateway in memory: sockets, what their frames invoke, and `@connections` shaped like boto3's client.

A frame on its way may be late, lost or doubled; nothing is posted to a socket whose $connect has not returned. What the
routes do is handed in; the client's end is a `Transport` of the client library.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from botocore.exceptions import ClientError

from agentsocket.inputs import SocketRequest
from agentsocket.principal import Principal
from agentsocket_client.errors import ConnectionLost, Refused
from tests.simulation.faults import Faults
from tests.simulation.processes import Call, Process, refusal
from tests.support import schema_check

INTEGRATION_S = 29.0
IDLE_S = 600.0
LIFETIME_S = 7200.0
_LATENCY_S = (0.002, 0.03)
_SLACK_S = 25.0  # the SDK's three attempts at a post, of which each may time out
_TICK_S = 1e-6  # timers of the same moment fire in any order


class Gone(ClientError):
    """@connections' 410, in the way boto3 raises it."""


def _gone(operation: str) -> Gone:
    return Gone(refusal("GoneException", operation, 410).response, operation)


@dataclass(slots=True)
class Routes:
    """What happens to a socket's events: `connect` says whether it may open; `message` what rides the response."""

    connect: Callable[[SocketRequest], Awaitable[bool]]
    message: Callable[[SocketRequest], Awaitable[bytes | None]]
    disconnect: Callable[[SocketRequest], Awaitable[None]]


class Socket:
    """One connection. `server_open` is what API Gateway believes, `client_open` what the client does."""

    def __init__(self, connection_id: str, who: Principal, management_api: ApiGateway) -> None:
        self.connection_id = connection_id
        self.who = who
        self.server_open = False
        self.client_open = True
        self.inbox: asyncio.Queue[str | None] = asyncio.Queue()
        self.opened_at = management_api.now()
        self.heard_at = management_api.now()
        self.random = Random(f"{management_api.seed}:{connection_id}")
        self._management_api = management_api
        self._arrives_at = 0.0
        self._asked_at = 0.0

    # The client's end: a Transport.

    async def send(self, text: str) -> None:
        if not self.client_open:
            raise ConnectionLost("the connection was lost")
        await self._management_api.on_frame(self, text)

    async def receive(self) -> str | bytes:
        text = await self.inbox.get() if self.client_open or not self.inbox.empty() else None
        if text is None:
            self.client_open = False
            raise ConnectionLost("the connection was lost")
        return text

    async def close(self) -> None:
        if self.client_open:
            self.client_open = False
            self._management_api.closed_by_client(self)

    # The server's end.

    def push(self, text: str) -> None:
        """A frame leaves for the client."""
        schema_check.overheard(text)
        management_api = self._management_api
        self.heard_at = management_api.now()
        if management_api.faults.strike("posts_dropped", self.random):
            management_api.loop.call_later(
                self.random.uniform(0, 40), management_api.cut, self
            )  # TCP loses no frame and lives
            return
        at = management_api.now() + self.random.uniform(*_LATENCY_S)
        if management_api.faults.strike("posts_reordered", self.random):
            at += self.random.uniform(0.0, 1.5)
        else:
            at = self._arrives_at = max(at, self._arrives_at + _TICK_S)
        management_api.loop.call_at(at, self.arrive, text)
        if management_api.faults.strike("posts_doubled", self.random):
            management_api.loop.call_at(at + self.random.uniform(0, 0.5), self.arrive, text)

    def arrive(self, text: str) -> None:
        if self.client_open:
            self.inbox.put_nowait(text)

    def end(self) -> None:
        """The client learns that the connection is over, after what is on its way."""
        at = max(self._management_api.now() + _LATENCY_S[0], self._arrives_at + _TICK_S)
        self._management_api.loop.call_at(at, self.inbox.put_nowait, None)

    def asked_at(self) -> float:
        """When the invocation of the next frame begins: in order, unless that goes wrong."""
        management_api = self._management_api
        at = management_api.now() + self.random.uniform(*_LATENCY_S)
        if management_api.faults.strike("invocations_reordered", self.random):
            return at + self.random.uniform(0.0, 2.0)
        self._asked_at = max(at, self._asked_at + _TICK_S)
        return self._asked_at


@dataclass
class ApiGateway:
    """All sockets of a deployment."""

    loop: asyncio.AbstractEventLoop
    faults: Faults
    seed: int
    note: Callable[[str, str], None]
    admit: Callable[[str], Principal | None]
    routes: Routes | None = None
    sockets: dict[str, Socket] = field(default_factory=dict)
    authorized: Callable[[Socket, float], bool] = lambda *_: True
    overdue: list[str] = field(default_factory=list)  # events that were posted to who might not have them any more
    asked_for: dict[tuple[str, str], set[str]] = field(default_factory=dict)  # device, thread -> ids of subscribes
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def now(self) -> float:
        return self.loop.time()

    async def open(self, token: str, device: str) -> Socket:
        """The upgrade, as `Connect` of the client library has it: Refused, Interrupted, or a Transport."""
        assert self.routes is not None
        who = self.admit(token)
        await asyncio.sleep(0.01)
        if who is None:
            raise Refused(403)
        socket = Socket(f"{device}-{len(self.sockets) + 1}=", who, self)
        self.sockets[socket.connection_id] = socket
        try:
            async with asyncio.timeout(INTEGRATION_S):
                allowed = await self.routes.connect(SocketRequest(who, socket.connection_id))
        except (InvocationFailed, TimeoutError):
            raise ConnectionLost("the server answered HTTP 500") from None
        if not allowed:
            raise Refused(403)
        socket.server_open = True
        self.note(socket.connection_id, "open")
        self.loop.call_later(LIFETIME_S, self.close, socket)
        self.loop.call_later(IDLE_S, self._idle, socket)
        if self.faults.strike("cut", socket.random):
            self.loop.call_later(socket.random.expovariate(1 / 20), self.cut, socket)
        await asyncio.sleep(socket.random.uniform(*_LATENCY_S))
        return socket

    async def on_frame(self, socket: Socket, text: str) -> None:
        socket.heard_at = self.now()
        said = json.loads(text)
        if said["type"] == "subscribe":
            device = socket.connection_id.partition("-")[0]
            self.asked_for.setdefault((device, said["payload"]["thread_id"]), set()).add(said["id"])
        self.loop.call_at(socket.asked_at(), self._invoke, socket, text)

    def _invoke(self, socket: Socket, text: str) -> None:
        if socket.server_open:
            self._spawn(self._answer(socket, text))

    async def _answer(self, socket: Socket, text: str) -> None:
        assert self.routes is not None
        fault = "Endpoint request timed out"
        try:
            async with asyncio.timeout(INTEGRATION_S):
                body = await self.routes.message(SocketRequest(socket.who, socket.connection_id, text))
            fault = ""
        except TimeoutError:
            body = None
        except InvocationFailed:
            body, fault = None, "Internal server error"
        if socket.server_open:
            told = {"message": fault, "connectionId": socket.connection_id, "requestId": "r"}
            socket.push(json.dumps(told) if fault else (body or b"").decode())

    def cut(self, socket: Socket) -> None:
        """The network fails; in a half-open connection the server notices only when it has tried for long."""
        if not socket.client_open:
            return
        self.note(socket.connection_id, "cut")
        socket.client_open = False
        socket.inbox.put_nowait(None)
        half_open = self.faults.strike("half_open", socket.random)
        self.loop.call_later(socket.random.uniform(5, 60) if half_open else 0.05, self.close, socket)

    def closed_by_client(self, socket: Socket) -> None:
        self.loop.call_later(0.01, self.close, socket)

    def close(self, socket: Socket) -> None:
        """The server's end is closed, by whoever it was."""
        if not socket.server_open:
            return
        self.note(socket.connection_id, "closed")
        socket.server_open = False
        socket.end()
        if not self.faults.strike("disconnect_lost", socket.random):
            delay = socket.random.uniform(0.01, 1.0)
            self.loop.call_later(delay, self._disconnected, socket)

    def _disconnected(self, socket: Socket) -> None:
        assert self.routes is not None
        self._spawn(self.routes.disconnect(SocketRequest(socket.who, socket.connection_id)))

    def _idle(self, socket: Socket) -> None:
        left = socket.heard_at + IDLE_S - self.now()
        if left <= 0:
            self.close(socket)
        elif socket.server_open:
            self.loop.call_later(left, self._idle, socket)

    def _spawn(self, work: Awaitable[None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class InvocationFailed(Exception):
    """The function died, or did not answer."""


class _Exceptions:
    GoneException = Gone


class Management:
    """@connections: the client of one process."""

    exceptions = _Exceptions

    def __init__(self, management_api: ApiGateway, process: Process) -> None:
        self._management_api = management_api
        self._process = process

    def post_to_connection(self, *, ConnectionId: str, Data: bytes) -> Any:  # noqa: N803 (boto3's names)
        assert len(Data) <= 30 * 1024, "a post must be one frame"
        kind = _type(Data)

        def commit() -> Any:
            socket = self._management_api.sockets.get(ConnectionId)
            if socket is None or not socket.server_open:
                raise _gone("PostToConnection")
            if self._process.strike("posts_throttled"):
                raise refusal("LimitExceededException", "PostToConnection", 429)
            if " " in kind and not self._management_api.authorized(socket, _SLACK_S):
                at = f"{self._management_api.now():.1f}"
                self._management_api.overdue.append(f"{kind} went to {ConnectionId} at {at}")
            socket.push(Data.decode())
            return {}

        return self._call(f"post {kind} to {ConnectionId}", commit)

    def delete_connection(self, *, ConnectionId: str) -> Any:  # noqa: N803
        def commit() -> Any:
            socket = self._management_api.sockets.get(ConnectionId)
            if socket is None or not socket.server_open:
                raise _gone("DeleteConnection")
            self._management_api.close(socket)
            return {}

        return self._call(f"close {ConnectionId}", commit)

    def _call(self, operation: str, commit: Callable[[], Any]) -> Any:
        return self._process.call(Call("gateway", operation, commit, "LimitExceededException", 429))


def _type(frame: bytes) -> str:
    """The frame's type and seq, for the trace."""
    said = json.loads(frame)
    return f"{said['type']} {said['seq']}" if "seq" in said else str(said["type"])
