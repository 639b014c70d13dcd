"""One request to another service over real HTTP: what comes back, and what an operator reads when nothing does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agentsocket.auth import http_client
from agentsocket.errors import Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextmanager
def serving(raw: bytes | None) -> Iterator[str]:
    """The address of a server that answers one request with these bytes; None: never, until the client goes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                if raw is None:
                    connection.recv(1)
                else:
                    connection.sendall(raw)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/path?secret=hush"
        thread.join()


def get(url: str, *, timeout_s: float = 5, max_bytes: int = 10) -> http_client.Answer:
    return http_client.request("GET", url, headers={}, timeout_s=timeout_s, max_bytes=max_bytes)


def test_status_and_body_are_the_answer():
    with serving(OK) as url:
        assert get(url) == http_client.Answer(200, b"hi")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", "response of 127.0.0.1 is larger than 10 bytes"),
        (b"nonsense\r\n\r\n", "request to 127.0.0.1 failed: BadStatusLine"),
        (b"", "request to 127.0.0.1 failed: RemoteDisconnected"),
    ],
    ids=["too large", "no HTTP", "hung up"],
)
def test_what_cannot_be_used_names_host_and_cause(raw, text):
    with serving(raw) as url, pytest.raises(Unavailable) as refused:
        get(url)
    assert refused.value.message == text


def test_a_server_that_never_answers_names_host_and_seconds():
    with serving(None) as url, pytest.raises(Unavailable) as refused:
        get(url, timeout_s=0.2)
    assert refused.value.message == "request to 127.0.0.1 timed out after 0.2 s"


def test_a_server_that_is_not_there_names_host_and_the_system_s_cause():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unavailable) as refused:
        get(f"http://127.0.0.1:{port}/path?secret=hush")
    assert refused.value.message == "request to 127.0.0.1 failed: Connection refused"


def test_a_port_that_is_none_is_no_answer_either():
    with pytest.raises(Unavailable, match=r"^request to 127\.0\.0\.1 failed: "):
        get("http://127.0.0.1:1/path with blanks")
