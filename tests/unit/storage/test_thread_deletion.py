"""Deleting a thread: hidden at once, its runs ended without an event, its rows swept (delivery.md, Delete)."""

from __future__ import annotations

import pytest

from agentsocket.errors import NotFound
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.long_texts import Line
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.rows import LogEvent
from agentsocket.storage.table import PRESENT, put, update
from agentsocket.storage.thread_log import Lease
from agentsocket.storage.user import Storage

LONG = "a long text " * 4000


def message(message_id="m1", content="hi", thread_id=None):
    return NewMessage(message_id, content, thread_id, "c1", agent="", context='{"of": "ada"}')


@pytest.fixture
def limits():
    return Limits(sweep_page=2)


@pytest.fixture
def run(adas):
    """A run under way in a thread of its own."""
    adas.connections.open("c1")
    run = adas.runs.accept(message()).run
    log, lease = adas.log(run.thread_id), Lease("w1", run.run_id, 1)
    log.take_lease(lease)
    log.start(
        run, lease, lambda seq: [LogEvent(seq, "e1", run.run_id, 1, b"{}")], seq=1, question=Line("m1", "user", "hi")
    )
    return adas.runs.get(run.run_id)


def rows_of(table, partition):
    from boto3.dynamodb.conditions import Key

    return [row["SK"] for row in table.query(partition, Key("SK").gt("!"), expired=True).items]


def test_a_thread_that_is_not_there_cannot_be_deleted(adas, storage: Storage, bob, run):
    with pytest.raises(NotFound) as absent:
        adas.thread_deletion("nowhere", by="d1").require()
    with pytest.raises(NotFound) as foreign:
        storage.for_user(bob).thread_deletion(run.thread_id, by="d1").require()
    assert (str(absent.value), absent.value.field) == (str(foreign.value), foreign.value.field)


def test_only_the_command_that_deleted_a_thread_may_go_on_with_it(adas, run):
    adas.thread_deletion(run.thread_id, by="d1").require()
    adas.thread_deletion(run.thread_id, by="d1").hide()
    adas.thread_deletion(run.thread_id, by="d1").require()
    with pytest.raises(NotFound):
        adas.thread_deletion(run.thread_id, by="d2").require()


def test_hiding_leaves_a_tombstone_without_a_text_and_tells_the_workers(adas, table, ada, clock, run):
    adas.thread_deletion(run.thread_id, by="d1").hide()
    row = table.get(keys.thread(ada.user, run.thread_id))
    assert (row["deleted_at"], row["deleted_by"]) == (int(clock()), "d1")
    assert not row.keys() & {"title", "metadata", "activity", "asked"}
    assert adas.connections.activity().must_stop(run)
    adas.thread_deletion(run.thread_id, by="d2").hide()
    assert table.get(keys.thread(ada.user, run.thread_id))["deleted_by"] == "d1"


def test_hiding_brings_back_no_thread(adas, table, ada):
    adas.thread_deletion("nowhere", by="d1").hide()
    assert table.get(keys.thread(ada.user, "nowhere")) is None


def test_a_run_ends_without_an_event_a_text_or_a_lease(adas, table, ada, run):
    adas.thread_deletion(run.thread_id).end_run(run.run_id, owner="w1")
    ended = adas.runs.get(run.run_id)
    assert (ended.state, ended.content, ended.content_bytes, ended.context, ended.digest) == (
        "stopped",
        "",
        0,
        "{}",
        "",
    )
    assert adas.connections.activity().running == []
    assert adas.log(run.thread_id).meta().lease_owner == ""
    assert adas.log(run.thread_id).top() == 1


def test_another_worker_s_lease_is_not_released(adas, run):
    adas.thread_deletion(run.thread_id).end_run(run.run_id, owner="w2")
    assert adas.log(run.thread_id).meta().lease_owner == "w1"


def test_a_run_that_has_ended_keeps_its_ending(adas, table, ada, run):
    table.write(update(keys.run(ada.user, run.run_id), sets={"state": "completed"}, when=PRESENT))
    adas.thread_deletion(run.thread_id).end_run(run.run_id)
    assert adas.runs.get(run.run_id).state == "completed"


def test_the_thread_s_runs_are_ended_page_by_page_and_no_other_s(adas, table, ada, run):
    """Also one whose record never came into the queue, and the parts that a message came in."""
    parted = adas.runs.accept(message("m2", thread_id=run.thread_id)).run
    sets = {"part_digests": ["d1"]}
    table.write(update(keys.run(ada.user, parted.run_id), sets=sets, when=PRESENT))
    table.write(put({**keys.part(ada.user, "m2", 1), "content": "hi", "upload": "u", "digest": "d1"}))
    other = adas.runs.accept(message("m3", "of another thread")).run
    deletion = adas.thread_deletion(run.thread_id, by="d1")
    pages, page = 1, deletion.end_runs()
    while page is not None:
        pages, page = pages + 1, deletion.end_runs(page)
    assert pages == 2
    assert {adas.runs.get(each.run_id).state for each in (run, parted)} == {"stopped"}
    assert table.get(keys.part(ada.user, "m2", 1)) is None
    kept = adas.runs.get(other.run_id)
    assert (kept.state, kept.content) == ("accepted", "of another thread")


def test_the_sweep_takes_everything_but_the_head_which_ends_with_the_tombstone(adas, table, ada, clock, run):
    adas.runs.accept(message("long", LONG, run.thread_id))
    partition, lease = keys.log(ada.user, run.thread_id), Lease("w1", run.run_id, 1)
    deletion = adas.thread_deletion(run.thread_id, by="d1")
    assert len(rows_of(table, partition)) > 3
    pages = 0
    while deletion.sweep():
        pages += 1
    assert pages > 1
    assert rows_of(table, partition) == [keys.META]
    deletion.finish(Lease("w2", "r", 1))
    assert "expires_at" not in table.get(keys.meta(partition))
    deletion.finish(lease)
    head = table.get(keys.meta(partition))
    assert head["expires_at"] == int(clock()) + Limits().tombstone_s
    assert not head.keys() & {"top", "lease_owner", "lease_run", "lease_until"}
