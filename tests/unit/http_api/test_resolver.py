"""Which route a request is for, and what Lambda's event becomes on the way there."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agentsocket.errors import NotFound, NoToken
from agentsocket.http_api import resolver
from agentsocket.http_api.routes import ROUTES
from agentsocket.inputs import HttpAnswer, HttpRequest
from agentsocket.protocol.messages import Pong
from tests.support.fakes import Scripted
from tests.support.http_client import ORIGIN, Client
from tests.support.world import World


class Recording:
    """Stands where the API stands: keeps what it was asked, and answers each time the same."""

    def __init__(self, answer=None):
        self.asked = []
        self._answer = answer or HttpAnswer(200, Pong())

    def document(self):
        return HttpAnswer(200, {"openapi": "3.1.0"})

    def answer(self, route, request):
        self.asked.append((route, request))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def event(method, path, **fields):
    context = {"http": {"method": method, "path": path}, "stage": "$default"}
    return {"version": "2.0", "rawPath": path, "headers": {}, "requestContext": context, **fields}


def resolved(api, *arguments, **fields):
    found: Any = resolver.resolver(api, origins={ORIGIN})
    return found.resolve(event(*arguments, **fields), None)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_request_reaches_its_route_with_the_fields_of_its_path(route):
    api, values = Recording(), {name: f"{name}-1" for name in route.parameters}
    assert resolved(api, route.method, route.path.format(**values))["statusCode"] == 200
    [(found, request)] = api.asked
    assert found is route
    assert request.parameters == values


def test_a_request_is_handed_on_whole():
    api = Recording()
    resolved(
        api,
        "PATCH",
        "/threads/t1",
        headers={"Authorization": "Bearer x", "X-UPPER": "Y"},
        queryStringParameters={"a": "1,2"},
        body='{"title": "Trips"}',
    )
    [(_, request)] = api.asked
    headers = {"authorization": "Bearer x", "x-upper": "Y"}
    assert request == HttpRequest({"thread_id": "t1"}, {"a": "1,2"}, headers, '{"title": "Trips"}')


def test_what_an_event_lacks_is_empty():
    api = Recording()
    resolved(api, "GET", "/threads", headers=None, queryStringParameters=None, body=None)
    [(_, request)] = api.asked
    assert request == HttpRequest()


def test_an_answer_takes_lambda_s_form():
    answer = resolved(Recording(HttpAnswer(201, {"a": "\u00e4"}, {"X-One": "1"})), "POST", "/threads")
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (201, '{"a":"\u00e4"}', False)
    assert answer["headers"] == {"Content-Type": "application/json", "X-One": "1"}


def test_an_answer_of_our_own_takes_the_same_form():
    """When the resolver has failed, it cannot be asked for it."""
    own, theirs = (
        resolver.answer(HttpAnswer(500, Pong())),
        resolved(Recording(HttpAnswer(500, Pong())), "GET", "/threads"),
    )
    assert own == {name: theirs[name] for name in own}


@pytest.mark.parametrize(("error", "status"), [(NoToken("none"), 401), (NotFound("no such thread"), 404)])
def test_a_refusal_is_an_answer(error, status):
    assert resolved(Recording(error), "GET", "/threads")["statusCode"] == status


def test_any_other_fault_is_handed_on_for_who_does_not_log_its_text():
    with pytest.raises(ZeroDivisionError):
        resolved(Recording(ZeroDivisionError("a secret")), "GET", "/threads")


# From here on before the API itself, through the Lambda handler.


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([]))


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


@pytest.mark.parametrize("path", ["/", "/thread", "/threads/", "/openapi-json", "/threads/a/b", "/Threads"])
def test_a_path_that_is_none(ask, path):
    status, body, _ = ask("GET", path, token="ada")
    assert (status, body["error"]["code"]) == (404, "not_found")


def test_a_method_that_is_not_there_names_those_that_are(ask):
    assert ask("DELETE", "/threads")[2]["Allow"] == "GET, POST"
    assert ask("POST", "/threads/t1")[2]["Allow"] == "DELETE, PATCH"


@pytest.mark.parametrize(("origin", "methods"), [(ORIGIN, "GET, POST"), ("https://evil.example", None)])
def test_a_preflight(ask, origin, methods):
    """L1."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    status, body, headers = ask("OPTIONS", "/threads", headers=asked)
    assert (status, body) == (204, None)
    assert headers.get("Access-Control-Allow-Methods") == methods
    assert headers["Vary"] == "Origin"


def test_a_preflight_allows_the_headers_that_commands_have(ask):
    """L1."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    _, _, headers = ask("OPTIONS", "/threads", headers=asked)
    assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Idempotency-Key"


def test_a_body_in_base64_is_a_body_and_other_bytes_are_none(ask):
    """API Gateway encodes bodies of most types."""
    encoded = base64.b64encode(b'{"title": "Trips"}').decode()
    assert ask("POST", "/threads", token="ada", body=encoded, base64=True)[1]["title"] == "Trips"
    for nonsense in (base64.b64encode(b"\xff\xfe").decode(), "%%%"):
        assert ask("POST", "/threads", token="ada", body=nonsense, base64=True)[0] == 400


def test_no_event_is_printed_where_somebody_has_switched_the_resolver_s_debug_mode_on(
    world, clock, capsys, monkeypatch
):
    """security.md, Logs: it would print every token."""
    monkeypatch.setenv("POWERTOOLS_DEV", "true")
    assert Client(world, clock)("GET", "/threads", token="ada")[0] == 200
    assert "Bearer" not in capsys.readouterr().out
