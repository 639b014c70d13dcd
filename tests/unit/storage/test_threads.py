"""A user's threads: created once, listed by activity, gone when deleted (data-model.md, Rows)."""

from __future__ import annotations

import pytest

from agentsocket.errors import BadRequest, IdempotencyConflict, NotFound
from agentsocket.limits import Limits
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage


def message(message_id="m1", content="hi", thread_id=None, connection_id="c1"):
    return NewMessage(message_id, content, thread_id, connection_id, agent="", context="{}")


@pytest.fixture
def connected(adas):
    adas.connections.open("c1")
    return adas


def test_a_new_epoch_is_another_one(connected):
    thread = connected.runs.accept(message()).thread
    assert connected.threads.renew_epoch(thread.thread_id).epoch != thread.epoch


def test_a_restored_table_of_a_new_generation_has_other_epochs(dynamodb, connected, ada, clock):
    thread = connected.runs.accept(message()).thread
    restored = Storage(Table(dynamodb, "agentsocket", now=clock), limits=Limits(), generation="2")
    assert restored.for_user(ada).threads.get(thread.thread_id).epoch != thread.epoch


def create(adas, command_id="c", *, title="a title", **metadata):
    return adas.threads.create(command_id, title=title, metadata=metadata)


def test_a_thread_is_created_once_per_command(adas):
    first, fresh = create(adas, number=1.5)
    again, fresh_again = create(adas, number=1.5)
    assert (fresh, fresh_again) == (True, False)
    assert first == again
    assert (first.title, first.metadata) == ("a title", {"number": 1.5})
    assert adas.threads.get(first.thread_id).epoch.startswith("1.")


@pytest.mark.parametrize("other", [{"title": "another"}, {"of": "another"}])
def test_the_same_command_for_another_thread_is_a_conflict(adas, other):
    create(adas)
    with pytest.raises(IdempotencyConflict) as refused:
        create(adas, **other)
    assert refused.value.field == "command_id"


def test_a_command_whose_thread_was_deleted_creates_no_other(adas):
    thread, _ = create(adas)
    adas.thread_deletion(thread.thread_id, by="d").hide()
    with pytest.raises(NotFound):
        create(adas)


def test_a_deleted_thread_is_neither_read_renamed_listed_nor_written_to(adas, table):
    thread, _ = create(adas)
    adas.thread_deletion(thread.thread_id, by="d").hide()
    for call in (adas.threads.get, adas.threads.renew_epoch, lambda each: adas.threads.rename(each, "another")):
        with pytest.raises(NotFound) as refused:
            call(thread.thread_id)
        assert refused.value.field == "thread_id"
    assert adas.threads.page(limit=10) == ([], "")


def test_threads_are_listed_by_activity_a_page_at_a_time(adas, clock):
    created = []
    for number in range(5):
        created.append(create(adas, f"c{number}")[0].thread_id)
        clock.advance(1)
    seen, cursor = [], ""
    while True:
        page, cursor = adas.threads.page(limit=2, before=cursor)
        seen += [each.thread_id for each in page]
        if not cursor:
            break
    assert seen == created[::-1]


def test_a_list_goes_on_after_any_of_its_lines(adas, clock):
    for number in range(3):
        create(adas, f"c{number}")
        clock.advance(1)
    [first, second, third], _ = adas.threads.page(limit=3)
    assert adas.threads.page(limit=3, before=first.cursor)[0] == [second, third]


@pytest.mark.parametrize("cursor", ["x", "1", ".", "1.", "-1.t", "1.a#b", "9" * 17 + ".t", "\u0661.t"])
def test_a_cursor_that_no_page_gave_is_refused(adas, cursor):
    with pytest.raises(BadRequest) as refused:
        adas.threads.page(limit=1, before=cursor)
    assert refused.value.field == "cursor"


def test_renaming_changes_the_title_alone(adas):
    thread, _ = create(adas, of="mine")
    adas.threads.rename(thread.thread_id, "another")
    [found], _ = adas.threads.page(limit=1)
    assert (found.title, found.metadata, found.activity) == ("another", {"of": "mine"}, thread.activity)
