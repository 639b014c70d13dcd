"""Areas H, E6 and L over real HTTP, beside sockets: one and the same threads, one quota, one object of health."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import pytest

from agentsocket.http_api import routes
from agentsocket.limits import Limits
from agentsocket.storage import keys
from tests.integration.conftest import ORIGIN
from tests.integration.deployment import Deployment
from tests.integration.function_code import restart
from tests.integration.http_request import Answer, ask
from tests.support.http_client import DOCUMENT, validate
from tests.support.waiting import TIME_FACTOR

EMPTY_S = int(3 * TIME_FACTOR)  # how long a bucket has nothing for anybody


def call(deployment: Deployment, token: str | None, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Ask the HTTP API; what it answers is in its document."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent["Content-Type"] = "application/json"
    content = None if body is None else json.dumps(body).encode()
    answer = ask(f"{deployment.http}{path}", method, token=token, body=content, headers=sent)
    validate(method, path.partition("?")[0], answer.status, answer.json())
    return answer


def of_type(frames, kind):
    return [frame["payload"] for frame in frames if frame["type"] == kind]


async def test_sockets_hear_of_what_happens_over_http_and_http_reads_what_sockets_say(deployment):
    """H1, H2, H4, H5, H6: create, talk, page, rename, delete, each from the other side."""
    token = deployment.token("hedda")
    async with (
        deployment.live("hedda") as socket,
        deployment.live("hedda") as other,
        deployment.live("hugo") as stranger,
    ):
        body = {"title": "Trips", "metadata": {"colour": "red"}}
        created = call(deployment, token, "POST", "/threads", body, Idempotency_Key="k1")
        again = call(deployment, token, "POST", "/threads", body, Idempotency_Key="k1")
        assert (created.status, again.status, again.json()) == (201, 201, created.json())
        thread = created.json()["thread_id"]
        for question in ("one", "two"):
            await socket.run(question, thread_id=thread, message_id=f"m-{question}")
        first = call(deployment, token, "GET", f"/threads/{thread}/messages?limit=3").json()
        rest = call(deployment, token, "GET", f"/threads/{thread}/messages?limit=3&cursor={first['cursor']}").json()
        over_socket = (await socket.ask("get_thread_history", thread_id=thread))["payload"]["messages"]
        assert first["messages"] + rest["messages"] == over_socket
        assert [message["content"] for message in over_socket if message["role"] == "user"] == ["two", "one"]
        text = call(deployment, token, "GET", f"/threads/{thread}/content/m-one?offset=1").json()
        assert (text["content"], text["offset"]) == ("ne", 1)
        renamed = call(deployment, token, "PATCH", f"/threads/{thread}", {"title": "Journeys"})
        listed = (await socket.ask("list_threads"))["payload"]["threads"]
        assert listed == call(deployment, token, "GET", "/threads").json()["threads"]
        assert (listed[0]["title"], listed[0]["metadata"]) == ("Journeys", {"colour": "red"})
        deleted = call(deployment, token, "DELETE", f"/threads/{thread}")
        for path in ("messages", "content/m-one"):
            assert call(deployment, token, "GET", f"/threads/{thread}/{path}").status == 404
        refused = await other.ask("get_thread_history", thread_id=thread)
        assert refused["payload"]["code"] == "not_found"
        own, others, strangers = await socket.news(), await other.news(), await stranger.news()
    for heard in (own, others):
        assert of_type(heard, "thread_created") == [created.json()]
        assert of_type(heard, "thread_renamed") == [renamed.json()]
        assert of_type(heard, "thread_deleted") == [deleted.json()]
    assert not of_type(strangers, "thread_created")


def test_another_user_s_thread_is_not_found_over_http(deployment):
    """E6, H7: the same answer as for one that never was, and nothing changes."""
    hers, his = deployment.token("hedy"), deployment.token("eve")
    thread = call(deployment, hers, "POST", "/threads", {"title": "mine"}).json()["thread_id"]
    before = call(deployment, hers, "GET", "/threads").json()
    for method, path, body in [
        ("PATCH", "", {"title": "stolen"}),
        ("DELETE", "", None),
        ("GET", "/messages", None),
        ("GET", "/content/m1", None),
    ]:
        foreign = call(deployment, his, method, f"/threads/{thread}{path}", body)
        absent = call(deployment, his, method, f"/threads/nowhere{path}", body)
        assert (foreign.status, foreign.json()) == (404, absent.json())
    assert call(deployment, hers, "GET", "/threads").json() == before
    assert call(deployment, his, "GET", "/threads").json() == {"threads": []}


async def test_a_thread_is_deleted_over_http_while_its_run_is_under_way(deployment):
    """H5."""
    token = deployment.token("hera")
    async with deployment.live("hera") as socket:
        accepted = await socket.ask("user_message", content="time,model\n" * 200, message_id=uuid4().hex)
        thread = accepted["payload"]["thread_id"]
        assert call(deployment, token, "DELETE", f"/threads/{thread}").status == 200
        assert call(deployment, token, "GET", f"/threads/{thread}/messages").status == 404
        assert call(deployment, token, "GET", "/threads").json() == {"threads": []}
        [deleted] = of_type(await socket.news(), "thread_deleted")
        assert deleted == {"thread_id": thread}


async def test_sockets_and_http_spend_from_one_bucket(deployment):
    """J4's rule for HTTP: the answer says when to come again."""
    token, limits = deployment.token("hank"), Limits()
    room_ms = limits.command_burst * 1000 // limits.commands_per_s
    async with deployment.live("hank") as socket:
        deployment.aws("dynamodb").update_item(
            TableName=deployment.facts["outputs"]["TableName"],
            Key={name: {"S": text} for name, text in keys.quota(deployment.user_id("hank")).items()},
            UpdateExpression="SET commands_full_at = :later",
            ExpressionAttributeValues={":later": {"N": str(int(time.time() * 1000) + room_ms + EMPTY_S * 1000)}},
        )
        refused = call(deployment, token, "GET", "/threads")
        assert (refused.status, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert (await socket.ask("list_threads"))["payload"]["code"] == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= EMPTY_S + 1
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert call(deployment, token, "GET", "/threads").status == 200


async def test_health_is_one_object_over_both_channels(deployment):
    """L2: no token, every dependency with its latency, nothing else."""
    over_http = call(deployment, None, "GET", "/health").json()
    async with deployment.live("helen") as socket:
        over_socket = (await socket.ask("get_health"))["payload"]
    for found in (over_http, over_socket):
        assert found["status"] == "ok"
        assert found["dependencies"].keys() == {"table", "contexts"}
        for dependency in found["dependencies"].values():
            assert (dependency.keys(), dependency["status"]) == ({"status", "latency_ms"}, "ok")


@pytest.mark.parametrize("function", ["http", "message"])
async def test_a_cold_function_answers_health_at_once_whatever_started_before_it(deployment, function):
    """L3: neither waits for the other, or for anything that a first command would have made."""
    restart(deployment, function)
    began = time.monotonic()
    assert call(deployment, None, "GET", "/health").json()["status"] == "ok"
    async with deployment.live("hester") as socket:
        assert (await socket.ask("get_health"))["payload"]["status"] == "ok"
    assert time.monotonic() - began < 20 * TIME_FACTOR


def test_the_document_is_served_and_says_what_is_served(deployment):
    """The deployed one is the published one; every path and method that it names is there."""
    served = call(deployment, None, "GET", "/openapi.json")
    assert served.json() == DOCUMENT
    for path, methods in routes.methods().items():
        target = path.replace("{thread_id}", "t").replace("{message_id}", "m")
        for method in methods:
            answer = call(deployment, None, method, target)
            assert answer.status == (200 if path in ("/health", "/openapi.json") else 401)
        asking = {"Origin": ORIGIN, "Access-Control-Request-Method": methods[0]}
        preflight = ask(f"{deployment.http}{target}", "OPTIONS", headers=asking)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-methods"].split(", ") == sorted(methods)
        assert "idempotency-key" in preflight.headers["access-control-allow-headers"].lower()
