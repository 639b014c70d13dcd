"""Which field an error names, over a socket and over HTTP: storage names it, each channel says where it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from agentsocket.aws.management_api import ManagementApi
from agentsocket.handlers import responses
from agentsocket.inputs import SocketRequest
from agentsocket.protocol import frames
from tests.support import schema_check
from tests.support.fakes import Scripted
from tests.support.http_client import Client
from tests.support.size_budget import ROOT
from tests.support.world import World

THREAD = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
def send(world, ada, clock) -> Callable[[str, dict[str, Any]], list[dict[str, Any]]]:
    """A command over the socket; the frames that reply to it."""

    def sent(kind: str, payload: dict[str, Any], command_id: str = "c1") -> list[dict[str, Any]]:
        request = SocketRequest(ada, "a1", json.dumps({"type": kind, "id": command_id, "payload": payload}))
        before = len(world.sockets.posted["a1"])
        raw = responses.respond(world.receive, request, cast(ManagementApi, world.sockets), now=clock)
        posted = world.sockets.posted["a1"][before:]
        return [*posted, *([schema_check.read(raw)] if raw else [])]

    return sent


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


# As a client of the first release has seen them: a command, and the field of the error that refuses it.
OVER_A_SOCKET: dict[str, tuple[str, dict[str, Any], str]] = {
    "no thread to rename": ("rename_thread", {"thread_id": THREAD, "title": "x"}, "payload.thread_id"),
    "no thread to delete": ("delete_thread", {"thread_id": THREAD}, "payload.thread_id"),
    "no thread to follow": ("subscribe", {"thread_id": THREAD}, "payload.thread_id"),
    "no thread to switch to": ("switch_thread", {"thread_id": THREAD}, "payload.thread_id"),
    "no thread to read": ("get_thread_history", {"thread_id": THREAD}, "payload.thread_id"),
    "no thread to write to": (
        "user_message",
        {"message_id": "m", "content": "x", "thread_id": THREAD},
        "payload.thread_id",
    ),
    "no run": ("stop_agent", {"run_id": THREAD}, "payload.run_id"),
    "a run named twice": ("stop_agent", {"run_id": THREAD, "message_id": "m"}, "payload.run_id"),
    "an invalid cursor of threads": ("list_threads", {"cursor": "x"}, "payload.cursor"),
    "a part alone": ("user_message", {"message_id": "m", "content": "x", "part": 1}, "payload.parts"),
    "a part too large": (
        "user_message",
        {"message_id": "m", "content": "x" * 40_000, "part": 1, "parts": 2},
        "payload.content",
    ),
    "no such agent": ("user_message", {"message_id": "m", "content": "x", "agent": "poet"}, "payload.agent"),
    "a bad token": ("refresh_token", {"token": "unknown"}, "payload.token"),
    "another version of a context": (
        "update_context",
        {"name": "user.color", "patch": {}, "version": 5},
        "payload.version",
    ),
    "a large context": (
        "user_message",
        {"message_id": "m", "content": "x", "context": {"k": "v" * 9000}},
        "payload.context",
    ),
    "a field of that name": ("list_threads", {"command_id": "x"}, "payload.command_id"),
    "no object": ("ping", cast(Any, []), "payload"),
}


@pytest.mark.parametrize(("kind", "payload", "field"), OVER_A_SOCKET.values(), ids=OVER_A_SOCKET)
def test_an_error_over_a_socket_names_the_field_within_the_frame(send, kind, payload, field):
    [error] = send(kind, payload)
    assert (error["type"], error["payload"].get("field")) == ("error", field)


def test_an_id_used_for_another_thread_is_the_frame_s_and_the_request_s(send, ask):
    assert send("create_thread", {"title": "one"}, command_id="same")[-1]["type"] == "thread_created"
    assert send("create_thread", {"title": "two"}, command_id="same")[-1]["payload"]["field"] == "id"
    headers = {"Idempotency-Key": "same"}
    status, body, _ = ask("POST", "/threads", token="ada", body={"title": "three"}, headers=headers)
    assert (status, body["error"]["field"]) == (409, "Idempotency-Key")


def test_a_message_and_its_text_are_named_within_the_frame(send):
    [accepted] = send("user_message", {"message_id": "m", "content": "x"})
    [error] = send("user_message", {"message_id": "m", "content": "another"})
    assert error["payload"]["field"] == "payload.message_id"
    thread_id = accepted["payload"]["thread_id"]
    [error] = send("get_content", {"thread_id": thread_id, "message_id": "nothing"})
    assert error["payload"]["field"] == "payload.message_id"
    [error] = send("get_thread_history", {"thread_id": thread_id, "cursor": "x"})
    assert error["payload"]["field"] == "payload.cursor"


def test_a_thread_that_cannot_be_resumed_is_named_by_its_place(send):
    point = {"thread_id": THREAD, "epoch": "1.x", "seq": 0}
    found = send("hello", {"protocol": 1, "resume": [point, point]})
    fields = [frame["payload"]["field"] for frame in found if frame["type"] == "error"]
    assert fields == ["payload.resume[0].thread_id", "payload.resume[1].thread_id"]


OVER_HTTP: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "no thread": ("PATCH", f"/threads/{THREAD}", {"body": {"title": "x"}}, "thread_id"),
    "no thread to delete": ("DELETE", f"/threads/{THREAD}", {}, "thread_id"),
    "no thread to read": ("GET", f"/threads/{THREAD}/messages", {}, "thread_id"),
    "no thread with a text": ("GET", f"/threads/{THREAD}/content/m", {}, "thread_id"),
    "an invalid cursor": ("GET", "/threads", {"query": {"cursor": "x"}}, "cursor"),
    "a large metadata": ("POST", "/threads", {"body": {"title": "x", "metadata": {"k": "v" * 3000}}}, "metadata"),
    "a field of that name": ("POST", "/threads", {"body": {"title": "x", "command_id": "y"}}, "command_id"),
    "a field named id": ("POST", "/threads", {"body": {"title": "x", "id": "y"}}, "id"),
}


@pytest.mark.parametrize(("method", "path", "given", "field"), OVER_HTTP.values(), ids=OVER_HTTP)
def test_an_error_over_http_names_the_field_of_the_request(ask, method, path, given, field):
    assert ask(method, path, token="ada", **given)[1]["error"]["field"] == field


def test_storage_and_contexts_know_no_wire():
    found = [path for folder in ("storage", "contexts") for path in ROOT.glob(f"layers/*/python/*/{folder}/*.py")]
    assert len(found) > 20
    assert [path.name for path in found if "payload." in path.read_text()] == []


def test_a_field_gets_its_prefix_in_one_place():
    """Of the agents' package; what it says of a payload itself is the frame's."""
    package = ROOT / "layers" / "agentsocket" / "python" / "agentsocket"
    naming = {path.name for path in package.rglob("*.py") if 'f"payload.' in path.read_text()}
    assert naming == {frames.__name__.rpartition(".")[2] + ".py"}
    assert {path.name for path in package.rglob("*.py") if '"payload.' in path.read_text()} == naming
