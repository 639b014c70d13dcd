"""The published schema, held against every frame that a test sees (G2, G6): this is the one place for it.

A validator takes about a millisecond for a frame, and simulated days have hundreds of thousands. So what is validated
is each shape once: frames of one shape differ in nothing that the schema speaks of (`test_schema_check.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from agentsocket.protocol import frames, schema
from agentsocket.protocol.frames import Reply
from agentsocket_client.limits import Limits
from agentsocket_client.transport import Carrier, Transport, open_websocket

Frame = dict[str, Any]
Shape = Any
DOCUMENT = schema.document()


def words(node: Any) -> Iterator[str]:
    """Every string that the schema allows by name."""
    if isinstance(node, dict):
        yield from (word for word in [node.get("const"), *node.get("enum", ())] if isinstance(word, str))
    if isinstance(node, dict | list):
        yield from (word for each in (node.values() if isinstance(node, dict) else node) for word in words(each))


def _validators(side: str) -> Mapping[str, jsonschema.Draft202012Validator]:
    branches = DOCUMENT["$defs"][side]["oneOf"]
    return {
        branch["properties"]["type"]["const"]: jsonschema.Draft202012Validator({"$defs": DOCUMENT["$defs"], **branch})
        for branch in branches
    }


_WORDS = frozenset(words(DOCUMENT))
_SERVER, _CLIENT = _validators("server"), _validators("client")
SERVER_TYPES, CLIENT_TYPES = frozenset(_SERVER), frozenset(_CLIENT)
_SEEN: set[Shape] = set()


def shape(value: Any) -> Shape:
    """What the schema can tell of a value: types, names of fields, named words, and of numbers the sign."""
    kind = type(value)
    if kind is str:
        return value if value in _WORDS else kind
    if kind is int or kind is float:
        return kind is int or value.is_integer(), (value > 0) - (value < 0)
    if kind is list:
        return kind, frozenset(map(shape, value))
    if kind is dict:
        return kind, frozenset((name, shape(each)) for name, each in value.items())
    return value  # true, false, null


def checked(frame: Frame) -> Frame:
    """The same frame of the server's. Raises AssertionError when it is not as published, nor what a batch holds."""
    found = shape(frame)
    if found not in _SEEN:
        _validate(frame, _SERVER)
        for event in frame["payload"]["events"] if frame["type"] == "batch" else ():
            _validate(event, _SERVER)
        _SEEN.add(found)
    return frame


def read(text: str | bytes) -> Frame:
    """A frame of the server's as it travels, checked."""
    return checked(json.loads(text))


def told(reply: Reply) -> Frame:
    """What a client hears of a reply to its command `c1`, checked."""
    return read(frames.frame(reply.payload, frame_id="e", now=1.0, reply_to="c1", thread_id=reply.thread_id).encode())


def overheard(text: str | bytes) -> None:
    """Check what is on its way to a client, unless it is empty (a route response without a frame) or no frame of ours:
    API Gateway's own error has no type.
    """
    if text and "type" in (frame := json.loads(text)):
        checked(frame)


class Overheard:
    """A client's transport, on which every frame is as published, in both directions."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.close = inner.close

    async def send(self, text: str) -> None:
        checked_command(json.loads(text))
        await self._inner.send(text)

    async def receive(self) -> str | bytes:
        text = await self._inner.receive()
        overheard(text)
        return text


async def connect(url: str, token: str, *, form: Carrier, limits: Limits) -> Transport:
    """Open a WebSocket that is overheard."""
    return Overheard(await open_websocket(url, token, form=form, limits=limits))


def checked_command(frame: Frame) -> Frame:
    """The same frame of a client's. Raises AssertionError when it is not as published."""
    _validate(frame, _CLIENT)
    return frame


def _validate(frame: Frame, validators: Mapping[str, jsonschema.Draft202012Validator]) -> None:
    assert frame["type"] in validators, f"the schema has no {frame['type']!r}"
    wrong = jsonschema.exceptions.best_match(validators[frame["type"]].iter_errors(frame))
    assert wrong is None, f"a {frame['type']} is not as published: {wrong.json_path}: {wrong.message[:300]}"
