"""Every command with every field missing, of a wrong type, too long and too large: what a client reads then.

Over a socket and over HTTP. Which faults there are is made from the shapes (`wrong_commands.py`), and each text is held
against one rule (`text_rules.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import msgspec
import pytest

from agentsocket.aws.management_api import ManagementApi
from agentsocket.handlers import responses
from agentsocket.http_api.routes import HEALTH, ROUTES, Route
from agentsocket.inputs import SocketRequest
from agentsocket.limits import Limits
from agentsocket.protocol import messages as protocol
from tests.support import schema_check, text_rules, wrong_commands
from tests.support.fakes import Scripted
from tests.support.http_client import Client
from tests.support.world import World
from tests.support.wrong_commands import Wrong

MANY = 10**9
LIMITS = Limits(commands_per_s=MANY, command_burst=MANY, runs_per_day=MANY)
KIND_OF = {shape: kind for kind, shape in protocol.COMMANDS.items()}
Error = dict[str, Any]


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    return world


@pytest.fixture
def said(world, ada, clock):
    """What a client reads when it sends a text, or a command: the payload of the `error`."""

    def send(frame: Any) -> Error:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        raw = responses.respond(
            world.receive, SocketRequest(ada, "a1", body), cast(ManagementApi, world.sockets), now=clock
        )
        sent = schema_check.read(raw or b"{}")
        assert sent["type"] == "error", sent
        return cast(Error, sent["payload"])

    return send


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


def held(error: Error, wrong: Wrong, field: str) -> list[str]:
    """What a reply has against it."""
    text = error["message"]
    found = text_rules.faults(text)
    if (error["code"], error.get("field")) != (wrong.code, field):
        found.append(f"blames {error.get('field')} by {error['code']}")
    found += [f"does not say {words}" for words in (text_rules.bare(field), *wrong.states) if words not in text]
    return [f"{wrong.fault} {field}: {text!r} {fault}" for fault in found]


@pytest.mark.parametrize("kind", sorted(protocol.COMMANDS))
def test_every_fault_of_every_field_is_said_in_words_over_a_socket(said, kind):
    """G4."""
    found = []
    for wrong in wrong_commands.every(kind):
        error = said({"type": kind, "id": "c1", "payload": wrong.payload})
        found += held(error, wrong, f"payload.{wrong.field}")
    assert found == []


def requests(route: Route) -> Iterator[tuple[Wrong, str, dict[str, Any]]]:
    """The faults that a request can have: its path, and its query or body."""
    for wrong in wrong_commands.every(KIND_OF[route.command]):
        fields = dict(wrong.payload)
        path = route.path
        for name in route.parameters:
            path = path.replace(f"{{{name}}}", quote(str(fields.pop(name, "")), safe=" "))
        sendable = route.has_body or all(type(value) in (str, int, float) for value in fields.values())
        if "//" in path or path.endswith("/") or not sendable:
            continue
        written = fields if route.has_body else {name: str(value) for name, value in fields.items()}
        whole = {**written, **{name: wrong.payload[name] for name in route.parameters}}
        if wrong.code == "too_large" or not may_be(whole, route):
            yield wrong, path, written


def may_be(fields: dict[str, Any], route: Route) -> bool:
    """Whether these fields are a command, as HTTP writes them."""
    texts = {name: str(value) if name in route.parameters else value for name, value in fields.items()}
    try:
        msgspec.convert(texts, route.command, strict=route.has_body)
    except msgspec.ValidationError:
        return False
    return True


OVER_HTTP = [route for route in ROUTES if route is not HEALTH]


@pytest.mark.parametrize("route", OVER_HTTP, ids=lambda route: f"{route.method} {route.path}")
def test_every_fault_of_every_field_is_said_in_words_over_http(ask, route):
    """L1: the same texts, and the field without the frame around it."""
    found, count = [], 0
    for wrong, path, fields in requests(route):
        given = {"body": fields} if route.has_body else {"query": fields}
        status, body, _ = ask(route.method, path, token="ada", **given)
        assert status in (400, 413), (path, body)
        found += held(body["error"], wrong, wrong.field)
        count += 1
    assert found == []
    assert count > 3


FRAMES: dict[str, tuple[Any, str | None, str]] = {
    # What is sent; the field; and the text to the letter (house.md, section 4).
    "an id with blanks": (
        {"type": "user_message", "payload": {"content": "x", "message_id": "a b"}},
        "payload.message_id",
        "message_id must be 1 to 64 characters of A-Z a-z 0-9 _ -",
    ),
    "another protocol": (
        {"type": "hello", "payload": {"protocol": 2}},
        "payload.protocol",
        "protocol version 2 is not supported; this server speaks version 1",
    ),
    "text for content": (
        {"type": "user_message", "payload": {"text": "x", "message_id": "m"}},
        "payload.text",
        "unknown field `text`; did you mean `content`?",
    ),
    "messageId": (
        {"type": "user_message", "payload": {"content": "x", "messageId": "m"}},
        "payload.messageId",
        "unknown field `messageId`; did you mean `message_id`?",
    ),
    "a field like no other": (
        {"type": "subscribe", "payload": {"thread_id": "t", "zzz": 1}},
        "payload.zzz",
        "unknown field `zzz`; allowed: thread_id, since",
    ),
    "a field where none is": (
        {"type": "ping", "payload": {"zzz": 1}},
        "payload.zzz",
        "unknown field `zzz`; no field is allowed here",
    ),
    "a number for text": (
        {"type": "user_message", "payload": {"content": 5, "message_id": "m"}},
        "payload.content",
        "content must be text, not a number",
    ),
    "a context too large": (
        {"type": "user_message", "payload": {"content": "x", "message_id": "m", "context": {"k": "v" * 9005}}},
        "payload.context",
        "context is 9,013 bytes; the limit is 8,192",
    ),
    "a deep field": (
        {"type": "hello", "payload": {"protocol": 1, "resume": [{"thread_id": "t", "epoch": "e", "seq": -1}]}},
        "payload.resume[0].seq",
        "resume[0].seq must be a whole number from 0 to 999,999,999,999, not -1",
    ),
    "an unknown command": (
        {"type": "user_mesage", "payload": {}},
        "type",
        "unknown command `user_mesage`; did you mean `user_message`?",
    ),
    "a command like no other": (
        {"type": "brew", "payload": {}},
        "type",
        "unknown command `brew`; protocol version 1 does not have it",
    ),
    "an unknown agent": (
        {"type": "user_message", "payload": {"content": "x", "message_id": "m", "agent": "poet"}},
        "payload.agent",
        "unknown agent `poet`; allowed: usage_analyst",
    ),
    "no type": ({"payload": {}}, "type", "type is missing"),
    "a type that is none": ({"type": 7, "payload": {}}, "type", "type must be text, not a number"),
    "no payload": ({"type": "ping"}, "payload", "payload is missing"),
    "a payload that is none": ({"type": "ping", "payload": []}, "payload", "payload must be an object, not a list"),
    "a field beside the payload": (
        {"type": "ping", "text": "x"},
        "text",
        "unknown field `text` beside type, payload and id; a command's fields stand in payload",
    ),
    "a bad id": (
        {"type": "ping", "payload": {}, "id": "a b"},
        "id",
        "id must be 1 to 64 characters of A-Z a-z 0-9 _ -",
    ),
    "no object": ("[]", None, "the frame must be a JSON object with type, payload and id"),
    "a key twice": ('{"a": 1, "a": 2}', None, 'the frame is not valid JSON: duplicate key "a"'),
    "no JSON": ("{'a'}", None, "the frame is not valid JSON: a key in double quotes is missing at character 2"),
    "too deep": ("[" * 17 + "]" * 17, None, "the frame is nested 17 levels deep; the limit is 16"),
    "too large": (" " * 140_000, None, "the frame is 140,000 bytes; the limit is 131,072"),
    "half a pair": ('"\ud800"', None, "the frame holds half of a surrogate pair; send UTF-8"),
}


@pytest.mark.parametrize(("frame", "field", "text"), FRAMES.values(), ids=FRAMES)
def test_what_is_said_of_a_frame(said, frame, field, text):
    error = said(frame)
    assert (error.get("field"), error["message"]) == (field, text)
    assert text_rules.faults(text) == []


REQUESTS: dict[str, tuple[str, str, dict[str, Any], str | None, str]] = {
    "a field given twice": (
        "PATCH",
        "/threads/t1",
        {"body": {"thread_id": "t1", "title": ""}},
        "thread_id",
        "thread_id is already given in the path",
    ),
    "a query where a body is": (
        "POST",
        "/threads",
        {"query": {"title": "x"}},
        "title",
        "this operation takes its fields in the JSON body, not in the query",
    ),
    "a key twice": (
        "POST",
        "/threads",
        {"body": '{"a": 1, "a": 2}'},
        None,
        'the body is not valid JSON: duplicate key "a"',
    ),
    "a body that is no object": ("POST", "/threads", {"body": "[]"}, None, "the body must be a JSON object"),
    "a body too large": (
        "POST",
        "/threads",
        {"body": " " * 140_000},
        None,
        "the body is 140,000 bytes; the limit is 131,072",
    ),
    "a bad key": (
        "POST",
        "/threads",
        {"headers": {"Idempotency-Key": "a b"}},
        "Idempotency-Key",
        "Idempotency-Key must be 1 to 64 characters of A-Z a-z 0-9 _ -",
    ),
    "a field of the path is not proposed": (
        "PATCH",
        "/threads/t1",
        {"body": {"thread": "x"}},
        "thread",
        "unknown field `thread`; allowed: title",
    ),
    "a limit that is no number": (
        "GET",
        "/threads",
        {"query": {"limit": "many"}},
        "limit",
        "limit must be a whole number from 1 to 100, not text",
    ),
    "a limit too large": (
        "GET",
        "/threads",
        {"query": {"limit": "500"}},
        "limit",
        "limit must be a whole number from 1 to 100, not 500",
    ),
    "no path": ("GET", "/nothing", {}, None, "path is unknown; GET /openapi.json lists the operations"),
    "no method": ("PUT", "/threads", {}, None, "method is not allowed; this path takes GET, POST"),
    "half a pair": (
        "GET",
        "/threads",
        {"query": {"cursor": "\ud800"}},
        None,
        "query holds half of a surrogate pair; send UTF-8",
    ),
    "no text": ("POST", "/threads", {"body": "/w==", "base64": True}, None, "the body must be UTF-8 text"),
}


@pytest.mark.parametrize(("method", "path", "given", "field", "text"), REQUESTS.values(), ids=REQUESTS)
def test_what_is_said_of_a_request(ask, method, path, given, field, text):
    error = ask(method, path, token="ada", **given)[1]["error"]
    assert (error.get("field"), error["message"]) == (field, text)
    assert text_rules.faults(text) == []


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (None, "access token is missing; send the header Authorization: Bearer <token>"),
        ("unknown", "access token is not accepted: expired, revoked or for another service; get a new one"),
        ("bug", "internal error of the server; send the command again"),
    ],
)
def test_what_is_said_of_a_token(ask, token, text):
    assert ask("GET", "/threads", token=token)[1]["error"]["message"] == text
    assert text_rules.faults(text) == []


@pytest.mark.parametrize("name", ["\x1b[31m", "a`b", 'a"b', "x\ny", "y" * 500, "\u202e"])
def test_a_name_is_quoted_without_what_could_harm_a_reader(said, name):
    for frame in ({"type": name, "payload": {}}, {"type": "ping", "payload": {name: 1}}, {"type": "ping", name: 1}):
        text = said(frame)["message"]
        assert text_rules.faults(text) == []
        assert name not in text


def test_no_value_is_quoted(said):
    """A token or a text may stand in the wrong field."""
    for kind in protocol.COMMANDS:
        for wrong in wrong_commands.every(kind):
            payload = json.loads(json.dumps(wrong.payload).replace('"text"', '"a-secret"').replace("a b", "a-secret b"))
            assert "a-secret" not in said({"type": kind, "payload": payload})["message"]
