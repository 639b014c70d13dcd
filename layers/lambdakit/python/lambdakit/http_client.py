"""One HTTP request to another service: bounded in time and size, no redirects, no proxy, no cookies.

Kept out: what the response means, and whether to ask again. Addresses come from trusted settings (which allow `http:`
for loopback only); what they respond is not trusted to be small, quick, or where it said.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Elapsed = Callable[[], float]


class NoResponse(Exception):
    """No response that can be used: the text names the host and the cause, and quotes nothing of what came."""


class Response(NamedTuple):
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
    elapsed: Elapsed = time.monotonic,
) -> Response:
    """Whatever the address responds within `timeout_s`, by the clock `elapsed` that only runs forward, in seconds.

    Raises NoResponse: nothing came in time, or no HTTP, or too much of it. The error names host and cause: it is for
    the log, and callers tell clients less.
    """
    deadline = elapsed() + timeout_s
    peer, parts = host(url), urlsplit(url)
    connection = _connection(parts, timeout_s)
    try:
        connection.request(method, f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}", body, dict(headers))
        # What http.client needs of a socket is `makefile`.
        reader = cast(socket.socket, _Reader(connection.sock, deadline, elapsed))
        response = http.client.HTTPResponse(reader, method=method)
        response.begin()
        content = response.read(max_bytes + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoResponse(f"request to {peer} {_cause(error, timeout_s)}") from None
    finally:
        connection.close()
    if len(content) > max_bytes:
        raise NoResponse(f"response of {peer} is larger than {max_bytes:,} bytes")
    return Response(response.status, content)


def host(url: str) -> str:
    """What of an address is never secret. Raises NoResponse for what is no address of the web."""
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port
    except ValueError:
        raise NoResponse("the address of the service cannot be read") from None
    if not name or parts.scheme not in ("https", "http"):
        raise NoResponse("the address of the service must begin with https:// or http:// and a host")
    return name


def _cause(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"timed out after {timeout_s:.1f} s"
    system = error.strerror if isinstance(error, OSError) else None
    return f"failed: {system or type(error).__name__}"


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    name = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(name, parts.port, timeout=timeout_s, context=_tls())
    return http.client.HTTPConnection(name, parts.port, timeout=timeout_s)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Reader(io.RawIOBase):
    """What a socket receives, until the deadline: its own time-out bounds one wait, and a drip feed has many."""

    def __init__(self, sock: socket.socket, deadline: float, elapsed: Elapsed) -> None:
        self._sock = sock
        self._deadline = deadline
        self._elapsed = elapsed

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left_s = self._deadline - self._elapsed()
        if left_s <= 0:
            raise TimeoutError
        self._sock.settimeout(left_s)
        return self._sock.recv_into(buffer)
