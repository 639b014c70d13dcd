"""Accepting a message: once, whole or in parts, and what the user's quotas have of it."""

from __future__ import annotations

import msgspec
import pytest

from agentsocket.commands import accept
from agentsocket.errors import BadRequest, Busy, IdempotencyConflict, NotFound
from agentsocket.limits import Limits
from agentsocket.protocol import messages
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(max_waiting_runs=2)


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def store(storage, runtime, ada):
    World(storage, runtime, Scripted([])).connect(ada, "a1")
    return storage.for_user(ada)


def accepted(store, content="hi", message_id="m1", **fields):
    command = messages.SendMessage(content=content, message_id=message_id, **fields)
    return accept.accept(command, connection_id="a1", store=store)


def test_a_message_becomes_a_queued_run(store):
    made = accepted(store, agent="usage_analyst", context={"b": 1, "a": 2})
    assert (made.duplicate, made.run.state, made.run.connection_id) == (False, "accepted", "a1")
    assert (made.run.agent, msgspec.json.decode(made.run.context)) == ("usage_analyst", {"a": 2, "b": 1})
    assert store.runs.get(made.run.run_id).content == "hi"


def test_the_same_message_is_the_same_run_also_when_the_quota_is_used_up(store):
    first = accepted(store)
    store.quotas.begin(first.run)
    for number in (2, 3):
        accepted(store, message_id=f"m{number}")
    with pytest.raises(Busy):
        accepted(store, message_id="m4")
    again = accepted(store)
    assert (again.run.run_id, again.duplicate) == (first.run.run_id, True)


def test_what_becomes_no_run_takes_no_place(store):
    """A thread that is not there, and a message_id that is another message's."""
    accepted(store)
    for _ in range(3):
        with pytest.raises(NotFound):
            accepted(store, message_id="m2", thread_id="nowhere")
        with pytest.raises(IdempotencyConflict):
            accepted(store, content="something else")
    assert accepted(store, message_id="m3").duplicate is False


def test_parts_are_kept_until_all_are_there(store):
    first = accepted(store, content="b", part=2, parts=3)
    assert isinstance(first, messages.PartAccepted)
    assert (first.part, first.missing) == (2, [1, 3])
    assert accepted(store, content="a", part=1, parts=3).missing == [3]
    whole = accepted(store, content="c", part=3, parts=3)
    assert store.runs.get(whole.run.run_id).content == "abc"
    assert accepted(store, content="c", part=3, parts=3).duplicate is True


def test_parts_of_a_message_id_that_is_another_message_s_are_forgotten(store):
    """Each retry would meet the conflict again: they must not fill the user's place for open uploads."""
    accepted(store, content="whole")
    accepted(store, content="a", part=1, parts=2)
    with pytest.raises(IdempotencyConflict):
        accepted(store, content="b", part=2, parts=2)
    assert accepted(store, content="b", part=2, parts=2).missing == [1]


@pytest.mark.parametrize(
    ("fields", "field", "text"),
    [
        ({"part": 1}, "parts", "part and parts must be given together"),
        ({"parts": 2}, "part", "part and parts must be given together"),
        ({"part": 3, "parts": 2}, "part", "part is 3, beyond parts, which is 2; parts count from 1"),
    ],
)
def test_a_part_says_which_of_how_many(store, fields, field, text):
    with pytest.raises(BadRequest) as refused:
        accepted(store, **fields)
    assert (refused.value.field, refused.value.message) == (field, text)
