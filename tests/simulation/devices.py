"""A person's device: the real client library, at most one client at a time, and what it was given.

A person's patience is here: a message that was not accepted is sent again under the same id, on whatever connection
there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentsocket_client import Client
from agentsocket_client.errors import AgentSocketError, ClientClosed, CommandFailed, Damaged
from agentsocket_client.frames import ResumePoint
from tests.simulation import history
from tests.simulation.history import Accepted, History, Seen
from tests.simulation.order import Frame

_AGAIN_S = 1.0


def _now_ms() -> int:
    return int(time.time() * 1000)


def _refuses(frame: Frame) -> bool:
    return bool(frame["type"] == "error" and frame["payload"].get("code") == "not_found")


class SignedOut(Exception):
    """There is no token for this person any more: they have to sign in again."""


class Stage(Protocol):
    """What a story needs of the world that it is played in."""

    def client(self, device: str, user: str, resume: Sequence[ResumePoint]) -> Client:
        """A client that is not connected yet."""

    def cut(self, device: str) -> None:
        """Break the device's connection, if it has one."""

    def kill(self, user: str, message_id: str) -> None:
        """Kill the worker of the message's run."""

    def sign_out(self, user: str) -> None:
        """Revoke the user's tokens."""

    def now(self) -> float:
        """Seconds, of the stage's own clock."""


@dataclass(slots=True)
class Record:
    """What comes of a story, device by device. `wrong` collects what should not have been answered."""

    tell: Callable[[str], None]
    history: History = field(default_factory=History)
    wrong: list[str] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)  # somebody was given something
    now_ms: Callable[[], int] = _now_ms  # the server's clock
    _labels: dict[str, str] = field(default_factory=dict)

    def label(self, thread_id: str) -> str:
        """A thread for people: ids are random."""
        return self._labels.setdefault(thread_id, f"thread {len(self._labels) + 1}")

    def thread_of(self, user: str, message_id: str) -> str | None:
        """The thread that a message was accepted in, by whichever device."""
        mine = (each for each in self.history.accepted if (each.user, each.message_id) == (user, message_id))
        return next((each.thread_id for each in mine), None)

    def is_foreign(self, user: str, thread_id: str) -> bool:
        """Whether the thread is somebody else's."""
        return any(each.thread_id == thread_id and each.user != user for each in self.history.accepted)


class Device:
    """One device of a user: at most one client at a time."""

    def __init__(self, name: str, user: str, stage: Stage, record: Record) -> None:
        self.seen = history.Device(name, user)
        self.pending = 0
        self.signed_in = False
        self._stage = stage
        self._record = record
        self._client: Client | None = None
        self._here = asyncio.Event()  # a client is there
        self._reading: asyncio.Task[None] | None = None
        self._resume: list[ResumePoint] = []

    @property
    def open(self) -> bool:
        """Whether a client is there, connected or on its way."""
        return self._client is not None

    async def connect(self) -> None:
        """Open a client, unless there is one."""
        if self._client is not None:
            return
        self.signed_in = True
        self.seen.follows = {point["thread_id"] for point in self._resume}
        client = self._client = self._stage.client(self.seen.name, self.seen.user, self._resume)
        try:
            await client.__aenter__()
        except (AgentSocketError, SignedOut) as error:
            self._lost(client, error)
            return
        self._reading = asyncio.create_task(self._read(client))
        self._here.set()

    async def leave(self) -> None:
        """Close the client; what it has read is known, so that the next can go on there."""
        client, self._client = self._client, None
        self._here.clear()
        if client is None:
            return
        if self._reading is not None:
            self._reading.cancel()
        self._remember(client)
        await client.__aexit__(None, None, None)

    def _remember(self, client: Client) -> None:
        points = {}
        followed = self.seen.follows | set(self.seen.asked.values())
        for thread_id in sorted(followed):
            with contextlib.suppress(KeyError):
                position = client.position(thread_id)
                if position["epoch"] is not None:
                    points[thread_id] = ResumePoint(thread_id=thread_id, epoch=position["epoch"], seq=position["seq"])
        known = followed | {each.thread_id for each in self.seen.seen}  # also what was pushed before it was accepted
        for thread_id in sorted(known - points.keys()):
            self._unfollow(thread_id)
        self.seen.follows = set()
        self._resume = list(points.values())

    async def _read(self, client: Client) -> None:
        try:
            async for frame in client.frames():
                self._note(client, frame)
        except (AgentSocketError, SignedOut) as error:
            self._lost(client, error)

    def _lost(self, client: Client, error: Exception) -> None:
        """The client has ended for good; the person may sign in again."""
        if self._client is client:
            self._record.tell(f"{self.seen.name} is out: {error}")
            self._client = None
            self._here.clear()
            self._remember(client)

    def _note(self, client: Client, frame: Frame) -> None:
        thread_id = str(frame.get("thread_id") or frame["payload"].get("thread_id", ""))
        if _refuses(frame) and self._record.is_foreign(self.seen.user, thread_id):
            return  # the client has asked once more, and is told no once more
        epoch = None
        with contextlib.suppress(KeyError):
            epoch = client.position(thread_id)["epoch"]
        self.seen.seen.append(Seen(self._stage.now(), "frame", thread_id, frame, epoch))
        number = frame.get("seq", frame["payload"].get("seq", ""))
        self._record.tell(f"{self.seen.name} sees {frame['type']} {number} of {self._record.label(thread_id)}")
        if frame["type"] == "thread_deleted" or (frame["type"] == "error" and thread_id):
            self._unfollow(thread_id)
            code = frame["payload"].get("code", "not_found")
            if frame["type"] == "error" and not (code == "not_found" and thread_id in self._record.history.doomed):
                self._record.wrong.append(f"{self.seen.name} may not follow thread {thread_id}: {code}")
        self._record.moved.set()

    def _mark(self, kind: Any, thread_id: str) -> None:
        self.seen.seen.append(Seen(self._stage.now(), kind, thread_id))

    def _unfollow(self, thread_id: str) -> None:
        """What comes of the thread from now on need not be seen, and if it is followed again it is from nothing."""
        self.seen.follows.discard(thread_id)
        self.seen.asked = {run: thread for run, thread in self.seen.asked.items() if thread != thread_id}
        self.seen.seen.append(Seen(self._stage.now(), "left", thread_id))

    # What the person does.

    async def send(self, message_id: str, text: str, thread_id: str | None) -> str | None:
        """Send until it is accepted; the thread it is in. None when that thread is gone."""
        is_gone = thread_id in self._record.history.deleted
        said = await self._insist(
            lambda client: client.send_message(text, thread_id=thread_id, message_id=message_id),
            gone=lambda: self._is_doomed(thread_id or self._record.thread_of(self.seen.user, message_id)),
        )
        if said is None:
            return None
        if is_gone:
            self._record.wrong.append(f"{self.seen.name} could write to thread {thread_id}, which was deleted")
        accepted = Accepted(self.seen.user, message_id, said["thread_id"], said["epoch"], said["run_id"])
        self._record.history.accepted.append(accepted)
        if accepted.thread_id not in self._record.history.doomed and self.open:
            self.seen.asked[accepted.run_id] = accepted.thread_id
        return accepted.thread_id

    async def stop(self, message_id: str) -> None:
        """Stop the run of a message; one that has ended cannot be."""
        past = self._record.history
        reply = await self._insist(
            lambda client: client.command("stop_agent", {"message_id": message_id}),
            gone=lambda: self._is_doomed(self._record.thread_of(self.seen.user, message_id)),
            unless={"not_stoppable"},
        )
        if reply == "not_stoppable":
            past.unstoppable.setdefault(message_id, self._record.now_ms())
        elif isinstance(reply, dict):
            past.stopped_at.setdefault(reply["payload"]["run_id"], reply["timestamp"])

    async def subscribe(self, thread_id: str) -> None:
        is_gone = thread_id in self._record.history.deleted
        if self._record.is_foreign(self.seen.user, thread_id):
            if await self._insist(lambda client: client.subscribe(thread_id), gone=lambda: True) is not None:
                self._record.wrong.append(f"{self.seen.name} could follow somebody else's thread {thread_id}")
            return
        follow = self._insist(lambda client: client.subscribe(thread_id), gone=lambda: self._is_doomed(thread_id))
        if await follow is not None:
            self.seen.follows.add(thread_id)
            if is_gone:
                self._record.wrong.append(f"{self.seen.name} could follow thread {thread_id}, which was deleted")

    async def unsubscribe(self, thread_id: str) -> None:
        async def leave(client: Client) -> bool:
            await client.unsubscribe(thread_id)
            self._unfollow(thread_id)
            return True

        await self._insist(leave, gone=lambda: self._is_doomed(thread_id))

    async def read(self, thread_id: str, message_id: str, text: str) -> None:
        """Ask for the whole text of a message, which is what was said."""
        read = self._insist(
            lambda client: client.content(thread_id, message_id), gone=lambda: self._is_doomed(thread_id)
        )
        if (found := await read) not in (None, text):
            self._record.wrong.append(f"{self.seen.name} reads {found[:40]!r} for message {message_id}")

    async def delete(self, thread_id: str) -> None:
        self._record.history.doomed.add(thread_id)
        wanted = {"thread_id": thread_id}
        await self._insist(lambda client: client.command("delete_thread", wanted), gone=lambda: True)
        self._record.history.deleted.add(thread_id)  # also when the answer is that there is none (any more)
        self._unfollow(thread_id)

    def _is_doomed(self, thread_id: str | None) -> bool:
        return thread_id in self._record.history.doomed

    async def _insist(
        self, ask: Callable[[Client], Awaitable[Any]], *, gone: Callable[[], bool], unless: Collection[str] = ()
    ) -> Any:
        """Ask until there is an answer; the code of an error among `unless`, None for any other.

        `not_found` may be the answer if what was asked for is `gone` by then.
        """
        self.pending += 1
        try:
            while True:
                await self._here.wait()
                client = self._client
                if client is None:
                    continue
                try:
                    return await ask(client)
                except CommandFailed as failed:
                    if failed.code in unless:
                        return failed.code
                    if failed.code == "not_found" and gone():
                        return None
                    if not failed.temporary:
                        self._record.wrong.append(f"{self.seen.name} was answered {failed}")
                        return None
                except Damaged as damaged:
                    self._record.wrong.append(f"{self.seen.name} was given what is {damaged}")
                    return None
                except ClientClosed:
                    self._record.tell(f"{self.seen.name} must ask again")
                except (AgentSocketError, SignedOut) as error:
                    self._lost(client, error)
                await asyncio.sleep(_AGAIN_S)
        finally:
            self.pending -= 1
