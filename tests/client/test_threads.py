"""The order of one thread: every event once, no hole, whatever overtakes what."""

from __future__ import annotations

from typing import Any

from agentsocket_client.frames import Position
from agentsocket_client.limits import Limits
from agentsocket_client.threads import Phase, Thread
from tests.client.fakes import EPOCH, RUN, THREAD, event, snapshot, subscribed

AT_10: Position = {"epoch": EPOCH, "seq": 10}
ACCEPTED = {"thread_id": THREAD, "epoch": EPOCH, "run_id": RUN, "message_id": "m1", "duplicate": False}


def thread(start: Position | None = AT_10) -> Thread:
    return Thread(THREAD, start, limits=Limits(), random=lambda: 1.0)


def resumed(start: Position | None = AT_10) -> Thread:
    """Its connection was lost; the hello of the next one asks for it, at time 0."""
    one = thread(start)
    one.disconnected()
    one.asked(0)
    return one


def seqs(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["seq"] for frame in frames]


def live(one: Thread, *numbers: int, now: float = 1) -> list[int]:
    return [seq for number in numbers for seq in seqs(one.event(event(number), now))]


def replay(one: Thread, *numbers: int, more: bool = False, now: float = 1) -> list[int]:
    return seqs(one.batch([event(number) for number in numbers], more=more, now=now))


def says(one: Thread, frame: dict[str, Any], now: float = 1) -> None:
    one.subscribed(frame["payload"], now)


def test_events_in_order_are_shown_at_once() -> None:
    assert live(thread(), 11, 12, 13) == [11, 12, 13]


def test_no_event_is_shown_twice() -> None:
    """D6."""
    assert live(thread(), 10, 11, 11, 9, 12, 11) == [11, 12]


def test_an_event_that_overtook_another_waits_for_it() -> None:
    assert live(thread(), 13, 12) == []
    one = thread()
    assert live(one, 12, 11, 13) == [11, 12, 13]


def test_a_gap_is_asked_about_after_500_ms_and_not_before() -> None:
    one = thread()
    live(one, 12, now=1.0)
    live(one, 14, now=1.3)
    assert one.due() == 1.5


def test_a_gap_that_closes_is_not_asked_about() -> None:
    one = thread()
    live(one, 12, 11, now=1.0)
    assert one.due() == 1 + Limits().silence_s


def test_a_new_gap_has_its_own_500_ms() -> None:
    one = thread()
    live(one, 12, 14, now=1.0)
    live(one, 11, now=1.4)
    assert one.due() == 1.9


def test_a_gap_that_stays_is_asked_about_with_backoff() -> None:
    one = thread()
    now, waits = 1.0, []
    live(one, 12, now=now)
    for _ in range(5):
        asked = one.due()
        assert asked is not None
        waits.append(asked - now)
        now = asked
        one.asked(now)
        says(one, subscribed(10, recovered=True), now)
        replay(one, now=now)
    assert waits == [0.5, 0.5, 1, 2, 4]


def test_a_gap_that_was_filled_leaves_no_backoff_behind() -> None:
    one = thread()
    for number in range(11, 31, 2):
        live(one, number + 1, now=number)
        assert one.due() == number + 0.5
        one.asked(number + 0.5)
        says(one, subscribed(number + 1, recovered=True), now=number + 0.5)
        assert replay(one, number, now=number + 0.5) == [number, number + 1]


def test_nothing_is_shown_between_the_question_and_its_answer() -> None:
    """Even the epoch may prove to be another one."""
    assert live(resumed(), 11, 12) == []


def test_replay_and_live_events_meet_without_a_gap() -> None:
    """D9: live events are held back up to the end of the replay, and no gap timer runs."""
    one = resumed()
    says(one, subscribed(13, recovered=True), now=2)
    assert live(one, 14, now=2) == []
    assert one.due() == 2 + Limits().reply_s
    assert replay(one, 11, 12, more=True) == [11, 12]
    assert live(one, 15) == []
    assert replay(one, 13) == [13, 14, 15]
    assert one.phase is Phase.LIVE


def test_a_replay_that_repeats_what_was_seen_repeats_nothing() -> None:
    """D6."""
    one = resumed()
    says(one, subscribed(12, recovered=True))
    assert replay(one, 9, 10, 11, 12) == [11, 12]


def test_a_replay_that_stops_half_way_is_asked_for_again_after_10_s() -> None:
    one = resumed()
    says(one, subscribed(20, recovered=True), now=3)
    replay(one, 11, more=True, now=4)
    assert one.due() == 14


def test_a_snapshot_takes_over_epoch_and_seq() -> None:
    """D8."""
    one = resumed()
    says(one, subscribed(40, recovered=False, epoch="epoch-2"))
    assert one.snapshot(snapshot(40, epoch="epoch-2")["payload"], 1) == []
    assert one.since() == {"epoch": "epoch-2", "seq": 40}
    assert live(one, 40, 41) == [41]


def test_a_snapshot_with_the_answer_ends_the_watch_over_the_run() -> None:
    one = thread()
    live(one, 11)
    one.disconnected()
    one.asked(2)
    says(one, subscribed(40, recovered=False))
    one.snapshot(snapshot(40, {"message_id": f"{RUN}.1"})["payload"], 2)
    assert one.due() is None


def test_live_events_after_a_snapshot_are_joined_and_what_it_covers_is_dropped() -> None:
    one = resumed()
    says(one, subscribed(40, recovered=False))
    assert live(one, 40, 41) == []
    assert seqs(one.snapshot(snapshot(40)["payload"], 1)) == [41]
    assert one.due() == 1 + Limits().silence_s


def test_events_held_under_another_epoch_are_asked_for_again() -> None:
    """Their numbers say nothing: neither shown nor lost."""
    one = resumed()
    assert live(one, 5) == []
    says(one, subscribed(4, recovered=False, epoch="epoch-2"))
    assert one.snapshot(snapshot(4, epoch="epoch-2")["payload"], 1) == []
    assert one.due() is not None
    one.asked(2)
    says(one, subscribed(5, recovered=True, epoch="epoch-2"))
    assert replay(one, 5) == [5]


def test_a_new_thread_begins_at_seq_1_even_before_its_epoch_is_known() -> None:
    """Pushes may overtake message_accepted."""
    one = thread(None)
    assert live(one, 1, 2) == [1, 2]
    assert one.since() is None
    one.accepted(ACCEPTED, 2)
    assert one.since() == {"epoch": EPOCH, "seq": 2}


def test_a_gap_of_a_thread_without_an_epoch_is_asked_about_once_there_is_one() -> None:
    one = thread(None)
    live(one, 1, 3, now=1)
    assert one.due() is None
    one.accepted(ACCEPTED, 1.2)
    assert one.due() == 1.5


def test_a_duplicate_is_asked_about_at_once_for_its_events_may_have_gone_elsewhere() -> None:
    one = thread(None)
    one.accepted(ACCEPTED | {"duplicate": True}, 1)
    assert one.due() == 0


def test_a_message_accepted_under_another_epoch_is_asked_about_at_once() -> None:
    one = thread()
    one.accepted(ACCEPTED | {"epoch": "epoch-2"}, 1)
    assert one.due() == 0
    assert one.since() == AT_10


def test_45_s_of_silence_in_an_active_run_are_asked_about() -> None:
    one = thread()
    one.accepted(ACCEPTED, 100)
    assert one.due() == 145
    live(one, 11, now=120)
    assert one.due() == 165


def test_silence_without_a_run_is_fine() -> None:
    one = thread()
    live(one, 11, now=1)
    live(one, 12, now=1)
    one.event(event(13, "final_report", {"message_id": "x", "content": ""}), 2)
    assert one.due() is None


def test_a_subscribe_that_failed_for_now_is_repeated_but_not_too_soon() -> None:
    one = resumed()
    one.refused(not_before=60)
    assert one.due() == 60


def test_without_a_position_a_replay_begins_where_it_begins() -> None:
    one = thread(None)
    one.asked(0)
    says(one, subscribed(30, recovered=True))
    assert replay(one, 28, 29, 30) == [28, 29, 30]


def test_without_a_position_or_a_replay_the_thread_goes_on_from_its_top() -> None:
    one = thread(None)
    one.asked(0)
    says(one, subscribed(30, recovered=True))
    live(one, 31)
    assert replay(one) == [31]


def test_the_position_is_what_was_read_not_what_has_arrived() -> None:
    one = thread()
    live(one, 11, 12)
    assert one.position() == AT_10
    one.read(EPOCH, 11)
    assert one.position() == {"epoch": EPOCH, "seq": 11}


def test_the_position_of_a_new_thread_gets_its_epoch_later() -> None:
    one = thread(None)
    live(one, 1)
    one.read(None, 1)
    assert one.position() == {"epoch": None, "seq": 1}
    one.accepted(ACCEPTED, 1)
    assert one.position() == {"epoch": EPOCH, "seq": 1}
