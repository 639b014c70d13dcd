"""A line between a client and the gateway that a test can cut, take down, and make slow. It knows bytes, no frames."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

_BUFFER_BYTES = 4096  # small, so that who does not read is noticed soon


class Line:
    """Forwards TCP connections from `url` to the gateway."""

    def __init__(self, url: str) -> None:
        """`url` is the gateway's."""
        there = urlsplit(url)
        self._host, self._port, self._path = str(there.hostname), int(there.port or 0), there.path
        self._own = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._chunk_s = 0.0
        self.opened = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._own}{self._path}"

    async def up(self) -> None:
        """Let connections through; the address stays the same when it has been down."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._own)
        self._own = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Cut what is open and refuse what comes."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End every open connection without a word, as a lost network does; new ones are let through."""
        for task in [*self._open]:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def stall(self) -> None:
        """Take nothing more from the gateway: buffers fill up behind it."""
        self._flowing.clear()

    def flow(self, *, chunk_s: float = 0.0) -> None:
        """Forward what the gateway sends, at most one buffer each `chunk_s` seconds."""
        self._chunk_s = chunk_s
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.opened += 1
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # cut, or refused because the stack is down
                await self._connect(reader, writer)
        finally:
            writer.transport.abort()
            self._open.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        narrow.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(narrow, (self._host, self._port))
            from_gateway, to_gateway = await asyncio.open_connection(sock=narrow, limit=_BUFFER_BYTES)
        except BaseException:  # a cut may come here, too
            narrow.close()
            raise
        ways = [
            asyncio.ensure_future(self._up(reader, to_gateway)),
            asyncio.ensure_future(self._down(from_gateway, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_gateway.transport.abort()  # before anything is awaited: a cut may come while this end is on its way
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_BUFFER_BYTES):
            writer.write(data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._flowing.wait()
            data = await reader.read(_BUFFER_BYTES)
            if not data:
                return
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
            if self._chunk_s:
                await asyncio.sleep(self._chunk_s)


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """A line to the gateway at `url`, up for the length of the block."""
    between = Line(url)
    await between.up()
    try:
        yield between
    finally:
        await between.down()
