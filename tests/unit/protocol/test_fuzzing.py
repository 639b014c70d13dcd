"""Whatever a client sends, it gets a frame of the protocol or an `error` naming the field, never `internal` (G3, G4).

`frames.parse` takes every bit flip and every cut of every command; the whole $default handler, with the real steps and
the real storage behind it, a choice that is always the same.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any, cast

import boto3
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from agentsocket.aws.management_api import ManagementApi
from agentsocket.errors import CommandError
from agentsocket.handlers import decorators
from agentsocket.limits import Limits
from agentsocket.protocol import frames, strict_json
from agentsocket.protocol import messages as protocol
from agentsocket.runtime import Runtime
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import captured, create_table, mocked_aws, principal_of
from tests.support import command_samples, schema_check
from tests.support.fakes import Clock, Scripted
from tests.support.world import World

MANY = 10**9
LIMITS = Limits(commands_per_s=MANY, command_burst=MANY, runs_per_day=MANY)


def steady(examples: int) -> settings:
    """So many examples, the same ones each time."""
    return settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


TEXTS = [json.dumps(frame) for frame in command_samples.FRAMES]
PING = '{"type": "ping", "payload": %s, "id": "c1"}'
NASTY = {
    "nothing": "",
    "a space": " ",
    "BOM": "\ufeff" + PING % "{}",
    "NUL before": "\x00" + PING % "{}",
    "NUL within": PING % '{"\x00": 1}',
    "NUL escaped": '{"type": "unsubscribe", "payload": {"thread_id": "\\u0000"}}',
    "two frames": PING % "{}" * 2,
    "a duplicate key": '{"type": "ping", "type": "hello", "payload": {}}',
    "a duplicate key within": '{"type": "unsubscribe", "payload": {"thread_id": "a", "thread_id": "b"}}',
    "a huge integer": PING % '{"x": 1%s}' % ("0" * 5000),
    "a huge float": PING % '{"x": 1e999}',
    "a tiny float": '{"type": "get_content", "payload": {"thread_id": "t", "message_id": "m", "offset": 1e-999}}',
    "a float for an integer": '{"type": "list_threads", "payload": {"limit": 5.0}}',
    "minus zero": '{"type": "get_content", "payload": {"thread_id": "t", "message_id": "m", "offset": -0}}',
    "NaN": PING % '{"x": NaN}',
    "Infinity": PING % '{"x": -Infinity}',
    "half a pair": '{"type": "user_message", "payload": {"content": "\\ud800", "message_id": "m"}}',
    "the other half": '{"type": "create_thread", "payload": {"title": "\\udc00"}}',
    "halves the wrong way round": '{"type": "create_thread", "payload": {"title": "\\udc00\\ud800"}}',
    "half a pair, not escaped": '{"type": "create_thread", "payload": {"title": "\ud800"}}',
    "half a pair as a key": '{"type": "update_context", "payload": {"name": "user.x", "patch": {"\\ud800": 1}}}',
    "half a pair as the id": '{"type": "ping", "payload": {}, "id": "\\ud800"}',
    "half a pair as the type": '{"type": "\\ud800", "payload": {}}',
    "deep arrays": PING % ("[" * 100_000 + "]" * 100_000),
    "deep objects": PING % ('{"a":' * 20 + "1" + "}" * 20),
    "brackets never closed": '{"type": "ping", "payload": ' + "[" * 100_000,
    "a string never closed": '{"type": "ping", "payload": {"x": "' + "\\" * 50_001,
    "single quotes": "{'type': 'ping', 'payload': {}}",
    "a comment": '{"type": "ping", /* so */ "payload": {}}',
    "a comma too many": '{"type": "ping", "payload": {},}',
    "an empty key": PING % '{"": 1}',
    "the name of a method": '{"type": "__class__", "payload": {"__init__": 1}}',
    "a long name": PING % f'{{"{"n" * 30_000}": 1}}',
    "too long": PING % f'{{"x": "{"x" * 128 * 1024}"}}',
    "an empty name in a context": '{"type": "update_context", "payload": {"name": "user.x", "patch": {"": 1}}}',
    "a context of numbers": '{"type": "update_context", "payload": {"name": "user.n", "patch": {"n": 1e308}}}',
    "a metadata of numbers": '{"type": "create_thread", "payload": {"metadata": {"n": 0.1, "m": -1e-130, "k": 1e300}}}',
    "a cursor that is none": '{"type": "list_threads", "payload": {"cursor": "\\u0661.t"}}',
    "a cursor of another kind": '{"type": "get_thread_history", "payload": {"thread_id": "t", "cursor": "-1"}}',
}
NUMBERS = [0, -1, 1.5, -0.0, 2**53, 2**53 + 1, 10**40, 1e308]
STRINGS = ["", "\x00", "x" * 70, "x" * 40_000, "#", "a\n", "🎉", "\ud83c", "\u2028", "__proto__"]
NESTED = [[], {}, [[]], {"": {}}, [None] * 50, {"a": {"b": {"c": [1.1]}}}]
VALUES = st.sampled_from([None, True, *NUMBERS, *STRINGS, *NESTED])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def test_every_command_has_a_sample_that_is_as_published():
    assert command_samples.PAYLOADS.keys() == protocol.COMMANDS.keys()
    for frame in command_samples.FRAMES:
        schema_check.checked_command(frame)


# Parsing.


def refusal(text: str) -> CommandError | None:
    """What `parse` has against a text; anything but a client's error is raised."""
    try:
        frames.parse(text, limits=LIMITS)
    except CommandError as error:
        return error
    return None


def is_blamed(error: CommandError, text: str) -> bool:
    """Whether an error names the field, unless the text is to blame as a whole."""
    try:
        text.encode()
        return error.field is not None or not isinstance(strict_json.loads(text, max_nesting=16), dict)
    except (strict_json.StrictJSONError, UnicodeEncodeError):
        return True


def broken(data: bytes) -> Iterator[bytes]:
    """A text with one bit flipped, cut off, with a byte twice, or with one left out: all of each."""
    for at in range(len(data)):
        yield data[:at]
        yield data[:at] + data[at : at + 1] + data[at:]
        yield data[:at] + data[at + 1 :]
        yield from (data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] for bit in range(8))


@pytest.mark.parametrize("text", TEXTS, ids=[frame["type"] for frame in command_samples.FRAMES])
def test_every_single_fault_of_every_command_is_understood_or_refused(text):
    assert refusal(text) is None
    for data in broken(text.encode()):
        for errors in ("replace", "surrogateescape"):
            mistaken = data.decode(errors=errors)
            error = refusal(mistaken)
            assert error is None or is_blamed(error, mistaken), mistaken


@pytest.mark.parametrize("kind", sorted(protocol.COMMANDS))
def test_what_a_client_may_leave_out_takes_the_default_that_is_published(kind):
    """G5."""
    shape = schema_check.DOCUMENT["$defs"][protocol.COMMANDS[kind].__name__]
    least = command_samples.PAYLOADS[kind][0]
    parsed = frames.parse(json.dumps({"type": kind, "payload": least}), limits=LIMITS).payload
    for name in shape["properties"].keys() - least.keys():
        assert name not in shape.get("required", [])
        given = getattr(parsed, name)
        assert given is UNSET or msgspec.to_builtins(given) == shape["properties"][name].get("default", {}), name


# The whole handler.


@pytest.fixture(scope="module")
def handler():
    """What a client gets for a text: all its frames, checked. It is connected and has a thread `t1`."""
    clock = Clock()
    ada = principal_of("ada", clock)

    async def offload(function, *args, **kwargs):
        return function(*args, **kwargs)

    with mocked_aws(), captured(decorators.logger):
        client = boto3.client("dynamodb")
        create_table(client)
        storage = Storage(Table(client, "agentsocket", now=clock), limits=LIMITS, generation="1")
        world = World(storage, Runtime(clock, asyncio.sleep, max, offload, LIMITS), Scripted([]))
        world.connect(ada, "a1")
        invoke = decorators.websocket(cast(ManagementApi, world.sockets))(world.receive)
        context = {"eventType": "MESSAGE", "routeKey": "$default", "connectionId": "a1", "authorizer": ada.context()}

        def answers(text: str) -> list[schema_check.Frame]:
            world.sockets.posted.clear()
            answer = invoke({"requestContext": context, "body": text}, None)
            assert answer["statusCode"] == 200
            rode = [schema_check.read(answer["body"])] if "body" in answer else []
            return rode or list(world.sockets.posted["a1"])

        yield answers


def understood(handler, text: str) -> None:
    """Send a text; fails unless the answer is one that a client can act on."""
    answers = handler(text)
    assert answers
    assert {answer.get("reply_to") for answer in answers} == {frames.command_id(text)}
    for answer in answers:
        told = answer["payload"]
        if answer["type"] == "error":
            assert told["code"] != "internal"
            error = CommandError(told["message"], field=told.get("field"))
            assert told["code"] != "bad_request" or is_blamed(error, text)


@pytest.mark.parametrize("text", TEXTS, ids=[frame["type"] for frame in command_samples.FRAMES])
def test_every_sample_is_answered(handler, text):
    understood(handler, text)


@pytest.mark.parametrize("text", NASTY.values(), ids=list(NASTY))
def test_what_is_hard_to_read_is_refused_in_words(handler, text):
    """G3."""
    understood(handler, text)


@steady(150)
@given(JSON | st.fixed_dictionaries({"type": st.sampled_from(sorted(protocol.COMMANDS)), "payload": JSON}))
def test_any_json_is_answered(handler, value):
    """G3, G4."""
    understood(handler, json.dumps(value))


@st.composite
def mutated(draw):
    """A sample with one thing in it changed, left out, added or called otherwise."""
    frame = copy.deepcopy(draw(st.sampled_from(command_samples.FRAMES)))
    place = draw(st.sampled_from(list(places(frame))))
    name = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
    value = draw(VALUES | JSON)
    change = draw(st.sampled_from(["replace", "remove", "add", "rename"]))
    if change == "replace" or isinstance(place, list):
        place[name] = value
    elif change == "add":
        place[draw(st.sampled_from(["text", "thread_id", "x", "", "content"]))] = value
    else:
        removed = place.pop(name)
        if change == "rename":
            place[name + "_"] = removed
    return frame


def places(value: Any) -> Iterator[Any]:
    """Every object and array in a frame that has something in it."""
    if isinstance(value, dict | list) and value:
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from places(each)


@steady(400)
@given(mutated())
def test_a_command_with_one_thing_wrong_is_answered(handler, frame):
    """G1, G4."""
    understood(handler, json.dumps(frame))


@steady(150)
@given(st.sampled_from(TEXTS), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=4))
def test_a_command_with_broken_bytes_is_answered(handler, text, changes):
    """G3."""
    data = bytearray(text.encode())
    for at, written in changes:
        data[at % len(data) : at % len(data) + 1] = written
    understood(handler, data.decode(errors="replace"))
