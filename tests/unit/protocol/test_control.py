"""Control frames: what each always says, what it may say, and which words are the only ones."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from agentsocket.errors import DISCONNECTS
from agentsocket.protocol import messages as protocol
from tests.support.payload_samples import least, most, written

THREAD = {"thread_id", "title", "metadata", "created_at", "activity"}
ALWAYS: dict[str, set[str]] = {
    "welcome": {"connection_id", "user_id", "expires_at", "max_message_bytes", "ping_interval_s"},
    "message_accepted": {"thread_id", "epoch", "run_id", "message_id", "duplicate"},
    "part_accepted": {"message_id", "part", "parts", "missing"},
    "stop_accepted": {"run_id"},
    "subscribed": {"thread_id", "epoch", "seq", "recovered"},
    "unsubscribed": {"thread_id"},
    "batch": {"events", "more"},
    "thread_snapshot": {"messages", "epoch", "seq"},
    "content": {"content", "offset", "bytes", "sha256"},
    "thread_switched": {"thread_id"},
    "thread_created": THREAD,
    "thread_renamed": {"thread_id", "title"},
    "thread_deleted": {"thread_id"},
    "thread_list": {"threads"},
    "thread_history": {"messages"},
    "context": {"name", "value", "version"},
    "health": {"status", "dependencies"},
    "heartbeat": {"run_id"},
    "token_refreshed": {"expires_at"},
    "token_expiring": {"expires_at"},
    "pong": set(),
    "disconnect": {"code", "reason", "reconnect"},
    "error": {"code", "message", "temporary"},
}
SOMETIMES: dict[str, set[str]] = {
    "welcome": {"server_version"},
    "health": {"version"},
    "subscribed": {"reason"},
    "thread_snapshot": {"active_run"},
    "content": {"next_offset"},
    "thread_list": {"cursor"},
    "thread_history": {"cursor"},
    "disconnect": {"retry_after_ms"},
    "error": {"field", "retry_after_ms"},
}
ANY_FRAME = pytest.mark.parametrize("name", protocol.CONTROL)


@ANY_FRAME
def test_a_frame_always_says_these_things(name):
    shape = protocol.CONTROL[name]
    assert written(least(shape)).keys() == ALWAYS[name]
    for field in ALWAYS[name]:
        lacking = {other: value for other, value in written(least(shape)).items() if other != field}
        with pytest.raises(msgspec.ValidationError, match=field):
            msgspec.json.decode(msgspec.json.encode(lacking), type=shape)


@ANY_FRAME
def test_a_frame_says_these_things_only_where_there_is_something_to_say(name):
    said = written(most(protocol.CONTROL[name]))
    assert said.keys() - ALWAYS[name] == SOMETIMES.get(name, set())


@ANY_FRAME
def test_a_frame_is_read_as_it_was_written(name):
    shape = protocol.CONTROL[name]
    for frame in (least(shape), most(shape)):
        assert msgspec.json.decode(msgspec.json.encode(frame), type=shape) == frame


@pytest.mark.parametrize(
    ("shape", "field", "words"),
    [
        (protocol.Subscribed, "reason", {"epoch", "trimmed", "limit"}),
        (protocol.Health, "status", {"ok", "degraded", "down"}),
        (protocol.Dependency, "status", {"ok", "degraded", "down"}),
    ],
)
def test_some_fields_have_few_words(shape, field, words):
    frame = written(least(shape))
    for word in words:
        assert getattr(msgspec.convert({**frame, field: word}, shape), field) == word
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({**frame, field: "perhaps"}, shape)


def test_a_replay_hands_on_the_log_s_bytes_and_reads_none_of_them():
    """Also an event of a version that is gone."""
    frames = [b'{"type":"gone",  "payload":{"a":1.0}}', b"[]"]
    batch = protocol.Batch(events=[Raw(frame) for frame in frames], more=False)
    assert msgspec.json.encode(batch) == b'{"events":[' + b",".join(frames) + b'],"more":false}'


def test_a_created_thread_has_the_fields_that_it_has_in_a_list():
    made, listed = least(protocol.ThreadCreated), least(protocol.ThreadInfo)
    assert written(made) == written(listed)


def test_a_running_answer_is_whole_unless_it_says_that_it_was_cut():
    run = protocol.ActiveRun(run_id="r", message_id="r.1", content="so far")
    assert written(run) == {"run_id": "r", "message_id": "r.1", "content": "so far"}
    cut = protocol.ActiveRun(run_id="r", message_id="r.1", content="so far", truncated=True)
    assert written(cut)["truncated"] is True


def test_a_dependency_that_does_not_answer_has_no_latency():
    assert written(protocol.Dependency(status="down")) == {"status": "down"}


def test_the_schema_names_every_reason_to_close_and_allows_new_ones():
    """A client that knows no newer code reconnects or not, as the frame itself says."""
    code = msgspec.json.schema(protocol.DisconnectNotice)["$defs"]["DisconnectNotice"]["properties"]["code"]
    assert (code["examples"], code["type"], "enum" in code) == (sorted(DISCONNECTS), "string", False)
