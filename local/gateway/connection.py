"""One open WebSocket: receiving, sending, its idle time and its end. What a message means is not known here."""

import asyncio
from collections.abc import Callable
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from local.gateway.events import Peer
from local.gateway.limits import GatewayLimits

NORMAL: Final = (1000, "Connection Closed Normally")
GOING_AWAY: Final = (1001, "Going away")
NOT_TEXT: Final = (1003, "Binary frames are not supported")
ABNORMAL: Final = (1006, "Connection Closed Abnormally")

# What AWS tells $disconnect when a close frame gave no reason; 1005 means that it had no status either.
REASONS = {1005: "Client-side close frame status not set", **dict([NORMAL, GOING_AWAY, ABNORMAL])}


class Socket(ServerConnection):
    """The library's connection, cut when its closing handshake takes too long.

    The library itself bounds only a close() of ours, so a client that sent a close frame, or a frame too large, and
    then stays would keep its $disconnect from being told.
    """

    _cut: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.close_deadline is not None and self._cut is None:
            self._cut = self.loop.call_at(self.close_deadline, self.transport.abort)


class Session:
    """A client's connection after its handshake. Times are in seconds of the given clock."""

    def __init__(
        self, connection: ServerConnection, peer: Peer, *, limits: GatewayLimits, now: Callable[[], float]
    ) -> None:
        self.peer = peer
        self._connection, self._limits, self._now = connection, limits, now
        self._loop = asyncio.get_running_loop()
        self._opened = self._active = self._loop.time()
        self.last_active = now()

    @property
    def is_open(self) -> bool:
        return self._connection.state is State.OPEN

    @property
    def is_congested(self) -> bool:
        """Whether the client has left more unread than it may."""
        return self._connection.transport.get_write_buffer_size() > self._limits.client_buffer_bytes

    async def receive(self) -> str:
        """The client's next message. Raises ConnectionClosed when either side has ended the connection.

        It is this method that ends it: 1001 after idle time or lifetime, 1003 on a binary message. Sizes are kept by
        the websockets library (1009).
        """
        while True:
            message = await self._next()
            if isinstance(message, str):
                self._touch()
                return message
            await self.close(*(GOING_AWAY if message is None else NOT_TEXT))

    async def send(self, text: bytes) -> None:
        """One text message of UTF-8, in frames no larger than AWS's. Raises ConnectionClosed."""
        size = self._limits.frame_bytes
        frames = [text[start : start + size] for start in range(0, len(text), size)]
        await self._connection.send(frames if len(frames) > 1 else text, text=True)
        self._touch()

    async def close(self, code: int, reason: str) -> None:
        """Sends a close frame and waits a short time for the client's."""
        await self._connection.close(code, reason)

    async def _next(self) -> str | bytes | None:
        """The next message; None when the connection has been idle for too long, or open for too long."""
        while True:
            deadline = self._deadline()
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._connection.recv()
            except TimeoutError:
                if self._deadline() <= deadline:  # no post has moved it meanwhile
                    return None

    def _deadline(self) -> float:
        return min(self._active + self._limits.idle_s, self._opened + self._limits.lifetime_s)

    def _touch(self) -> None:
        self._active = self._loop.time()
        self.last_active = self._now()


def ending(closed: ConnectionClosed) -> tuple[int, str]:
    """What to tell $disconnect: code and reason of our close frame, which repeats the client's if that came first."""
    if closed.sent is None:
        return ABNORMAL
    return closed.sent.code, closed.sent.reason or REASONS.get(closed.sent.code, "")
