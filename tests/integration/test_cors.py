"""Area L: what a web page on another origin may read, over real HTTP, from the HTTP API and from the auth service."""

from __future__ import annotations

import pytest

from tests.integration.conftest import ANOTHER_ORIGIN, ORIGIN
from tests.integration.function_code import misconfigured
from tests.integration.http_request import ask, form

FOREIGN = ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://app.example.com", f"{ORIGIN}:8443", "*"]

# Of each API: a path, and its methods.
PATHS = {
    "threads": ("http", "/threads", "GET, POST"),
    "messages": ("http", "/threads/some/messages", "GET"),
    "thread": ("http", "/threads/some", "DELETE, PATCH"),
    "health": ("http", "/health", "GET"),
    "token": ("auth", "/oauth/token", "POST"),
    "ticket": ("auth", "/ticket", "POST"),
    "keys": ("auth", "/.well-known/jwks.json", "GET"),
}


@pytest.fixture(params=list(PATHS))
def path(request, deployment):
    """The address of a path, and the methods it has."""
    api, path, methods = PATHS[request.param]
    return getattr(deployment, api) + path, methods.split(", ")


def cors(answer):
    """The headers that speak of origins, credentials and the like."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def preflight(url, origin, method="GET"):
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return ask(url, "OPTIONS", headers=asking)


@pytest.mark.parametrize("origin", [ORIGIN, ANOTHER_ORIGIN])
def test_a_preflight_tells_a_listed_page_what_it_may_send(path, origin):
    """L1: several origins, each named by itself; credentials; methods of this very path."""
    url, methods = path
    answer = preflight(url, origin, methods[0])
    assert answer.status in (200, 204)
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"].split(", ") == methods
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type"} <= set(allowed)
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_foreign_page_learns_nothing(path, origin):
    """L1: neither from a preflight nor from an answer; its origin is not repeated anywhere."""
    url, methods = path
    for answer in (preflight(url, origin, methods[0]), ask(url, methods[0], headers={"Origin": origin})):
        assert cors(answer) == {}
        assert "Origin" in answer.headers["vary"]
        assert origin not in [*answer.headers.values(), answer.body.decode()]


def test_a_request_without_an_origin_gets_no_such_header_and_caches_are_told(path):
    """L1."""
    url, methods = path
    answer = ask(url, methods[0])
    assert cors(answer) == {}
    assert "Origin" in answer.headers["vary"]


def test_a_listed_page_reads_its_answer(deployment):
    """L1: the actual requests."""
    token = deployment.token("lou")
    answers = [
        ask(f"{deployment.http}/threads", token=token, headers={"Origin": ORIGIN}),
        ask(f"{deployment.http}/health", headers={"Origin": ORIGIN}),
        ask(f"{deployment.auth}/ticket", "POST", token=token, headers={"Origin": ORIGIN}),
        ask(f"{deployment.auth}/health", headers={"Origin": ORIGIN}),
    ]
    for answer in answers:
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "set-cookie" not in answer.headers


ERRORS = {
    "http 401": (401, "http", "GET", "/threads"),
    "http 404": (404, "http", "GET", "/nothing/here"),
    "http 405": (405, "http", "DELETE", "/threads"),
    "auth 401": (401, "auth", "POST", "/ticket"),
    "auth 404": (404, "auth", "GET", "/nothing/here"),
    "auth 405": (405, "auth", "DELETE", "/oauth/token"),
    "auth 400": (400, "auth", "POST", "/oauth/token"),
}


@pytest.mark.parametrize(("status", "api", "method", "target"), ERRORS.values(), ids=ERRORS)
def test_a_listed_page_reads_errors_too(deployment, status, api, method, target):
    """L1."""
    url = getattr(deployment, api) + target
    answer = ask(url, method, token="nonsense" if status == 401 else None, headers={"Origin": ORIGIN})
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in answer.headers["vary"]
    assert answer.json()["error"]
    if status == 405:
        assert answer.headers["allow"]


def test_a_body_that_is_too_large_is_refused_with_its_headers(deployment):
    """L1, issue 3: 413, and never a 500."""
    answer = ask(f"{deployment.auth}/oauth/token", "POST", body=form({"x": "y" * 17_000}), headers={"Origin": ORIGIN})
    assert answer.status == 413
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_fault_of_ours_is_a_500_that_the_page_can_read(deployment):
    """L1: the function meets an error that it did not expect, a table that is not there."""
    token = deployment.token("lou")
    with misconfigured(deployment, "http", TABLE_NAME="nowhere"):
        answer = ask(f"{deployment.http}/threads", token=token, headers={"Origin": ORIGIN})
    assert answer.status == 500
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.json()["error"]["code"] == "internal"
    assert deployment.threads(token).status == 200
