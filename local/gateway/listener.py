"""The clients' side: the WebSocket listener, its handshakes and its open sessions. @connections is management.py's.

Which function hears of a request, and what a client is answered, is decided in dispatch.py.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from http import HTTPStatus
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakSet

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from local.gateway import answers, hosts
from local.gateway.answers import Refusal
from local.gateway.connection import ABNORMAL, GOING_AWAY, Session, Socket, ending
from local.gateway.dispatch import Accepted, Dispatcher
from local.gateway.events import Upgrade
from local.gateway.limits import GatewayLimits

log = logging.getLogger("local.gateway")


class Listener:
    """Serves clients for whichever dispatcher it has; without one it answers 503."""

    def __init__(
        self, *, stage: str, limits: GatewayLimits, allowed_hosts: Collection[str], now: Callable[[], float]
    ) -> None:
        self.dispatcher: Dispatcher | None = None
        self.sessions: dict[str, Session] = {}
        self._stage, self._limits, self._allowed_hosts, self._now = stage, limits, allowed_hosts, now
        self._server: Server | None = None
        self._accepted: dict[UUID, Accepted] = {}
        self._sockets: WeakSet[ServerConnection] = WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def start(self, host: str, port: int) -> int:
        """Listens, and returns the port. Raises OSError."""
        limits = self._limits
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._screen,
            process_response=self._open,
            create_connection=self._remembered(),
            max_size=(limits.message_bytes, limits.frame_bytes),
            # A post must not wait for a slow client, so the library's own limit lies above the one that refuses it.
            write_limit=limits.client_buffer_bytes + 2 * limits.message_bytes,
            open_timeout=2 * limits.integration_timeout_s + 10,  # an authorizer and $connect, one after the other
            close_timeout=limits.close_timeout_s,
            ping_interval=None,  # API Gateway sends no pings
            compression=None,  # sizes are counted as sent
            server_header=None,
            logger=_quiet_logger(),
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def close(self) -> None:
        """Ends every connection with 1001 and waits for their $disconnect and for messages under way."""
        self._closing = True
        if self._server is None:
            return
        self._server.close(True, *GOING_AWAY)
        for socket in [*self._sockets]:
            if socket.request is None:  # it never asked for anything
                socket.transport.abort()
        await self._server.wait_closed()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def abort(self) -> None:
        """Cuts every connection."""
        for socket in [*self._sockets]:
            socket.transport.abort()

    def in_background(self, work: Coroutine[object, object, None]) -> None:
        """Runs a coroutine on its own; close() waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _screen(self, _: ServerConnection, request: Request) -> Response | None:
        """Refuses what is not for this stage of this machine, before anything is invoked."""
        host = request.headers.get_all("Host")
        if not hosts.is_local(host, self._allowed_hosts):
            return answers.sentence(HTTPStatus.FORBIDDEN, hosts.REFUSAL)
        if len(f"wss://{host[0]}{request.path}") > self._limits.url_characters:
            return answers.sentence(HTTPStatus.REQUEST_URI_TOO_LONG, "The URL is too long for API Gateway: shorten it.")
        if urlsplit(request.path).path.rstrip("/") != f"/{self._stage}":
            return answers.forbidden()
        return None

    async def _open(self, connection: ServerConnection, request: Request, response: Response) -> Response | None:
        """Completes a handshake that the library found valid, or refuses it."""
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return None
        dispatcher = self.dispatcher
        if dispatcher is None:
            return answers.sentence(HTTPStatus.SERVICE_UNAVAILABLE, "No API is attached yet: try again after a deploy.")
        source_ip, port = connection.remote_address[0], connection.local_address[1]
        upgrade = Upgrade.received(request.path, request.headers.raw_items(), source_ip=source_ip, port=port)
        opening = dispatcher.opening(upgrade, source_ip)
        decision = await dispatcher.open(opening)
        if isinstance(decision, Refusal):
            log.info("%s: refused with %d.", opening.peer.connection_id, decision.status)
            return answers.refused(decision, opening.peer.connection_id, opening.stamp.request_id)
        return await self._accept(connection, decision, dispatcher, response)

    async def _accept(
        self, connection: ServerConnection, accepted: Accepted, dispatcher: Dispatcher, response: Response
    ) -> Response | None:
        if self._closing or connection.state is not State.CONNECTING:
            # $connect has succeeded for a client that is gone: only $disconnect can take back what it wrote.
            await dispatcher.disconnected(accepted.peer, *(GOING_AWAY if self._closing else ABNORMAL))
            return answers.sentence(HTTPStatus.SERVICE_UNAVAILABLE, "The gateway is stopping: connect again later.")
        log.info("%s: connected.", accepted.peer.connection_id)
        if accepted.subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = accepted.subprotocol
        self._accepted[connection.id] = accepted
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        peer = self._accepted.pop(connection.id).peer
        session = Session(connection, peer, limits=self._limits, now=self._now)
        self.sessions[peer.connection_id] = session
        try:
            code, reason = await self._receive(session)
        finally:
            del self.sessions[peer.connection_id]
        if self.dispatcher is not None:
            await self.dispatcher.disconnected(peer, code, reason)

    async def _receive(self, session: Session) -> tuple[int, str]:
        """Starts an answer to each message until the connection ends; how it ended."""
        try:
            while True:
                text = await session.receive()
                # Not awaited: AWS dispatches the messages of one connection concurrently.
                self.in_background(self._answer(session, text))
        except ConnectionClosed as closed:
            return ending(closed)

    async def _answer(self, session: Session, text: str) -> None:
        if self.dispatcher is None:
            return
        reply = await self.dispatcher.message(session.peer, text)
        if reply is None:
            return
        try:
            await session.send(reply.encode())
        except ConnectionClosed:
            log.info("%s: gone before its answer.", session.peer.connection_id)

    def _remembered(self) -> type[ServerConnection]:
        sockets = self._sockets

        class Remembered(Socket):
            """Known from its first byte on, so that closing need not wait for a handshake that never comes."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                sockets.add(self)
                super().connection_made(transport)

        return Remembered


def _quiet_logger() -> logging.Logger:
    """The library's logger, without the levels at which it writes headers, messages and every step."""
    logger = logging.getLogger("local.gateway.websockets")
    logger.setLevel(logging.WARNING)
    return logger
