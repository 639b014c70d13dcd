"""Area G: what a frame may be. Whatever comes, the answer says what is wrong and the connection lives."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import ConnectionClosedError


def frame(kind, payload):
    return json.dumps({"type": kind, "payload": payload, "id": "c1"})


WRONG = {
    "text instead of content": (frame("user_message", {"text": "x", "message_id": "m"}), "payload.text"),
    "no content": (frame("user_message", {"message_id": "m"}), "payload.content"),
    "content as number": (frame("user_message", {"content": 1, "message_id": "m"}), "payload.content"),
    "no payload": ('{"type": "user_message"}', "payload"),
    "payload as list": (frame("ping", []), "payload"),
    "no type": ('{"payload": {}}', "type"),
    "type as number": ('{"type": 1, "payload": {}}', "type"),
    "seq as text": (frame("subscribe", {"thread_id": "t", "since": {"epoch": "e", "seq": "1"}}), "payload.since.seq"),
    "malformed": ('{"type": "ping"', None),
    "nonsense": ("nonsense", None),
    "a list": ("[]", None),
    "a number": ("7", None),
    "nested deep": ('{"type": "ping", "payload": ' + '{"a":' * 50 + "1" + "}" * 51, None),
    "nan": ('{"type": "ping", "payload": NaN}', None),
    "lone surrogate": (r'{"type": "ping", "payload": {"a": "\ud800"}}', None),
    "duplicate key": ('{"type": "ping", "type": "hello", "payload": {}}', None),
    "large integer": ('{"type": "ping", "payload": {"a": 9007199254740993}}', None),
}


@pytest.mark.parametrize(("text", "field"), WRONG.values(), ids=WRONG)
async def test_a_wrong_frame_gets_an_error_and_the_connection_lives(deployment, text, field):
    """G1, G3, G4."""
    async with deployment.live() as socket:
        await socket.send(text)
        error = await socket.receive()
        assert error["type"] == "error"
        assert (error["payload"]["code"], error["payload"].get("field")) == ("bad_request", field)
        assert (await socket.ask("ping"))["type"] == "pong"


async def test_an_unknown_type_gets_an_error_naming_it(deployment):
    """G4."""
    async with deployment.live() as socket:
        error = await socket.ask("make_coffee")
    assert (error["payload"]["code"], error["payload"]["field"]) == ("unknown_type", "type")


@pytest.mark.parametrize("kind", ["$connect", "$disconnect", "$default"])
async def test_a_frame_cannot_reach_the_lifecycle_steps(deployment, kind):
    """security.md, Routes."""
    async with deployment.live() as socket:
        await socket.send(json.dumps({"type": kind, "payload": {}}))
        accepted = await socket.ask("user_message", content="still here", message_id=f"after-{kind[1:]}")
    assert accepted["type"] == "message_accepted"


async def test_an_empty_frame_gets_an_error(deployment):
    """G3."""
    async with deployment.live() as socket:
        await socket.send("")
        assert (await socket.receive())["type"] == "error"


async def test_a_content_is_accepted_and_optional_fields_take_their_defaults(deployment):
    """G1, G5."""
    async with deployment.live() as socket:
        accepted = await socket.ask("user_message", content="hello", message_id="g1")
    assert accepted["payload"]["thread_id"]
    assert accepted["payload"]["duplicate"] is False


async def test_a_frame_over_32_kb_closes_with_1009(deployment):
    """G3."""
    async with deployment.live() as socket:
        await socket.bare.send(frame("user_message", {"content": "x" * 33_000, "message_id": "m"}))
        with pytest.raises(ConnectionClosedError) as closed:
            await socket.receive()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1009


async def test_nothing_internal_reaches_a_client(deployment):
    """An id that DynamoDB would take but no row has: an error in our words, without a trace of what is behind."""
    async with deployment.live() as socket:
        error = await socket.ask("subscribe", thread_id="x" * 64)
    assert error["payload"] == {
        "code": "not_found",
        "message": "no such thread",
        "temporary": False,
        "field": "payload.thread_id",
    }
