"""One request over real HTTP: bounded in time and size, to the address that was named; and what an operator reads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lambdakit import http_client
from lambdakit.http_client import NoResponse, Response, request
from tests.authservice.fakes import Server
from tests.support.fakes import Clock

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


def get(url: str, *, timeout_s: float = 5, max_bytes: int = 10) -> Response:
    return request("GET", url, headers={}, timeout_s=timeout_s, max_bytes=max_bytes)


def test_status_and_body_are_the_answer():
    with serving(OK) as url:
        assert get(url) == Response(200, b"hi")


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
    with serving(raw) as url, pytest.raises(NoResponse) as refused:
        get(url)
    assert str(refused.value) == text


def test_a_server_that_never_answers_names_host_and_seconds():
    with serving(None) as url, pytest.raises(NoResponse) as refused:
        get(url, timeout_s=0.2)
    assert str(refused.value) == "request to 127.0.0.1 timed out after 0.2 s"


def test_a_server_that_is_not_there_names_host_and_the_system_s_cause():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(NoResponse) as refused:
        get(f"http://127.0.0.1:{port}/path?secret=hush")
    assert str(refused.value) == "request to 127.0.0.1 failed: Connection refused"


def test_a_port_that_is_none_is_no_answer_either():
    with pytest.raises(NoResponse, match=r"^request to 127\.0\.0\.1 failed: "):
        get("http://127.0.0.1:1/path with blanks")


class Echo(Server):
    """Responds with what it was sent, or as it is told."""

    def __init__(self):
        super().__init__()
        self.status, self.content, self.seen = 200, b"hello", ("", "", b"")
        self.extra: dict[str, str] = {}

    def answer(self, method, headers, body):
        self.seen = (method, headers.get("X-Asked", ""), body)
        return self.status, self.extra, self.content


@pytest.fixture
def server():
    with Echo() as running:
        yield running


def ask(url, **options):
    return request(
        "POST", url, headers={"X-Asked": "yes"}, **{"timeout_s": 5, "max_bytes": 100, "body": b"text", **options}
    )


def refusal(url, **options):
    with pytest.raises(NoResponse) as refused:
        ask(url, **options)
    return str(refused.value)


def test_status_and_body_come_back_and_headers_and_body_are_sent(server):
    server.status = 404
    assert ask(f"{server.url}/path?query=1") == (404, b"hello")
    assert server.seen == ("POST", "yes", b"text")


def test_a_redirect_is_a_status_like_any_other(server):
    with Echo() as elsewhere:
        server.status, server.extra = 302, {"Location": elsewhere.url}
        assert ask(server.url).status == 302
    assert elsewhere.requests == 0


def test_a_proxy_of_the_environment_is_not_asked(server, monkeypatch):
    with Echo() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert ask(server.url).status == 200
    assert (proxy.requests, server.requests) == (0, 1)


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(server):
    server.content = b"x" * 100
    assert len(ask(server.url).body) == 100
    server.content += b"x"
    assert refusal(server.url) == "response of 127.0.0.1 is larger than 100 bytes"


class Hurried(Clock):
    """A clock for which ten seconds pass between two looks."""

    def __call__(self):
        self.advance(10)
        return self.now


def test_the_time_is_for_the_whole_response(server):
    assert refusal(server.url, elapsed=Hurried()) == "request to 127.0.0.1 timed out after 5.0 s"


def test_a_server_that_speaks_no_tls_is_named_with_the_cause(server):
    said = refusal(server.url.replace("http:", "https:"))
    assert said.startswith("request to 127.0.0.1 failed: ")
    assert "WRONG_VERSION_NUMBER" in said or "SSL" in said


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://localhost/x", "localhost", "http://", "http://[::1", "http://a:b"]
)
def test_what_is_no_address_of_the_web_is_not_asked(url):
    assert refusal(url).startswith("the address of the service")


def test_of_an_address_the_host_may_be_said():
    assert http_client.host("https://user:word@auth.example/path?token=x") == "auth.example"
    assert http_client.host("http://auth.example:8443/") == "auth.example"
