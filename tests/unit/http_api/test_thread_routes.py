"""The commands about threads over HTTP: the same steps as over a socket, out of the same quota."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentsocket.agents.contract import Report, Text
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.http_client import Client
from tests.support.world import World

LIMITS = Limits()
NOBODYS = "01K0000000000000000000000Z"


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("An answer."), Report()]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


async def answered(world, ada, content="a question", **payload):
    """A message and its run, in a thread; its acceptance."""
    accepted = world.send(ada, "a1", content, **{"message_id": "m1"} | payload)
    await world.work()
    return accepted


def heard(world, kind):
    """Who was told of such news, and what."""
    return {
        name: [frame["payload"] for frame in frames if frame["type"] == kind]
        for name, frames in world.sockets.posted.items()
        if kind in {frame["type"] for frame in frames}
    }


def key(name):
    return {"Idempotency-Key": name}


def test_a_thread_is_created_and_each_of_the_user_s_sockets_hears_it_once(ask, world, ada, bob):
    """H1."""
    world.connect(ada, "a2")
    world.open(ada, "a3")
    world.connect(bob, "b1")
    status, created, _ = ask("POST", "/threads", token="ada", body={"title": "Trips", "metadata": {"colour": "red"}})
    assert (status, created["title"], created["metadata"]) == (201, "Trips", {"colour": "red"})
    assert heard(world, "thread_created") == {"a1": [created], "a2": [created]}
    assert ask("GET", "/threads", token="ada")[1] == {"threads": [created]}
    assert world.say(ada, "a1", "list_threads") == [{"threads": [created]}]


def test_the_same_idempotency_key_is_the_same_thread_and_news_once(ask, world):
    """H1, H3: a lost answer makes no second thread."""
    first = ask("POST", "/threads", token="ada", body={"title": "Trips"}, headers=key("k1"))
    again = ask("POST", "/threads", token="ada", body={"title": "Trips"}, headers=key("k1"))
    assert first[:2] == again[:2]
    assert ask("POST", "/threads", token="ada", headers=key("k2"))[1]["thread_id"] != first[1]["thread_id"]
    assert ask("POST", "/threads", token="bob", headers=key("k1"))[1]["thread_id"] != first[1]["thread_id"]
    assert len(heard(world, "thread_created")["a1"]) == 2


def test_the_same_idempotency_key_for_another_thread_is_refused(ask):
    ask("POST", "/threads", token="ada", headers=key("k"), body={"title": "one"})
    status, answer, _ = ask("POST", "/threads", token="ada", headers=key("k"), body={"title": "another"})
    assert (status, answer["error"]["code"]) == (409, "idempotency_conflict")
    assert answer["error"]["field"] == "Idempotency-Key"


def test_a_quoted_key_is_the_same_key(ask):
    """As the header's draft standard writes it."""
    first = ask("POST", "/threads", token="ada", headers=key("k"))
    assert ask("POST", "/threads", token="ada", headers=key('"k"'))[:2] == first[:2]


def test_fields_of_a_body_are_not_taken_from_the_query(ask):
    status, answer, _ = ask("POST", "/threads", token="ada", query={"title": "x"}, body={})
    assert (status, answer["error"]["field"]) == (400, "title")


def test_without_a_key_each_request_makes_a_thread_of_its_own(ask):
    """H3."""
    made = {ask("POST", "/threads", token="ada")[1]["thread_id"] for _ in range(4)}
    assert len(made) == 4


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a.b", "ä", "a\n"])
def test_a_key_that_is_no_command_id_is_named(ask, given):
    status, body, _ = ask("POST", "/threads", token="ada", headers=key(given))
    assert (status, body["error"]["field"]) == (400, "Idempotency-Key")


async def test_history_comes_in_pages_that_new_messages_do_not_shift(ask, world, ada):
    """H6, H2."""
    thread = world.say(ada, "a1", "create_thread")[0]["thread_id"]
    for number in range(3):
        await answered(world, ada, f"question {number}", message_id=f"m{number}", thread_id=thread)
    found: list[dict[str, Any]] = []
    query = {"limit": "2"}
    for _ in range(4):
        status, page, _ = ask("GET", f"/threads/{thread}/messages", token="ada", query=query)
        assert status == 200
        found += page["messages"]
        if "cursor" not in page:
            break
        query = {"limit": "2", "cursor": page["cursor"]}
        if len(found) == 2:
            await answered(world, ada, "meanwhile", message_id="later", thread_id=thread)
    assert [message["content"] for message in found if message["role"] == "user"] == [
        "question 2",
        "question 1",
        "question 0",
    ]
    assert len({message["seq"] for message in found}) == 6
    assert world.say(ada, "a1", "get_thread_history", thread_id=thread, limit=2, cursor=query["cursor"]) == [page]


async def test_a_long_text_is_read_page_by_page(ask, world, ada):
    """J6."""
    long = "0123456789" * 6000
    thread = (await answered(world, ada, long))["thread_id"]
    text, query = "", dict[str, str]()
    while True:
        status, page, _ = ask("GET", f"/threads/{thread}/content/m1", token="ada", query=query)
        assert status == 200
        text += page["content"]
        if "next_offset" not in page:
            break
        query = {"offset": str(page["next_offset"])}
    assert text == long


def test_a_thread_is_renamed_and_keeps_its_metadata(ask, world):
    """H4."""
    made = ask("POST", "/threads", token="ada", body={"title": "old", "metadata": {"n": 1}})[1]
    status, renamed, _ = ask("PATCH", f"/threads/{made['thread_id']}", token="ada", body={"title": "new"})
    assert (status, renamed) == (200, {"thread_id": made["thread_id"], "title": "new"})
    assert heard(world, "thread_renamed") == {"a1": [renamed]}
    assert ask("GET", "/threads", token="ada")[1]["threads"] == [made | {"title": "new"}]


async def test_a_deleted_thread_is_gone_and_its_rows_are_swept(ask, world, ada):
    """H5: queued for the sweep, hidden at once, told once."""
    thread = (await answered(world, ada))["thread_id"]
    status, deleted, _ = ask("DELETE", f"/threads/{thread}", token="ada")
    assert (status, deleted) == (200, {"thread_id": thread})
    assert heard(world, "thread_deleted") == {"a1": [deleted]}
    assert ask("GET", f"/threads/{thread}/messages", token="ada")[0] == 404
    assert ask("GET", "/threads", token="ada")[1] == {"threads": []}
    await world.work()
    assert world.storage.for_user(ada).log(thread).messages(up_to=99, limit=9) == []


def test_a_deletion_is_repeated_under_its_key_and_not_found_under_another(ask):
    """H5."""
    thread = ask("POST", "/threads", token="ada", headers=key("k"))[1]["thread_id"]
    first = ask("DELETE", f"/threads/{thread}", token="ada", headers=key("d"))
    assert ask("DELETE", f"/threads/{thread}", token="ada", headers=key("d"))[:2] == first[:2]
    assert ask("DELETE", f"/threads/{thread}", token="ada")[0] == 404
    assert ask("POST", "/threads", token="ada", headers=key("k"))[0] == 404


OTHERS = [
    ("PATCH", "", {"title": "mine"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("GET", "/content/m1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OTHERS)
async def test_another_user_s_thread_is_not_found_as_one_that_never_was(ask, world, ada, method, path, body):
    """E6: and nothing changes."""
    thread = (await answered(world, ada))["thread_id"]
    before = ask("GET", "/threads", token="ada")[1]
    foreign = ask(method, f"/threads/{thread}{path}", token="bob", body=body)
    none = ask(method, f"/threads/{NOBODYS}{path}", token="bob", body=body)
    assert foreign[0] == 404
    assert foreign[:2] == none[:2]
    assert ask("GET", "/threads", token="ada")[1] == before
    assert world.queue.waiting == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 201}, "title"),
        ({"title": 1}, "title"),
        ({"metadata": []}, "metadata"),
        ({"name": "x"}, "name"),
        ("[]", None),
        ("{", None),
        ("null", None),
        ('{"title": "\\ud800"}', None),
        ('{"title": "a", "title": "b"}', None),
        ("[" * 50, None),
    ],
)
def test_a_body_that_is_wrong_is_refused_and_the_field_named(ask, body, field):
    """G3, G4."""
    status, answer, _ = ask("POST", "/threads", token="ada", body=body)
    assert (status, answer["error"]["code"], answer["error"].get("field")) == (400, "bad_request", field)
    assert ask("GET", "/threads", token="ada")[1] == {"threads": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"metadata": {"x": "y" * 2048}}, "metadata"), (json.dumps({"title": "x" * 200_000}), None)],
)
def test_a_body_that_is_too_large_is_refused(ask, body, field):
    status, answer, _ = ask("POST", "/threads", token="ada", body=body)
    assert (status, answer["error"]["code"], answer["error"].get("field")) == (413, "too_large", field)


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [("GET", {"thread_id": NOBODYS}, None), ("PATCH", None, {"thread_id": NOBODYS, "title": "x"})],
)
def test_what_stands_in_the_path_is_not_said_twice(ask, method, query, body):
    """E6: which of two would be meant?"""
    thread = ask("POST", "/threads", token="ada")[1]["thread_id"]
    path = f"/threads/{thread}" if method == "PATCH" else f"/threads/{thread}/messages"
    status, answer, _ = ask(method, path, token="ada", query=query, body=body)
    assert (status, answer["error"]["field"]) == (400, "thread_id")


@pytest.mark.parametrize("thread", ["a b", "x" * 65, "a#b", "%2e%2e", "a*"])
def test_a_name_that_is_none_is_refused(ask, thread):
    status, answer, _ = ask("GET", f"/threads/{thread}/messages", token="ada")
    assert (status, answer["error"].get("field")) in ((400, "thread_id"), (404, None))


def test_http_commands_spend_from_the_user_s_bucket(ask, world, ada, adas, clock):
    """security.md: one bucket for sockets and HTTP; the answer says when to come again."""
    adas.quotas.spend(LIMITS.command_burst - 1)  # the hello was one
    status, body, headers = ask("GET", "/threads", token="ada")
    assert (status, body["error"]["code"], body["error"]["temporary"]) == (429, "rate_limited", True)
    wait_ms = body["error"]["retry_after_ms"]
    assert int(headers["Retry-After"]) * 1000 >= wait_ms > 0
    assert ask("GET", "/threads", token="bob")[0] == 200
    clock.advance(wait_ms / 1000)
    assert ask("GET", "/threads", token="ada")[0] == 200
    assert ask("GET", "/health")[0] == 200


def test_a_token_that_is_not_in_force_changes_nothing(ask, adas, clock):
    """C3."""
    adas.revocations.revoke(session="", not_before=int(clock()))
    assert ask("POST", "/threads", token="ada")[0] == 401
    assert adas.threads.page(limit=9) == ([], "")
