from __future__ import annotations

import pytest
from boto3.dynamodb.conditions import Key

from agentsocket.errors import LeaseHeld, LeaseLost, ThreadDeleted
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.long_texts import Line
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.rows import LogEvent
from agentsocket.storage.table import update
from agentsocket.storage.thread_log import Lease

LIMITS = Limits()
QUESTION = Line("m1", "user", "hi")


@pytest.fixture
def run(adas, clock):
    adas.connections.open("c1")
    return adas.runs.accept(NewMessage("m1", "hi", None, "c1", agent="", context="{}")).run


@pytest.fixture
def log(adas, run):
    return adas.log(run.thread_id)


def lease(run, owner="w1", attempt=1):
    return Lease(owner, run.run_id, attempt)


def event(run, name, attempt=1):
    return lambda seq: LogEvent(seq, name, run.run_id, attempt, b'{"type":"x","timestamp":1}')


def events(run, *names, attempt=1):
    return lambda seq: [event(run, name, attempt)(seq + index) for index, name in enumerate(names)]


def started(log, run, owner="w1"):
    mine = lease(run, owner)
    log.take_lease(mine)
    log.start(run, mine, events(run, "q", "s"), seq=1, question=QUESTION)
    return mine


def logged(log):
    found, more = log.events(after=0, limit=100)
    assert not more
    return [(event.seq, event.event_id) for event in found]


def test_a_free_thread_s_lease_is_taken(log, run):
    taken = log.take_lease(lease(run))
    assert (taken.top, taken.intact) == (0, True)
    assert log.meta().lease_owner == "w1"


def test_a_held_lease_says_how_long_it_runs(log, run, clock):
    log.take_lease(lease(run))
    clock.advance(5)
    with pytest.raises(LeaseHeld) as held:
        log.take_lease(lease(run, "w2"))
    assert held.value.remaining_s == pytest.approx(LIMITS.lease_s - 5)


def test_my_own_lease_is_taken_again_after_a_lost_answer(log, run):
    log.take_lease(lease(run))
    assert log.take_lease(lease(run)).intact


def test_a_lapsed_lease_is_taken_over(log, run, clock):
    log.take_lease(lease(run))
    clock.advance(LIMITS.lease_s + 1)
    log.take_lease(lease(run, "w2"))
    assert log.meta().lease_owner == "w2"


def test_a_renewed_lease_does_not_lapse_and_notes_the_top(log, run, clock):
    mine = lease(run)
    log.take_lease(mine)
    clock.advance(LIMITS.lease_s - 1)
    log.renew_lease(mine, top=7)
    clock.advance(LIMITS.lease_s - 1)
    with pytest.raises(LeaseHeld):
        log.take_lease(lease(run, "w2"))
    assert log.meta().top == 7


def test_who_lost_the_lease_cannot_renew_it(log, run, clock):
    log.take_lease(lease(run))
    clock.advance(LIMITS.lease_s + 1)
    log.take_lease(lease(run, "w2"))
    with pytest.raises(LeaseLost):
        log.renew_lease(lease(run), top=1)


def test_a_lease_abandoned_for_longer_than_events_live_cannot_be_trusted(log, run, clock):
    log.take_lease(lease(run))
    clock.advance(LIMITS.event_row_s + LIMITS.lease_s + 1)
    assert log.take_lease(lease(run, "w2")).intact is False


def test_a_start_counts_the_attempt_and_writes_the_question(log, run, adas):
    started(log, run)
    found = adas.runs.get(run.run_id)
    assert (found.state, found.attempts, found.owner, found.first_seq) == ("running", 1, "w1", 1)
    assert logged(log) == [(1, "q"), (2, "s")]
    [line] = log.messages(up_to=9, limit=9)
    assert (line.message_id, line.role, line.content) == ("m1", "user", "hi")


def test_a_second_attempt_does_not_write_the_question_again(log, run, adas, clock):
    started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    again = adas.runs.get(run.run_id)
    second = lease(run, "w2", attempt=2)
    top = log.take_lease(second).top
    assert log.start(again, second, events(run, "s2", attempt=2), seq=top + 1, question=QUESTION) == 3
    assert logged(log) == [(1, "q"), (2, "s"), (3, "s2")]
    assert len(log.messages(up_to=9, limit=9)) == 1
    assert adas.runs.get(run.run_id).first_seq == 1


def test_an_attempt_is_counted_once(log, run, clock):
    """Two workers that both read attempts = 0: only one can begin attempt 1."""
    started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    late = lease(run, "w2", attempt=1)
    log.take_lease(late)
    with pytest.raises(LeaseLost):
        log.start(run, late, events(run, "q2", "s2"), seq=3, question=QUESTION)
    assert logged(log) == [(1, "q"), (2, "s")]


def test_a_start_whose_answer_was_lost_is_recognised(log, run):
    mine = started(log, run)
    assert log.start(run, mine, events(run, "q", "s"), seq=1, question=QUESTION) == 1
    assert logged(log) == [(1, "q"), (2, "s")]


def test_an_append_whose_answer_was_lost_is_recognised(log, run):
    mine = started(log, run)
    log.append(mine, event(run, "e"), seq=3)
    assert log.append(mine, event(run, "e"), seq=3).seq == 3
    assert logged(log) == [(1, "q"), (2, "s"), (3, "e")]


def test_a_writer_that_loses_a_slot_but_not_the_lease_goes_on_at_the_tail(log, run, clock):
    """A zombie woken after its lease lapsed fills one slot; the rightful writer passes it."""
    zombie = started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    rightful = lease(run, "w2", attempt=2)
    log.take_lease(rightful)
    log.append(zombie, event(run, "zombie"), seq=3)
    assert log.append(rightful, event(run, "mine", 2), seq=3).seq == 4


def test_a_writer_that_lost_the_lease_stops(log, run, clock):
    zombie = started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    rightful = lease(run, "w2", attempt=2)
    log.take_lease(rightful)
    log.append(rightful, event(run, "mine", 2), seq=3)
    with pytest.raises(LeaseLost):
        log.append(zombie, event(run, "zombie"), seq=3)


def test_an_ending_is_whole(log, run, adas, table, ada):
    mine = started(log, run)
    answer = Line("r.1", "assistant", "hello")
    assert log.finish(mine, events(run, "c", "f"), seq=3, outcome="success", answer=answer) == 3
    found = adas.runs.get(run.run_id)
    assert (found.state, found.last_seq) == ("completed", 4)
    meta = log.meta()
    assert (meta.top, meta.lease_owner) == (4, "")
    assert [line.role for line in log.messages(up_to=9, limit=9)] == ["user", "assistant"]
    assert table.get(keys.run_pointer(ada.user, run.run_id)) is None


def test_while_it_runs_a_run_is_pointed_to(log, run, table, ada):
    started(log, run)
    assert table.get(keys.run_pointer(ada.user, run.run_id))["thread_id"] == run.thread_id


def test_an_ending_whose_answer_was_lost_is_recognised(log, run):
    mine = started(log, run)
    log.finish(mine, events(run, "c"), seq=3, outcome="error", answer=None)
    assert log.finish(mine, events(run, "c"), seq=3, outcome="error", answer=None) == 3
    assert logged(log) == [(1, "q"), (2, "s"), (3, "c")]


def test_a_run_has_one_ending(log, run, clock, adas):
    zombie = started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    second = lease(run, "w2", attempt=2)
    top = log.take_lease(second).top
    log.start(adas.runs.get(run.run_id), second, events(run, "s2", attempt=2), seq=top + 1, question=QUESTION)
    log.finish(second, events(run, "c", attempt=2), seq=4, outcome="success", answer=None)
    with pytest.raises(LeaseLost):
        log.finish(zombie, events(run, "zombie"), seq=3, outcome="error", answer=None)
    assert logged(log)[-1] == (4, "c")
    assert adas.runs.get(run.run_id).state == "completed"


def test_a_zombie_cannot_end_a_run_that_another_worker_holds(log, run, clock, adas):
    zombie = started(log, run)
    clock.advance(LIMITS.lease_s + 1)
    log.take_lease(lease(run, "w2", attempt=2))
    with pytest.raises(LeaseLost):
        log.finish(zombie, events(run, "zombie"), seq=3, outcome="error", answer=None)
    assert adas.runs.get(run.run_id).state == "running"


def test_a_long_answer_is_kept_whole_beside_its_start(log, run):
    mine = started(log, run)
    long = "zeile\n" * 200_000
    log.finish(mine, events(run, "c"), seq=3, outcome="success", answer=Line("r.1", "assistant", long))
    line = log.messages(up_to=9, limit=9)[-1]
    assert line.truncated
    assert log.contents.whole("r.1") == long


def test_expired_events_are_not_read_but_keep_their_slots(log, run, clock, table, ada):
    mine = started(log, run)
    log.finish(mine, events(run, "c"), seq=3, outcome="error", answer=None)
    clock.advance(LIMITS.event_row_s + 1)
    assert log.events(after=0, limit=9) == ([], False)
    assert log.top() == 3
    rows = table.query(keys.log(ada.user, run.thread_id), Key("SK").begins_with(keys.EVENT), expired=True)
    assert len(rows.items) == 3


def test_events_are_read_in_pages(log, run):
    started(log, run)
    first, more = log.events(after=0, limit=1)
    assert ([e.seq for e in first], more) == ([1], True)
    second, _ = log.events(after=1, up_to=2, limit=9)
    assert [e.seq for e in second] == [2]
    assert log.events(after=2, up_to=2, limit=9) == ([], False)


def test_a_long_event_is_kept_compressed_and_read_as_it_was(log, run, dynamodb):
    """DynamoDB charges for each KB, and in a transaction twice."""
    mine = started(log, run)
    frame = b'{"type":"x","payload":"' + b"to be or not to be, " * 500 + b'"}'
    log.append(mine, lambda seq: LogEvent(seq, "long", run.run_id, 1, frame), seq=3)
    [found], _ = log.events(after=2, limit=9)
    assert found.frame == frame
    rows = dynamodb.scan(TableName="agentsocket", ConsistentRead=True)["Items"]
    [row] = [row for row in rows if row["SK"]["S"].startswith("EVENT#") and row["event_id"]["S"] == "long"]
    assert len(row["frame"]["B"]) < len(frame) // 10


def test_a_deleted_thread_gets_no_ending(log, run, table, ada, adas):
    """delivery.md, Lease and attempts: endings check the tombstone."""
    mine = started(log, run)
    table.write(update(keys.thread(ada.user, run.thread_id), sets={"deleted_at": 1}))
    with pytest.raises(ThreadDeleted):
        log.finish(mine, events(run, "c"), seq=3, outcome="success", answer=None)
    assert not adas.runs.get(run.run_id).terminal
    assert logged(log) == [(1, "q"), (2, "s")]
