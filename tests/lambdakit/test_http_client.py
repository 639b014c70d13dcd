"""One request: bounded in time and size, to the address that was named and to no other."""

from __future__ import annotations

import socket

import pytest

from lambdakit import http_client
from lambdakit.http_client import NoResponse, request
from tests.authservice.fakes import Server
from tests.support.fakes import Clock


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
    host = server.url.removeprefix("http://")
    assert refusal(server.url) == f"the response of {host} is too large; the limit is 100 bytes"


class Hurried(Clock):
    """A clock for which ten seconds pass between two looks."""

    def __call__(self):
        self.advance(10)
        return self.now


def test_the_time_is_for_the_whole_response(server):
    host = server.url.removeprefix("http://")
    assert refusal(server.url, elapsed=Hurried()) == f"the request to {host} timed out after 5.0 s"


def test_who_does_not_respond_at_all_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        said = refusal(f"http://{host}/secret?token=secret", timeout_s=0.1)
    assert said == f"the request to {host} timed out after 0.1 s"


def test_who_is_not_there_is_named_with_the_cause():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host = f"127.0.0.1:{unused.getsockname()[1]}"
    assert refusal(f"http://{host}/") == f"the request to {host} failed: ConnectionRefusedError"


def test_a_server_that_speaks_no_tls_is_named_with_the_cause(server):
    said = refusal(server.url.replace("http:", "https:"))
    assert said.startswith("the request to 127.0.0.1:")
    assert "SSL" in said


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://localhost/x", "localhost", "http://", "http://[::1", "http://a:b"]
)
def test_what_is_no_address_of_the_web_is_not_asked(url):
    assert refusal(url).startswith("the address of the service")


def test_of_an_address_host_and_port_may_be_said():
    assert http_client.host("https://user:word@auth.example/path?token=x") == "auth.example"
    assert http_client.host("http://auth.example:8443/") == "auth.example:8443"
