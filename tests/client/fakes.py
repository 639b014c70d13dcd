"""A little agentsocket server: real WebSockets, and each test says what it answers. Nothing here imports the client."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agentsocket.protocol.messages import EVENTS
from tests.support import schema_check

TIMEOUT_S = 5.0 * float(os.environ.get("TIME_FACTOR", "3"))
THREAD = "01JTHREAD"
RUN = "01JRUN"
EPOCH = "epoch-1"

Json = dict[str, Any]
_ids = itertools.count(1)
_AGENT = {"agent_name": "analyst", "agent_id": "a1"}
_SAID = {"message_id": "m1", "seq": 1, "role": "user", "content": "", "truncated": False, "created_at": 1}
_FILLED_IN: dict[str, Json] = {
    "welcome": {
        "connection_id": "c1",
        "user_id": "u1",
        "expires_at": 1_800_000_900,
        "max_message_bytes": 128 * 1024,
        "ping_interval_s": 240,
    },
    "agent_started": _AGENT | {"attempt": 1},
    "agent_completed": _AGENT | {"outcome": "success", "duration_ms": 1},
    "final_report": {"message_id": "m1", "content": "", "agent_metrics": {}, "total_duration_ms": 1},
    "thread_snapshot": {"messages": [], "epoch": EPOCH, "seq": 0},
    "disconnect": {"code": "shutdown", "reason": "it is over", "reconnect": True},
    "error": {"code": "internal", "message": "it is internal", "temporary": True},
}


def frame(kind: str, payload: Json | None = None, **envelope: Any) -> Json:
    """A frame as the server makes them; what a test leaves out is filled in. An unknown type may be anyhow."""
    told = _FILLED_IN.get(kind, {}) | (payload or {})
    if "messages" in told:
        told |= {"messages": [_SAID | message for message in told["messages"]]}
    sent = {"type": kind, "payload": told, "id": f"e{next(_ids)}", "timestamp": 1_800_000_000_000}
    if kind in EVENTS:
        sent |= {"thread_id": THREAD, "run_id": RUN, "seq": 1}
    sent |= envelope
    types = {kind, *(each["type"] for each in told.get("events", ()))}
    return schema_check.checked(sent) if types <= schema_check.SERVER_TYPES else sent


def misspoken(kind: str, payload: Json, **envelope: Any) -> Json:
    """A frame as no server of ours makes them."""
    return {"type": kind, "payload": payload, "id": f"e{next(_ids)}", "timestamp": 1_800_000_000_000} | envelope


def event(seq: int, kind: str = "agent_thinking", payload: Json | None = None, **envelope: Any) -> Json:
    """A stream event of THREAD."""
    shown = {"agent_name": "analyst", "agent_id": "a1", "thought": f"thought {seq}"} if payload is None else payload
    return frame(kind, shown, **({"thread_id": THREAD, "run_id": RUN, "seq": seq} | envelope))


def accepted(command: Json, **payload: Any) -> Json:
    """The reply to a user_message."""
    told = {
        "thread_id": command["payload"].get("thread_id", THREAD),
        "epoch": EPOCH,
        "run_id": RUN,
        "message_id": command["payload"]["message_id"],
        "duplicate": False,
    }
    return frame("message_accepted", told | payload, reply_to=command["id"])


def part_accepted(command: Json, missing: Sequence[int]) -> Json:
    """The reply to a part of a user_message that does not complete it."""
    payload = command["payload"]
    told = {"message_id": payload["message_id"], "part": payload["part"], "parts": payload["parts"]}
    return frame("part_accepted", told | {"missing": list(missing)}, reply_to=command["id"])


def subscribed(seq: int, *, recovered: bool, epoch: str = EPOCH, thread_id: str = THREAD, **envelope: Any) -> Json:
    payload: Json = {"thread_id": thread_id, "epoch": epoch, "seq": seq, "recovered": recovered}
    return frame("subscribed", payload if recovered else payload | {"reason": "trimmed"}, **envelope)


def batch(*events: Json, more: bool = False, thread_id: str = THREAD) -> Json:
    return frame("batch", {"events": list(events), "more": more}, thread_id=thread_id)


def snapshot(seq: int, *messages: Json, epoch: str = EPOCH, **payload: Any) -> Json:
    return frame(
        "thread_snapshot", {"messages": list(messages), "epoch": epoch, "seq": seq} | payload, thread_id=THREAD
    )


def error(code: str, *, temporary: bool = False, reply_to: str | None = None, **payload: Any) -> Json:
    envelope = {} if reply_to is None else {"reply_to": reply_to}
    return frame("error", {"code": code, "message": f"it is {code}", "temporary": temporary} | payload, **envelope)


def gateway_fault() -> Json:
    """What API Gateway itself says when an integration fails."""
    return {"message": "Internal server error", "connectionId": "L0SM9cOFvHcCIhw=", "requestId": "L0SM9E-9PHcFhkA="}


@dataclass
class Peer:
    """The server's end of one connection. `hello` is the client's; what follows is read with `expect`."""

    socket: ServerConnection
    hello: Json = field(default_factory=dict)
    fragment_sizes: list[list[int]] = field(default_factory=list)

    async def read(self) -> Json:
        """The next frame, whatever it is; its WebSocket fragments are noted."""
        async with asyncio.timeout(TIMEOUT_S):
            pieces = [str(piece) async for piece in self.socket.recv_streaming()]
        self.fragment_sizes.append([len(piece.encode()) for piece in pieces])
        received: Json = json.loads("".join(pieces))
        return received

    async def expect(self, kind: str) -> Json:
        """The next frame, which must be of this type and as published."""
        received = await self.read()
        assert received["type"] == kind, received
        return schema_check.checked_command(received)

    async def silent(self, seconds: float) -> bool:
        """Whether the client says nothing for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False

    async def send(self, *frames: Json) -> None:
        for each in frames:
            await self.socket.send(json.dumps(each))

    async def accept(self, **payload: Any) -> Json:
        """Read a user_message and accept it."""
        command = await self.expect("user_message")
        await self.send(accepted(command, **payload))
        return command

    async def welcome(self, **payload: Any) -> None:
        await self.send(frame("welcome", payload, reply_to=self.hello["id"]))

    def cut(self) -> None:
        """The network fails: no close frame."""
        self.socket.transport.abort()


@dataclass
class FakeServer:
    """Accepts upgrades unless told otherwise, says welcome unless told otherwise, and hands the connections out."""

    url: str = ""
    refuse_with: list[int] = field(default_factory=list)  # HTTP statuses for the next upgrades
    refusal_headers: dict[str, str] = field(default_factory=dict)
    answer_subprotocol: str | None = "agentsocket.v1"
    greet: bool = True
    welcome: Json = field(default_factory=dict)  # what the welcomes say otherwise
    requests: list[Request] = field(default_factory=list)
    peers: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)
    serve_peer: Callable[[Peer], Awaitable[None]] | None = None  # plays a connection by itself
    _server: Server | None = None

    async def peer(self) -> Peer:
        """The next connection that got past its hello."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.peers.get()

    def stop(self) -> None:
        """No upgrades any more; connections stay."""
        assert self._server is not None
        self._server.close(close_connections=False)

    def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.refuse_with:
            return None
        response = connection.respond(HTTPStatus(self.refuse_with.pop(0)), "no\n")
        response.headers.update(self.refusal_headers)
        return response

    def _choose(self, connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return None if self.answer_subprotocol is None else Subprotocol(self.answer_subprotocol)

    async def _accept(self, socket: ServerConnection) -> None:
        peer = Peer(socket)
        try:
            peer.hello = await peer.expect("hello")
            if self.greet:
                await peer.welcome(**self.welcome)
            if self.serve_peer is not None:
                await self.serve_peer(peer)
            self.peers.put_nowait(peer)
            await socket.wait_closed()
        except ConnectionClosed:
            return


@asynccontextmanager
async def running_server(**settings: Any) -> AsyncIterator[FakeServer]:
    """A FakeServer on a free port of the loopback interface."""
    fake = FakeServer(**settings)
    async with serve(
        fake._accept, "127.0.0.1", 0, process_request=fake._upgrade, select_subprotocol=fake._choose, compression=None
    ) as server:
        fake._server = server
        fake.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/local"
        yield fake
