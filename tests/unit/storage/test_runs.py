"""A user's runs: accepted once, found again, retried once, stopped (delivery.md, Accept)."""

from __future__ import annotations

import pytest

from agentsocket import ids
from agentsocket.errors import Disconnect, IdempotencyConflict, NotFound, NotStoppable, Unavailable
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import delete, update
from tests.conftest import principal_of


def message(message_id="m1", content="hi", thread_id=None, connection_id="c1"):
    return NewMessage(message_id, content, thread_id, connection_id, agent="", context="{}")


@pytest.fixture
def connected(adas):
    adas.connections.open("c1")
    return adas


def test_a_new_message_gets_a_run_and_a_thread(connected):
    accepted = connected.runs.accept(message())
    assert accepted.duplicate is False
    assert connected.threads.get(accepted.run.thread_id) == accepted.thread
    assert connected.runs.get(accepted.run.run_id) == accepted.run
    assert accepted.run.state == "accepted"
    assert accepted.thread.epoch.startswith("1.")


def test_the_same_message_twice_is_one_run(connected):
    first, second = connected.runs.accept(message()), connected.runs.accept(message())
    assert second.duplicate is True
    assert second.run == first.run
    assert second.thread == first.thread


def test_the_same_message_from_another_connection_is_the_same_run(connected, clock):
    first = connected.runs.accept(message())
    connected.connections.open("c2")
    assert connected.runs.accept(message(connection_id="c2")).run.run_id == first.run.run_id


def test_the_same_id_with_other_content_is_a_conflict(connected):
    connected.runs.accept(message())
    with pytest.raises(IdempotencyConflict):
        connected.runs.accept(message(content="other"))


def test_a_retry_that_has_learned_its_thread_is_no_conflict(connected):
    first = connected.runs.accept(message())
    assert connected.runs.accept(message(thread_id=first.run.thread_id)).duplicate is True


def test_after_thirty_days_a_message_id_is_free_again(storage, connected, clock):
    first = connected.runs.accept(message())
    clock.advance(Limits().run_row_s + 1)
    later = storage.for_user(principal_of("ada", clock))
    later.connections.open("c1")
    again = later.runs.accept(message(content="other"))
    assert again.duplicate is False
    assert again.run.thread_id != first.run.thread_id


def test_long_content_is_kept_whole_beside_its_start(connected):
    long = 'wörter "und" zeilen\n' * 5000
    run = connected.runs.accept(message(content=long)).run
    assert run.truncated
    assert len(run.content.encode()) <= Limits().preview_bytes
    assert connected.log(run.thread_id).contents.whole("m1") == long


@pytest.mark.parametrize("thread_id", ["nowhere", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_a_message_to_no_thread_is_not_found(connected, thread_id):
    with pytest.raises(NotFound):
        connected.runs.accept(message(thread_id=thread_id))


def test_a_message_to_another_user_s_thread_is_not_found_in_the_same_words(storage, connected, bob, clock):
    """E6."""
    theirs = connected.runs.accept(message()).run.thread_id
    bobs = storage.for_user(bob)
    bobs.connections.open("c1")
    with pytest.raises(NotFound) as refused:
        bobs.runs.accept(message(thread_id=theirs))
    with pytest.raises(NotFound) as absent:
        bobs.runs.accept(message(thread_id="nowhere"))
    assert (str(refused.value), refused.value.field) == (str(absent.value), absent.value.field)


def end(table, who, run_id, state):
    table.write(update(keys.run(who.user, run_id), sets={"state": state, "outcome": "error", "attempts": 3}))


def test_a_run_and_whether_its_thread_is_gone_are_one_read(connected):
    run = connected.runs.accept(message()).run
    assert connected.runs.queued(run.run_id, run.thread_id) == (run, False)
    connected.thread_deletion(run.thread_id, by="c").hide()
    assert connected.runs.queued(run.run_id, run.thread_id) == (run, True)
    assert connected.runs.queued("nothing", "nowhere") == (None, True)


def test_a_run_that_is_there_is_a_duplicate_as_long_as_its_thread_is(connected):
    first = connected.runs.accept(message())
    found = connected.runs.duplicate(first.run)
    assert (found.run, found.thread, found.duplicate) == (first.run, first.thread, True)
    connected.thread_deletion(first.run.thread_id, by="c").hide()
    with pytest.raises(NotFound):
        connected.runs.duplicate(first.run)


def test_a_failed_run_is_retried_as_one_new_run_with_the_same_question(connected, table, ada, clock):
    run = connected.runs.accept(message(content="the question")).run
    end(table, ada, run.run_id, "failed")
    clock.advance(60)
    failed = connected.runs.get(run.run_id)
    first, second = connected.runs.retry(failed), connected.runs.retry(failed)
    assert first == second == connected.runs.get(ids.retry_id(ada.user, run.run_id))
    assert (first.state, first.attempts) == ("accepted", 0)
    assert (first.content, first.thread_id) == ("the question", run.thread_id)
    assert first.accepted_at == int(clock() * 1000)
    assert connected.runs.get(run.run_id).state == "failed"


def test_a_failed_run_that_has_expired_is_not_retried(connected, table, ada):
    run = connected.runs.accept(message()).run
    table.write(delete(keys.run(ada.user, run.run_id)))
    with pytest.raises(Unavailable):
        connected.runs.retry(run)


def test_a_stop_reaches_whoever_reads_the_user_s_activity(connected):
    run = connected.runs.accept(message()).run
    connected.runs.stop(run.run_id, connection_id="c1", known=True)
    assert connected.connections.activity().stops == {run.run_id}


@pytest.mark.parametrize("state", ["completed", "failed", "stopped"])
def test_a_run_that_has_ended_is_not_stopped(connected, table, ada, state):
    run = connected.runs.accept(message()).run
    end(table, ada, run.run_id, state)
    with pytest.raises(NotStoppable):
        connected.runs.stop(run.run_id, connection_id="c1", known=True)
    assert connected.connections.activity().stops == frozenset()


def test_a_stop_may_come_before_its_run_unless_that_must_be_known(connected, ada, clock):
    """D7: it is remembered for two minutes, not for as long as a run may wait."""
    early = connected.runs.id_of("not sent yet")
    with pytest.raises(NotFound) as refused:
        connected.runs.stop(early, connection_id="c1", known=True)
    assert refused.value.field == "run_id"
    connected.runs.stop(early, connection_id="c1", known=False)
    assert connected.connections.activity().stops == {early}
    clock.advance(Limits().early_stop_row_s + 1)
    assert connected.connections.activity().stops == frozenset()


def test_a_connection_that_is_not_there_stops_nothing(adas):
    with pytest.raises(Disconnect):
        adas.runs.stop(adas.runs.id_of("m1"), connection_id="c1", known=False)
    assert adas.connections.activity().stops == frozenset()
