"""What a client must say, what it may leave out, and where the border of each field is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from agentsocket.protocol import messages as protocol
from agentsocket.protocol.commands import MAX_PARTS
from tests.support.command_samples import PAYLOADS

NEEDED: dict[str, set[str]] = {
    "hello": {"protocol"},
    "user_message": {"content", "message_id"},
    "stop_agent": set(),
    "subscribe": {"thread_id"},
    "unsubscribe": {"thread_id"},
    "switch_thread": {"thread_id"},
    "create_thread": set(),
    "rename_thread": {"thread_id", "title"},
    "delete_thread": {"thread_id"},
    "list_threads": set(),
    "get_thread_history": {"thread_id"},
    "get_content": {"thread_id", "message_id"},
    "get_context": {"name"},
    "update_context": {"name", "patch"},
    "refresh_token": {"token"},
    "get_health": set(),
    "ping": set(),
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "hello": {"client": protocol.ClientInfo(name="", version=""), "resume": []},
    "user_message": {"thread_id": UNSET, "agent": UNSET, "context": {}, "part": UNSET, "parts": UNSET},
    "stop_agent": {"run_id": UNSET, "message_id": UNSET},
    "subscribe": {"since": UNSET},
    "unsubscribe": {},
    "switch_thread": {"since": UNSET},
    "create_thread": {"title": "", "metadata": {}},
    "rename_thread": {},
    "delete_thread": {},
    "list_threads": {"limit": 50, "cursor": ""},
    "get_thread_history": {"limit": 50, "cursor": ""},
    "get_content": {"offset": 0},
    "get_context": {},
    "update_context": {"version": UNSET},
    "refresh_token": {},
    "get_health": {},
    "ping": {},
}
SAMPLES = [(name, payload) for name, payloads in PAYLOADS.items() for payload in payloads]
POINT = {"thread_id": "t", "epoch": "e", "seq": 0}
MESSAGE = {"content": "hi", "message_id": "m"}
LAST_SEQ = 10**12 - 1


def convert(name, payload):
    return msgspec.convert(payload, protocol.COMMANDS[name])


@pytest.mark.parametrize("name", protocol.COMMANDS)
def test_a_command_needs_these_fields_and_no_others(name):
    least, _ = PAYLOADS[name]
    needed = {field: value for field, value in least.items() if field in NEEDED[name]}
    convert(name, needed)
    for field in NEEDED[name]:
        with pytest.raises(msgspec.ValidationError, match=field):
            convert(name, {other: value for other, value in needed.items() if other != field})


@pytest.mark.parametrize("name", protocol.COMMANDS)
def test_what_is_left_out_has_its_default(name):
    least, _ = PAYLOADS[name]
    given = convert(name, {field: value for field, value in least.items() if field in NEEDED[name]})
    assert {field: getattr(given, field) for field in given.__struct_fields__ if field not in NEEDED[name]} == (
        DEFAULTS[name]
    )


@pytest.mark.parametrize(("name", "payload"), SAMPLES, ids=[f"{name}-{n % 2}" for n, (name, _) in enumerate(SAMPLES)])
def test_a_command_is_written_as_it_was_read(name, payload):
    written = msgspec.json.decode(msgspec.json.encode(convert(name, payload)))
    assert {field: written[field] for field in payload} == payload
    assert convert(name, written) == convert(name, payload)


@pytest.mark.parametrize("name", protocol.COMMANDS)
def test_a_field_that_the_command_does_not_have_is_refused(name):
    with pytest.raises(msgspec.ValidationError, match="surprise"):
        convert(name, {**PAYLOADS[name][0], "surprise": 1})


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("user_message", {"content": "x" * 100_000, "message_id": "a-Z_9" + "x" * 59}),
        ("user_message", {**MESSAGE, "thread_id": "a.b-c_d", "agent": "x" * 64}),
        ("user_message", {**MESSAGE, "part": 1, "parts": 2}),
        ("user_message", {**MESSAGE, "part": MAX_PARTS, "parts": MAX_PARTS}),
        ("hello", {"protocol": 1, "resume": [POINT] * 20}),
        ("hello", {"protocol": 1, "client": {"name": "n" * 64, "version": "v" * 64}}),
        ("subscribe", {"thread_id": "t", "since": {"epoch": "e" * 64, "seq": LAST_SEQ}}),
        ("list_threads", {"limit": 1, "cursor": "c" * 128}),
        ("list_threads", {"limit": 100}),
        ("create_thread", {"title": "\U0001f600" * 200}),
        ("get_content", {"thread_id": "t", "message_id": "run.1", "offset": LAST_SEQ}),
        ("get_context", {"name": "user." + "n" * 59}),
        ("update_context", {"name": "user.a", "patch": {}, "version": 2**53 - 1}),
        ("refresh_token", {"token": "x" * 4096}),
    ],
)
def test_the_largest_and_smallest_that_is_allowed(name, payload):
    convert(name, payload)


@pytest.mark.parametrize(
    ("name", "payload", "blamed"),
    [
        ("user_message", {**MESSAGE, "content": ""}, "content"),
        ("user_message", {**MESSAGE, "message_id": ""}, "message_id"),
        ("user_message", {**MESSAGE, "message_id": "x" * 65}, "message_id"),
        ("user_message", {**MESSAGE, "message_id": "run.1"}, "message_id"),
        ("user_message", {**MESSAGE, "message_id": "m\n"}, "message_id"),
        ("user_message", {**MESSAGE, "thread_id": "t\n"}, "thread_id"),
        ("user_message", {**MESSAGE, "agent": "a/b"}, "agent"),
        ("user_message", {**MESSAGE, "agent": "x" * 65}, "agent"),
        ("user_message", {**MESSAGE, "part": 0, "parts": 2}, "part"),
        ("user_message", {**MESSAGE, "part": MAX_PARTS + 1, "parts": 2}, "part"),
        ("user_message", {**MESSAGE, "part": 1, "parts": 1}, "parts"),
        ("user_message", {**MESSAGE, "part": 1, "parts": MAX_PARTS + 1}, "parts"),
        ("user_message", {**MESSAGE, "context": []}, "context"),
        ("hello", {"protocol": 0}, "protocol"),
        ("hello", {"protocol": 2}, "protocol"),
        ("hello", {"protocol": "1"}, "protocol"),
        ("hello", {"protocol": 1, "resume": [POINT] * 21}, "resume"),
        ("hello", {"protocol": 1, "resume": [{**POINT, "seq": -1}]}, "seq"),
        ("hello", {"protocol": 1, "client": {"name": "n" * 65}}, "name"),
        ("subscribe", {"thread_id": "t", "since": {"epoch": "e", "seq": LAST_SEQ + 1}}, "seq"),
        ("subscribe", {"thread_id": "t", "since": {"epoch": "e" * 65, "seq": 0}}, "epoch"),
        ("list_threads", {"limit": 0}, "limit"),
        ("list_threads", {"limit": 101}, "limit"),
        ("list_threads", {"cursor": "c" * 129}, "cursor"),
        ("create_thread", {"title": "x" * 201}, "title"),
        ("rename_thread", {"thread_id": "t", "title": "x" * 201}, "title"),
        ("get_content", {"thread_id": "t", "message_id": "m", "offset": -1}, "offset"),
        ("get_context", {"name": "likes"}, "name"),
        ("get_context", {"name": "user."}, "name"),
        ("get_context", {"name": "thread.likes"}, "name"),
        ("get_context", {"name": "user." + "n" * 60}, "name"),
        ("get_context", {"name": "user.a\n"}, "name"),
        ("update_context", {"name": "user.a", "patch": []}, "patch"),
        ("update_context", {"name": "user.a", "patch": {}, "version": 2**53}, "version"),
        ("refresh_token", {"token": ""}, "token"),
        ("refresh_token", {"token": "x" * 4097}, "token"),
    ],
)
def test_what_lies_just_beyond_is_refused_at_its_field(name, payload, blamed):
    with pytest.raises(msgspec.ValidationError, match=rf"at `\$.*\.?{blamed}`"):
        convert(name, payload)
