"""The queues in memory follow SQS's rules."""

from __future__ import annotations

from tests.simulation.sqs import Queue


def _fifo(**settings) -> Queue:
    return Queue(visibility_s=30, **settings)


def _bodies(queue: Queue, now: float) -> list[str]:
    found = []
    while (message := queue.receive(now)) is not None:
        found.append(message.body)
    return found


def test_a_group_goes_one_at_a_time_and_in_order():
    queue = _fifo()
    for number in (1, 2):
        queue.send(f"a{number}", 0, group="a", deduplication=f"a{number}")
        queue.send(f"b{number}", 0, group="b", deduplication=f"b{number}")
    assert _bodies(queue, 1) == ["a1", "b1"]
    assert queue.delete("1.1", 2)
    assert _bodies(queue, 2) == ["a2"]


def test_what_was_sent_in_the_last_five_minutes_is_not_queued_again():
    queue = _fifo()
    assert queue.send("a", 0, group="g", deduplication="d")
    assert not queue.send("a", 299, group="g", deduplication="d")
    assert queue.send("a", 0, group="other", deduplication="d")
    assert queue.send("a", 301, group="g", deduplication="d")


def test_a_record_returns_when_its_visibility_lapses_and_its_old_receipt_is_stale():
    queue = _fifo()
    queue.send("a", 0, group="g", deduplication="d")
    first = queue.receive(0)
    assert first is not None
    handle = first.handle
    assert queue.hide(handle, 10, 1)
    assert queue.receive(10.9) is None
    assert not queue.hide(handle, 10, 11), "its time-out has passed"
    assert _bodies(queue, 11) == ["a"]
    assert not queue.delete(handle, 12)
    assert queue.delete("1.2", 12)
    assert not queue.messages


def test_what_was_received_too_often_goes_to_the_dead_letters():
    queue = _fifo(max_receives=2)
    queue.send("poison", 0, group="g", deduplication="1")
    queue.send("next", 0, group="g", deduplication="2")
    assert [_bodies(queue, now) for now in (0, 31)] == [["poison"], ["poison"]]
    assert _bodies(queue, 62) == ["next"]
    assert [message.body for message in queue.dead] == ["poison"]


def test_a_standard_queue_delays_and_knows_no_groups():
    queue = Queue(visibility_s=30, fifo=False)
    queue.send("later", 0, delay_s=60)
    queue.send("now", 0)
    queue.send("now", 0)
    assert _bodies(queue, 0) == ["now", "now"]
    assert queue.next_at(0) == 30
    assert _bodies(queue, 60) == ["later", "now", "now"]


def test_dead_letters_are_redriven_as_new_messages():
    queue, dead = _fifo(), _fifo()
    dead.send("run", 0, group="g", deduplication="r")
    dead.redrive(queue, 1)
    assert (_bodies(dead, 1), _bodies(queue, 1)) == ([], ["run"])
