"""One WebSocket: the upgrade with its token, text out in pieces, text in. The only module that knows `websockets`.

What the texts mean, and what to do when the connection ends, is not here.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, Protocol, TypeAlias
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, NegotiationError
from websockets.typing import Subprotocol

from agentsocket_client.errors import ConnectionLost, Refused, WrongProtocol
from agentsocket_client.frames import fragments
from agentsocket_client.limits import Limits

SUBPROTOCOL = "agentsocket.v1"
TOO_BIG = 1009  # RFC 6455, 7.4.1

Form: TypeAlias = Literal["header", "subprotocol"]  # of a token: programs, browsers
Carrier: TypeAlias = Form | Literal["ticket"]  # a ticket travels in the query: it is spent when a log shows it

_TRY_AGAIN = frozenset({408, 425, 429})  # of the 4xx, those that time can cure
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1; also keeps line breaks out of the header

# websockets logs whole handshakes and frames at DEBUG: tokens and message texts, whatever the application's level.
_quiet = logging.getLogger("agentsocket_client.transport")
_quiet.setLevel(logging.INFO)


class Transport(Protocol):
    """What a client needs of a connection."""

    async def send(self, text: str) -> None:
        """Send one frame of the protocol. Raises ConnectionLost if the connection is gone."""

    async def receive(self) -> str | bytes:
        """The next frame. Raises ConnectionLost when the connection has ended."""

    async def close(self) -> None:
        """Say goodbye, briefly."""


class Connect(Protocol):
    """Opens a Transport; `open_websocket` says what it may raise."""

    async def __call__(self, url: str, token: str, *, form: Carrier, limits: Limits) -> Transport: ...


class _Connect(connect):
    """A redirect would carry the token to another address: it is an error like any other status."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@dataclass
class WebSocket:
    """A Transport over a real WebSocket."""

    connection: ClientConnection
    limits: Limits

    async def send(self, text: str) -> None:
        """As Transport.send; texts over 32 KB go as several WebSocket frames, as API Gateway demands."""
        try:
            await self.connection.send(fragments(text, limit_bytes=self.limits.frame_bytes))
        except ConnectionClosed as closed:
            raise _interrupted(closed) from None

    async def receive(self) -> str | bytes:
        """As Transport.receive."""
        try:
            return await self.connection.recv()
        except ConnectionClosed as closed:
            raise _interrupted(closed) from None

    async def close(self) -> None:
        """As Transport.close."""
        await self.connection.close()


async def open_websocket(url: str, token: str, *, form: Carrier, limits: Limits) -> WebSocket:
    """Upgrade at `url` (ws: or wss:) with `token` in the given form; in that of a ticket, it is one.

    Raises Refused or WrongProtocol if trying again is no use, ValueError for a token that cannot travel or an address
    that is none, ConnectionLost for everything that time may cure.
    """
    if _BEARER.fullmatch(token) is None:
        raise ValueError("the token has characters that no bearer token has")
    try:
        connection = await _upgrade(url, token, form, limits)
    except InvalidStatus as refusal:
        raise _refusal(refusal.response.status_code, refusal.response.headers.get("Retry-After")) from None
    except InvalidURI:  # its text is the address, with the ticket
        raise ValueError("the address is not a WebSocket's") from None
    except NegotiationError:
        raise _wrong_protocol(url) from None
    except ssl.SSLCertVerificationError:
        raise  # an OSError, but not one that time cures
    except InvalidHandshake as error:
        raise ConnectionLost(f"the response was no WebSocket handshake ({type(error).__name__})") from None
    except TimeoutError:
        raise ConnectionLost(f"no answer in time ({limits.open_s:g} s)") from None
    except OSError as error:
        raise ConnectionLost(_in_words(error)) from None
    if connection.subprotocol != SUBPROTOCOL:
        await connection.close()
        raise _wrong_protocol(url)
    return WebSocket(connection, limits)


async def _upgrade(url: str, token: str, form: Carrier, limits: Limits) -> ClientConnection:
    offered = [SUBPROTOCOL, f"bearer.{token}"] if form == "subprotocol" else [SUBPROTOCOL]
    return await _Connect(
        _with_ticket(url, token) if form == "ticket" else url,
        subprotocols=[Subprotocol(name) for name in offered],
        additional_headers={"Authorization": f"Bearer {token}"} if form == "header" else None,
        compression=None,  # API Gateway has none
        open_timeout=limits.open_s,
        close_timeout=limits.close_s,
        proxy=None if _is_loopback(url) else True,
        logger=_quiet,
    )


def _with_ticket(url: str, ticket: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, [parts.query, urlencode({"ticket": ticket})]))).geturl()


def _is_loopback(url: str) -> bool:
    """Whether the server is this machine, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(status: int, retry_after: str | None) -> Refused | ConnectionLost:
    if 400 <= status < 500 and status not in _TRY_AGAIN:
        return Refused(status)
    wait_s = float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
    return ConnectionLost(f"the server answered HTTP {status}", retry_after_s=wait_s)


def _in_words(error: OSError) -> str:
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or "the server cannot be reached"  # name resolution numbers its errors from -1 down


def _wrong_protocol(url: str) -> WrongProtocol:
    return WrongProtocol(f"what answers at {urlsplit(url).hostname} does not speak {SUBPROTOCOL}: check the address")


def _interrupted(closed: ConnectionClosed) -> ConnectionLost:
    code = closed.rcvd.code if closed.rcvd is not None else None
    return ConnectionLost("the connection was lost" if code is None else f"the server closed ({code})", close_code=code)
