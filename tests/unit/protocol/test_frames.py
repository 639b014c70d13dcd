from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.errors import BadRequest, CommandError, NotFound, TooLarge, UnknownType
from agentsocket.limits import Limits
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol

LIMITS = Limits()


def parse(value):
    return frames.parse(value if isinstance(value, str) else json.dumps(value), limits=LIMITS)


def test_a_user_message_is_parsed():
    """G1, G5: `content` is accepted, optional fields take their defaults."""
    command = parse({"type": "user_message", "id": "c1", "payload": {"content": "hi", "message_id": "m1"}})
    assert command == frames.Command(
        "user_message", protocol.SendMessage(content="hi", message_id="m1", context={}), "c1"
    )
    assert command.payload.thread_id is msgspec.UNSET


@pytest.mark.parametrize(
    ("frame", "field"),
    [
        ({"type": "user_message", "payload": {"text": "hi", "message_id": "m"}}, "payload.text"),
        ({"type": "user_message", "payload": {"message": "hi", "message_id": "m"}}, "payload.message"),
        ({"type": "user_message", "payload": {"query": "hi", "message_id": "m"}}, "payload.query"),
        ({"type": "user_message", "payload": {"message_id": "m"}}, "payload.content"),
        ({"type": "user_message", "payload": {"content": "hi"}}, "payload.message_id"),
        ({"type": "user_message", "payload": {"content": 5, "message_id": "m"}}, "payload.content"),
        ({"type": "user_message", "payload": {"content": "", "message_id": "m"}}, "payload.content"),
        ({"type": "user_message", "payload": {"content": "x", "message_id": "a b"}}, "payload.message_id"),
        ({"type": "user_message", "payload": {"content": "x", "message_id": "run.1"}}, "payload.message_id"),
        ({"type": "user_message", "payload": {"content": "x", "message_id": "m\n"}}, "payload.message_id"),
        ({"type": "user_message", "payload": {"content": "x", "message_id": "m" * 65}}, "payload.message_id"),
        (
            {"type": "user_message", "payload": {"content": "x", "message_id": "m", "thread_id": "#"}},
            "payload.thread_id",
        ),
        ({"type": "user_message"}, "payload"),
        ({"type": "ping", "payload": []}, "payload"),
        ({"type": "ping", "payload": None}, "payload"),
        ({"payload": {}}, "type"),
        ({"type": 7, "payload": {}}, "type"),
        ({"type": "ping", "payload": {}, "id": 7}, "id"),
        ({"type": "ping", "payload": {}, "id": "a\n"}, "id"),
        ({"type": "ping", "payload": {}, "text": "x"}, "text"),
        ({"type": "hello", "payload": {"protocol": 2}}, "payload.protocol"),
        (
            {"type": "hello", "payload": {"protocol": 1, "resume": [{"thread_id": "t", "epoch": "e", "seq": -1}]}},
            "payload.resume[0].seq",
        ),
        ({"type": "subscribe", "payload": {"thread_id": "t", "since": {"epoch": "e"}}}, "payload.since.seq"),
    ],
)
def test_a_wrong_frame_is_refused_naming_the_field(frame, field):
    """G1, G4."""
    with pytest.raises(BadRequest) as refused:
        parse(frame)
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", "null", '"x"', '{"type": "ping"', "[" * 1000])
def test_what_is_no_object_is_refused(text):
    """G3."""
    with pytest.raises(BadRequest):
        parse(text)


def test_an_unknown_type_is_told_apart():
    """G4."""
    with pytest.raises(UnknownType) as refused:
        parse({"type": "make_coffee", "payload": {}})
    assert refused.value.field == "type"


def test_a_message_over_the_limit_is_too_large():
    with pytest.raises(TooLarge):
        parse({"type": "ping", "payload": {}, "id": "x" * LIMITS.max_message_bytes})


def test_a_context_over_the_limit_is_too_large():
    with pytest.raises(TooLarge) as refused:
        parse({"type": "user_message", "payload": {"content": "x", "message_id": "m", "context": {"k": "v" * 9000}}})
    assert refused.value.field == "payload.context"


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_parsed_or_refused_with_a_client_error(text):
    try:
        frames.parse(text, limits=LIMITS)
    except CommandError as error:
        code = error.code
    else:
        code = "bad_request"
    assert code in {"bad_request", "unknown_type", "too_large"}


@given(
    st.sampled_from(sorted(protocol.COMMANDS)),
    st.dictionaries(
        st.sampled_from(["content", "message_id", "thread_id", "since", "protocol", "resume", "context", "x"]),
        st.none() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2) | st.just({}),
    ),
)
def test_any_payload_is_parsed_or_refused_naming_a_field(kind, payload):
    try:
        parse({"type": kind, "payload": payload})
    except CommandError as error:
        blamed = bool(error.field or "2^53" in error.message)
    else:
        blamed = True
    assert blamed


def test_the_id_of_a_broken_frame_is_still_found():
    assert frames.command_id('{"type": 7, "id": "c9", "payload": []}') == "c9"
    assert frames.command_id("nonsense") is None
    assert frames.command_id('{"id": "not an id!"}') is None


def test_a_frame_has_the_envelope_of_the_protocol():
    """G2."""
    frame = frames.frame(protocol.Pong(), frame_id="e1", now=12.5, reply_to="c1")
    assert json.loads(frame.encode()) == {
        "type": "pong",
        "payload": {},
        "id": "e1",
        "timestamp": 12500,
        "reply_to": "c1",
    }


def test_an_event_carries_thread_run_and_seq():
    event = protocol.AgentStarted(agent_name="a", agent_id="i", attempt=1)
    frame = json.loads(frames.frame(event, frame_id="e", now=1, thread_id="t", run_id="r", seq=3).encode())
    assert (frame["type"], frame["thread_id"], frame["run_id"], frame["seq"]) == ("agent_started", "t", "r", 3)


def test_a_failure_tells_what_the_client_needs_and_no_more():
    notice = frames.failure(NotFound("no such thread", field="payload.thread_id"))
    assert msgspec.to_builtins(notice) == {
        "code": "not_found",
        "message": "no such thread",
        "temporary": False,
        "field": "payload.thread_id",
    }


@pytest.mark.parametrize("name", ["x" * 100_000, "\u0001" * 20_000, "`" * 50_000, "].[" * 20_000])
def test_an_error_stays_small_whatever_it_is_about(name):
    for frame in ({"type": "ping", "payload": {name: 1}}, {"type": "ping", "payload": {}, name: 1}):
        with pytest.raises(BadRequest) as refused:
            parse(frame)
        assert len(msgspec.json.encode(frames.failure(refused.value))) < 2048


def test_half_a_surrogate_pair_is_refused_and_can_be_answered():
    text = '{"type": "ping", "payload": {}, "id": "\ud800"}'
    with pytest.raises(BadRequest):
        frames.parse(text, limits=LIMITS)
    assert frames.command_id(text) is None
