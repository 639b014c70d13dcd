"""One task that keeps a connection, and the calls that wait for what comes of it.

What a caller may ask for is `commands`; what to send and what a frame means is `session`; the socket is `transport`.
Here is only waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from agentsocket_client import frames
from agentsocket_client.backoff import Backoff
from agentsocket_client.credentials import Credentials
from agentsocket_client.errors import ClientClosed, CommandFailed, ConnectionLost, Disconnected
from agentsocket_client.frames import Frame, Payload, Position, ResumePoint
from agentsocket_client.limits import Limits
from agentsocket_client.session import Session
from agentsocket_client.session_outputs import Event, Hangup, Output, Reply
from agentsocket_client.transport import TOO_BIG, Connect, Transport
from agentsocket_client.version import __version__


@dataclass(frozen=True)
class Status:
    """What `on_status` is told: live, or lost for a `reason` and to be tried again in `retry_in_s` seconds."""

    live: bool
    reason: str = ""
    retry_in_s: float = 0.0


class Connection:
    """One user's connection, alive from `start` to `stop`. Meant for one event loop and one iterator of `frames`."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        resume: Iterable[ResumePoint],
        name: str,
        limits: Limits,
        on_status: Callable[[Status], None],
        connect: Connect,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
    ) -> None:
        self.limits, self.sleep, self.random = limits, sleep, random
        self._url, self._connect = url, connect
        self._credentials = credentials
        self._on_status, self._now = on_status, now
        self._introduction = {"name": name, "version": __version__}
        self._session = Session(resume, limits=limits, random=random, renews=credentials.renewable)
        self._backoff = Backoff(limits.backoff_base_s, limits.backoff_cap_s, random)
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()  # None: no more will come
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._wake = asyncio.Event()
        self._live = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._failure: BaseException | None = ClientClosed("the client is used outside its `async with`")

    async def start(self) -> None:
        """Connect and say hello; waits until the server has said welcome, or raises what makes that impossible."""
        self._failure = None
        self._task = asyncio.create_task(self._run(), name="agentsocket-client")
        self._task.add_done_callback(self._ended)
        live = asyncio.create_task(self._live.wait())
        try:
            await asyncio.wait({live, self._task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the caller's patience is over, and nobody will call `stop`
            await self.stop()
            raise
        finally:
            live.cancel()
        self._check()

    async def stop(self) -> None:
        """Close the connection. Runs go on; unanswered commands fail with ClientClosed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def welcome(self) -> Payload:
        """The payload of the newest welcome."""
        if self._session.welcome is None:
            self._check()
            raise ClientClosed("the client has not connected yet")
        return self._session.welcome

    async def command(self, kind: str, payload: Payload) -> Frame:
        """Send any command; returns the reply frame. Lost connections are waited out: use asyncio.timeout to give up.

        Raises CommandFailed if the reply is an error or the command is too large, and whatever ended the client.
        """
        self._check()
        frame = frames.command(kind, payload)
        self._session.submit(frame, self._now())
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._replies[frame["id"]] = reply
        self._wake.set()
        try:
            return await reply
        finally:
            self._replies.pop(frame["id"], None)
            self._session.withdraw(frame["id"])

    async def frames(self) -> AsyncIterator[Frame]:
        """What `Client.frames` says."""
        while (event := await self._events.get()) is not None:
            self._session.read(event)
            yield event.frame
        self._events.put_nowait(None)
        if not isinstance(self._failure, ClientClosed):
            self._check()

    def position(self, thread_id: str) -> Position:
        """How far `frames` has come in a thread. Raises KeyError for one that is not followed."""
        return self._session.position(thread_id)

    # The connection's task.

    async def _run(self) -> None:
        while True:
            fault = await self._interrupted()
            self._live.clear()
            delay_s = self._backoff.next() + fault.retry_after_s
            self._on_status(Status(live=False, reason=fault.reason, retry_in_s=delay_s))
            await self.sleep(delay_s)

    async def _interrupted(self) -> ConnectionLost:
        """One connection, from upgrade to end. Returns what ended it, raises what will end every other as well."""
        try:
            credential = await self._credentials.for_upgrade()
            transport = await self._connect(self._url, credential.value, form=credential.carrier, limits=self.limits)
        except ConnectionLost as fault:
            return fault
        try:
            self._session.open(self._introduction, self._now(), token=credential.token)
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(self._send(transport, group))
                end = await self._receive(transport)
                sender.cancel()
                if self._refreshing is not None:
                    self._refreshing.cancel()
        finally:
            await transport.close()
        if isinstance(end, ConnectionLost):
            return end
        raise end

    async def _send(self, transport: Transport, group: asyncio.TaskGroup) -> None:
        """Send what is due, whenever something is. Ends with the connection; the reason is the receiver's to find."""
        with contextlib.suppress(ConnectionLost):
            while True:
                self._wake.clear()
                for text in self._session.poll(self._now()):
                    await transport.send(text)
                if self._session.wants_token(self._now()):
                    self._refreshing = group.create_task(self._refresh())
                await self._until(self._session.deadline())

    async def _refresh(self) -> None:
        """Fetch a fresh token for the open connection, while everything else goes on."""
        try:
            token = await self._credentials.token()
        except Exception as error:  # noqa: BLE001 (code that is not ours; if it lasts, the next connection raises it)
            self._session.token_failed(type(error).__name__, self._now())
        else:
            self._session.offer_token(token, self._now())
        self._wake.set()

    async def _until(self, deadline: float) -> None:
        """Wait for news, at most until `deadline`."""
        timeout = None if math.isinf(deadline) else max(0.0, deadline - self._now())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._wake.wait()

    async def _receive(self, transport: Transport) -> ConnectionLost | Disconnected:
        """Hand out what arrives, until the connection has ended; says why it has."""
        while True:
            try:
                text = await transport.receive()
            except ConnectionLost as end:
                if end.close_code == TOO_BIG:
                    self._too_large()
                return end
            for output in self._session.receive(text, self._now()):
                if isinstance(output, Hangup):
                    return output.error()
                self._hand_out(output)
            self._note_welcome()
            self._wake.set()

    def _hand_out(self, output: Output) -> None:
        if isinstance(output, Event):
            self._events.put_nowait(output)
            if output.frame["type"] in frames.EVENTS:
                self._backoff.reset()  # progress, not just a welcome: a server that drops everyone gets its rest
        elif isinstance(output, Reply):
            self._resolve(output)

    def _resolve(self, reply: Reply) -> None:
        waiting = self._replies.get(reply.command_id)
        if waiting is None or waiting.done():
            return
        if reply.frame["type"] == "error":
            waiting.set_exception(CommandFailed.from_payload(reply.frame["payload"]))
        else:
            self._backoff.reset()
            waiting.set_result(reply.frame)

    def _note_welcome(self) -> None:
        if self._session.live and not self._live.is_set():
            self._live.set()
            self._on_status(Status(live=True))

    def _too_large(self) -> None:
        """API Gateway has closed because of a message's size: it is the one to give up, or it would be sent forever."""
        waiting = self._replies.get(self._session.largest_in_flight() or "")
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                CommandFailed("too_large", "the server closed the connection: the message is too big")
            )

    # The end.

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The task is over: tell everyone who waits."""
        self._failure = ClientClosed("the client is closed") if task.cancelled() else task.exception()
        self._live.clear()
        for reply in self._replies.values():
            if not reply.done() and self._failure is not None:
                reply.set_exception(self._failure)
        self._events.put_nowait(None)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
