"""The tests' own check of frames: it sees what the schema forbids, and its short cut hides nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from tests.support import schema_check

EVENT = protocol.AgentCompleted(agent_name="a", agent_id="i", outcome="success", duration_ms=5)
# What a shape keeps of a value is enough for these, and for no other keyword that has to do with values.
KEPT = {
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "examples",
    "items",
    "minimum",
    "properties",
    "required",
    "title",
    "type",
}


def event(**changes):
    sent = frames.frame(EVENT, frame_id="e", now=1.0, thread_id="t", run_id="r", seq=1)
    return {**json.loads(sent.encode()), **changes}


def with_payload(**changes):
    return event(payload={**event()["payload"], **changes})


def keywords(node, *, names=False):
    """Every keyword of a schema; the keys under `properties` are names."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from () if names else [(key, value)]
            if key not in ("const", "enum", "default"):
                yield from keywords(value, names=not names and key == "properties")
    elif isinstance(node, list):
        for each in node:
            yield from keywords(each)


def reachable(node, found):
    """The definitions that a schema leads to."""
    for key, value in keywords(node):
        if key == "$ref" and (name := value.rpartition("/")[2]) not in found:
            found[name] = schema_check.DOCUMENT["$defs"][name]
            reachable(found[name], found)
    return found


def test_a_frame_as_published_passes_twice():
    assert schema_check.checked(event()) == event()
    assert schema_check.checked(event()) == event()


@pytest.mark.parametrize(
    "wrong",
    [
        event(type="agent_slept"),
        event(seq=0),
        event(seq="1"),
        event(surprise=1),
        event(timestamp=1.5),
        with_payload(outcome="well"),
        with_payload(duration_ms=None),
        with_payload(duration_ms=True),
        with_payload(extra=1),
        {name: value for name, value in event().items() if name != "run_id"},
        {**event(), "type": "batch", "payload": {"events": [event(seq=-1)], "more": False}},
    ],
)
def test_what_is_not_as_published_is_found_whatever_was_seen_before(wrong):
    """G2."""
    schema_check.checked(event())
    with pytest.raises(AssertionError):
        schema_check.checked(wrong)
    with pytest.raises(AssertionError):
        schema_check.checked(wrong)


def test_a_batch_is_as_good_as_its_events():
    def batch(*events):
        return {"type": "batch", "id": "e", "timestamp": 1, "payload": {"events": list(events), "more": False}}

    schema_check.checked(batch(event(), event(seq=2)))
    with pytest.raises(AssertionError, match="agent_completed"):
        schema_check.checked(batch(event(), event(seq="2")))


def test_the_schema_says_nothing_of_frames_that_a_shape_does_not_keep():
    found = list(keywords(list(reachable(schema_check.DOCUMENT["$defs"]["server"]["oneOf"], {}).values())))
    found += list(keywords(schema_check.DOCUMENT["$defs"]["server"]["oneOf"]))
    assert {key for key, _ in found} <= KEPT
    assert {value for key, value in found if key == "minimum"} <= {1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["success", "error", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from(["payload", "seq", "outcome", "duration_ms", "usage", "timestamp", "thread_id"]), JSON)
def test_frames_of_one_shape_are_all_right_or_all_wrong(name, value):
    frame = event(**{name: value}) if name in event() else with_payload(**{name: value})
    expected = schema_check._SERVER["agent_completed"].is_valid(frame)
    assert _passes(frame) is expected


def _passes(frame):
    try:
        schema_check.checked(frame)
    except AssertionError:
        return False
    return True
