"""Single frames: what is sent, what is understood, and how long texts are cut."""

import json
import re

import pytest

from agentsocket_client import frames
from agentsocket_client.errors import CommandFailed

KB = 1024


def test_a_command_has_an_id_the_protocol_allows() -> None:
    first, second = frames.command("ping", {}), frames.command("ping", {})
    assert re.fullmatch("[A-Za-z0-9_-]{1,64}", first["id"])
    assert first["id"] != second["id"]


def test_a_message_of_the_allowed_size_is_encoded_and_one_byte_more_is_too_large() -> None:
    frame = {"type": "user_message", "id": "1", "payload": {"content": ""}}
    room = 128 * KB - len(frames.encode(frame, limit_bytes=128 * KB))
    frame["payload"] = {"content": "a" * room}
    assert len(frames.encode(frame, limit_bytes=128 * KB)) == 128 * KB
    frame["payload"] = {"content": "a" * (room + 1)}
    with pytest.raises(
        CommandFailed, match=r"too_large: the user_message has 131,073 bytes; at most 131,072"
    ) as failed:
        frames.encode(frame, limit_bytes=128 * KB)
    assert failed.value.code == "too_large"
    assert not failed.value.temporary


def test_the_limit_counts_bytes_not_characters() -> None:
    with pytest.raises(CommandFailed, match="too_large"):
        frames.encode({"type": "x", "payload": {"content": "€" * 50}}, limit_bytes=150)


@pytest.mark.parametrize("content", ["\ud800", float("nan"), object()])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(content: object) -> None:
    with pytest.raises(CommandFailed, match="bad_request"):
        frames.encode({"type": "user_message", "payload": {"content": content}}, limit_bytes=KB)


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "1", "null", '{"type": 1, "payload": {}}', '{"type": "x"}', '{"type": "x", "payload": []}']
)
def test_what_is_no_frame_is_ignored(text: str) -> None:
    assert frames.decode(text) is None


def test_json_of_hostile_depth_is_ignored() -> None:
    assert frames.decode('{"type": "x", "payload": ' + '{"a":' * 200_000 + "1" + "}" * 200_001) is None


def test_api_gateways_own_error_is_recognized() -> None:
    fault = frames.decode('{"message": "Internal server error", "connectionId": "a=", "requestId": "b="}')
    assert fault is not None
    assert frames.is_gateway_fault(fault)
    assert not frames.is_gateway_fault({"type": "error", "payload": {}, "connectionId": "a", "requestId": "b"})


def test_up_to_32_kb_is_one_websocket_frame() -> None:
    text = "a" * 32 * KB
    assert frames.fragments(text, limit_bytes=32 * KB) == text


def test_longer_texts_are_cut_without_breaking_a_character() -> None:
    text = json.dumps({"content": "aä€😀" * 20_000}, ensure_ascii=False)
    pieces = frames.fragments(text, limit_bytes=32 * KB)
    assert isinstance(pieces, list)
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode()) <= 32 * KB for piece in pieces)
