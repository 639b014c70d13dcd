"""The HTTP API through its Lambda handler: paths, tokens, pages, CORS on every answer."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from agentsocket.errors import Unavailable
from agentsocket.http_api.api import refusal
from tests.support.fakes import Scripted
from tests.support.http_client import Client
from tests.support.world import World


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([]))


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


def talk(world, who, clock, count):
    """So many threads, one a second; their ids, newest first."""
    world.open(who, "c1")
    ids: list[str] = []
    for number in range(count):
        clock.advance(1)
        ids.insert(0, world.send(who, "c1", f"thread {number}", message_id=f"m{number}")["thread_id"])
    return ids


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
    storage.for_user(ada).revocations.revoke(session="", not_before=int(clock()))
    assert ask("GET", "/threads", token="ada")[0] == 401
    ask.tokens["later"] = replace(ada, issued_at=int(clock()) + 1)
    assert ask("GET", "/threads", token="later")[0] == 200


def test_what_must_be_checked_live_and_cannot_be_is_unavailable(ask):
    assert ask("GET", "/threads", token="outage")[0] == 503


def test_why_something_is_not_available_is_for_the_log(caplog):
    answer = refusal(Unavailable("the database is not available; retry", cause="DynamoDB: ThrottlingException"))
    body: Any = answer.body
    assert (answer.status, body.error.message) == (503, "the database is not available; retry")
    [line] = caplog.records
    reason = "the database is not available; retry (DynamoDB: ThrottlingException)"
    assert (line.message, vars(line)["reason"]) == ("dependency_unavailable", reason)


def test_half_of_a_surrogate_pair_is_refused(ask):
    """G3: it could not be written anywhere."""
    assert ask("GET", "/threads", token="ada", query={"cursor": "\ud800"})[0] == 400
    assert ask("GET", "/threads", token="ada", query={"\ud800": "x"})[0] == 400


def test_a_query_that_no_command_knows_is_refused(ask):
    status, body, _ = ask("GET", "/threads", token="ada", query={"page": "2"})
    assert (status, body["error"]["field"]) == (400, "page")
