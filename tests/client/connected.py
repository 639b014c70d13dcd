"""What tests of the client share: a client at a fake server, and a session without any."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agentsocket_client import Client, Limits, frames
from agentsocket_client.session import Session
from agentsocket_client.session_outputs import Event, Output
from tests.client.fakes import EPOCH, THREAD, TIMEOUT_S, FakeServer, Json, Peer, batch, frame, subscribed

TOKEN = "secret.bearer.token"
FAST = Limits(gap_s=0.05, silence_s=0.2, reply_s=0.2, backoff_base_s=0.01)


def client_of(server: FakeServer, **settings: Any) -> Client:
    return Client(server.url, settings.pop("token", TOKEN), **{"random": lambda: 0.0, **settings})


async def take(client: Client, count: int) -> list[Json]:
    """The next frames that a person sees."""
    frames: list[Json] = []
    async with asyncio.timeout(TIMEOUT_S):
        async for each in client.frames():
            frames.append(each)
            if len(frames) == count:
                break
    return frames


def seqs(frames: list[Json]) -> list[Any]:
    return [each.get("seq", each["type"]) for each in frames]


async def follow(client: Client, peer: Peer, *, top: int = 0) -> None:
    """The client follows THREAD from its top."""
    subscribing = asyncio.create_task(client.subscribe(THREAD, since={"epoch": EPOCH, "seq": top}))
    command = await peer.expect("subscribe")
    await peer.send(subscribed(top, recovered=True, reply_to=command["id"]), batch())
    await subscribing


async def resumed(server: FakeServer, *events: Json) -> Peer:
    """The next connection, whose one thread gets this replay."""
    peer = await server.peer()
    (point,) = peer.hello["payload"]["resume"]
    await peer.send(subscribed(point["seq"] + len(events), recovered=True), batch(*events))
    return peer


class Talk:
    """A session and its clock; what the client says is decoded, what the server says is encoded."""

    def __init__(self, *resume: Json, live: bool = True, renews: bool = False) -> None:
        self.now = 0.0
        self.session = Session(resume, limits=Limits(), random=lambda: 1.0, renews=renews)  # type: ignore[arg-type]
        self.hello = self.connect(live=live)

    def connect(self, *, live: bool = True, token: str | None = None) -> Json:
        self.session.open({"name": "test", "version": "1"}, self.now, token=token)
        (hello,) = self.said()
        if live:
            self.hears(frame("welcome", {"ping_interval_s": 240}, reply_to=hello["id"]))
        return hello

    def after(self, seconds: float) -> Talk:
        self.now += seconds
        return self

    def said(self) -> list[Json]:
        return [json.loads(text) for text in self.session.poll(self.now)]

    def hears(self, *told: Json) -> list[Output]:
        return [out for each in told for out in self.session.receive(json.dumps(each), self.now)]

    def asks(self, kind: str, **payload: Any) -> Json:
        command = frames.command(kind, payload)
        self.session.submit(command, self.now)
        return command

    def sends(self, content: str = "hi") -> Json:
        return self.asks("user_message", content=content, message_id="m1")


def kinds(said: list[Json]) -> list[str]:
    return [each["type"] for each in said]


def shown(outputs: list[Output]) -> list[Any]:
    return [out.frame.get("seq") or out.frame["type"] for out in outputs if isinstance(out, Event)]


def point(thread_id: str = THREAD, seq: int = 10) -> Json:
    return {"thread_id": thread_id, "epoch": EPOCH, "seq": seq}
