"""The HTTP API through its Lambda handler: paths, tokens, pages, CORS on every answer."""

from __future__ import annotations

import json
from dataclasses import replace

import boto3
import pytest
from botocore.config import Config

from agentsocket import edge
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.httpapi import Api
from agentsocket.limits import Limits
from agentsocket.storage import Storage
from agentsocket.table import Table
from tests.conftest import principal_of
from tests.fakes import Scripted
from tests.world import World

ORIGIN = "https://app.example.com"
LIMITS = Limits()


class Client:
    """Asks the handler as API Gateway does. A token is its user's name; some names are trouble."""

    def __init__(self, storage, clock):
        self.storage = storage
        self.clock = clock
        api = Api(storage=storage, verify=self.verify, limits=LIMITS, now=clock)
        self.handler = edge.http(api, origins={ORIGIN})
        self.tokens = {name: principal_of(name, clock) for name in ("ada", "bob")}

    def verify(self, token):
        if token == "outage":
            raise Unavailable("the auth service does not answer")
        if token == "bug":
            raise ZeroDivisionError("a secret")
        if token not in self.tokens:
            raise TokenRejected("unknown")
        return self.tokens[token]

    def __call__(self, method, path, *, token=None, query=None, headers=None):
        given = {"Authorization": f"Bearer {token}"} if token is not None else {}
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {**given, **(headers or {})},
            "queryStringParameters": query,
            "requestContext": {"http": {"method": method, "path": path}},
            "isBase64Encoded": False,
        }
        answer = self.handler(event, None)
        body = json.loads(answer["body"]) if "body" in answer else None
        return answer["statusCode"], body, answer["headers"]


@pytest.fixture
def ask(storage, clock):
    return Client(storage, clock)


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([]))


def talk(world, who, clock, count):
    """So many threads, one a second; their ids, newest first."""
    world.open(who, "c1")
    ids: list[str] = []
    for number in range(count):
        clock.advance(1)
        ids.insert(0, world.send(who, "c1", f"thread {number}", message_id=f"m{number}")["thread_id"])
    return ids


def test_health_needs_no_token_and_looks_at_the_table(ask):
    status, body, headers = ask("GET", "/health")
    assert (status, body["status"], body["dependencies"]["table"]["status"]) == (200, "ok", "ok")
    assert headers["Content-Type"] == "application/json"


def test_health_says_when_the_table_is_away(clock):
    nowhere = boto3.client(
        "dynamodb", endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1})
    )
    ask = Client(Storage(Table(nowhere, "agentsocket", now=clock), limits=LIMITS), clock)
    status, body, _ = ask("GET", "/health")
    assert (status, body["status"]) == (503, "down")


def test_threads_come_newest_first(ask, world, ada, clock):
    ids = talk(world, ada, clock, 3)
    status, body, _ = ask("GET", "/threads", token="ada")
    assert status == 200
    assert [thread["thread_id"] for thread in body["threads"]] == ids
    assert body["threads"][0]["title"] == "thread 2"
    assert "cursor" not in body


def test_threads_come_in_pages_without_gap_or_overlap(ask, world, ada, clock):
    ids = talk(world, ada, clock, 5)
    found, query = [], {"limit": "2"}
    for _ in range(4):
        _, body, _ = ask("GET", "/threads", token="ada", query=query)
        found += [thread["thread_id"] for thread in body["threads"]]
        if "cursor" not in body:
            break
        query = {"limit": "2", "cursor": body["cursor"]}
    assert found == ids


def test_nobody_sees_another_user_s_threads(ask, world, ada, clock):
    """E6: not even by another user's page mark."""
    talk(world, ada, clock, 3)
    _, adas, _ = ask("GET", "/threads", token="ada", query={"limit": "1"})
    assert ask("GET", "/threads", token="bob")[1] == {"threads": []}
    assert ask("GET", "/threads", token="bob", query={"cursor": adas["cursor"]})[1] == {"threads": []}


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"limit": "-1"},
        {"limit": "\uff11"},
        {"limit": ""},
        {"limit": "000199999"},
        {"limit": "0" * 5000 + "1"},
    ],
)
def test_a_wrong_limit_is_named(ask, query):
    status, body, _ = ask("GET", "/threads", token="ada", query=query)
    assert (status, body["error"]["code"], body["error"]["field"]) == (400, "bad_request", "limit")


@pytest.mark.parametrize("cursor", ["x", "1", "1.", ".t", "1.a#b", "x.t", "9" * 400 + ".t", "1.t\x00"])
def test_a_wrong_page_mark_is_named(ask, cursor):
    status, body, _ = ask("GET", "/threads", token="ada", query={"cursor": cursor})
    assert (status, body.get("error", {}).get("field")) in ((400, "cursor"), (200, None))


@pytest.mark.parametrize(
    ("token", "headers", "challenge"),
    [
        (None, {}, "Bearer"),
        (None, {"Authorization": "Basic YTpi"}, "Bearer"),
        ("nonsense", {}, 'Bearer error="invalid_token"'),
        ("", {}, 'Bearer error="invalid_token"'),
    ],
)
def test_without_a_good_token_there_are_no_threads(ask, token, headers, challenge):
    status, body, answered = ask("GET", "/threads", token=token, headers=headers)
    assert (status, body["error"]["code"], answered["WWW-Authenticate"]) == (401, "unauthorized", challenge)


def test_a_revoked_token_is_refused(ask, storage, ada, clock):
    """A5, C3."""
    assert ask("GET", "/threads", token="ada")[0] == 200
    storage.for_user(ada).connections.revoke(session="", not_before=int(clock()))
    assert ask("GET", "/threads", token="ada")[0] == 401
    ask.tokens["later"] = replace(ada, issued_at=int(clock()) + 1)
    assert ask("GET", "/threads", token="later")[0] == 200


def test_what_must_be_checked_live_and_cannot_be_is_unavailable(ask):
    assert ask("GET", "/threads", token="outage")[0] == 503


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://evil.example"])
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/threads", "ada", 200),
        ("GET", "/threads", None, 401),
        ("GET", "/nothing", None, 404),
        ("POST", "/threads", "ada", 405),
        ("OPTIONS", "/threads", None, 405),
        ("GET", "/threads", "bug", 500),
        ("GET", "/threads", "outage", 503),
    ],
)
def test_every_answer_says_who_may_read_it(ask, method, path, token, status, origin):
    """L1: also 404, 405 and 500; a refused origin is never echoed, and caches are told."""
    answered, body, headers = ask(method, path, token=token, headers={"Origin": origin} if origin else {})
    assert (answered, headers["Vary"]) == (status, "Origin")
    assert headers.get("Access-Control-Allow-Origin") == (ORIGIN if origin == ORIGIN else None)
    assert headers.get("Access-Control-Allow-Credentials") == ("true" if origin == ORIGIN else None)
    assert "evil" not in json.dumps([body, headers])
    assert "secret" not in json.dumps(body)


def test_a_method_that_is_not_there_names_those_that_are(ask):
    assert ask("DELETE", "/threads")[2]["Allow"] == "GET"


@pytest.mark.parametrize(("origin", "methods"), [(ORIGIN, "GET"), ("https://evil.example", None)])
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
