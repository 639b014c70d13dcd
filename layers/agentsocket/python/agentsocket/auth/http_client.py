"""One HTTP request to another service: bounded in time and size, no redirects, no proxy, no cookies.

Kept out: what the answer means, and whether to ask again. Addresses come from trusted settings (which allow `http:` for
loopback only); what they answer is not trusted to be small, quick, or where it said.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from agentsocket.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Answer(Struct, frozen=True):
    """The status and the whole body."""

    status: int
    body: bytes


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    timeout_s: float,
    max_bytes: int,
) -> Answer:
    """Whatever the address answers within `timeout_s`. Raises Unavailable: no answer, no HTTP, or too large a one.

    The error names host and cause: it is for the log, and callers tell clients less.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + timeout_s
    connection = _connection(parts, timeout_s)
    try:
        connection.request(method, f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}", body, dict(headers))
        # What http.client needs of a socket is `makefile`.
        response = http.client.HTTPResponse(cast(socket.socket, _Reader(connection.sock, deadline)), method=method)
        response.begin()
        content = response.read(max_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"request to {parts.hostname} {_cause(error, timeout_s)}") from None
    finally:
        connection.close()
    if len(content) > max_bytes:
        raise Unavailable(f"response of {parts.hostname} is larger than {max_bytes:,} bytes")
    return Answer(response.status, content)


def _cause(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"timed out after {timeout_s:.1f} s"
    system = error.strerror if isinstance(error, OSError) else None
    return f"failed: {system or type(error).__name__}"


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=_tls())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Reader(io.RawIOBase):
    """What a socket receives, until the deadline: its own time-out bounds one wait, and a drip feed has many."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        return self._sock.recv_into(buffer)
