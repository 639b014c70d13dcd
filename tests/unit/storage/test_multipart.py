"""Messages that arrive in parts: any order, repeats, conflicts, bounds, crashes (delivery.md, Parts)."""

from __future__ import annotations

import itertools

import pytest
from boto3.dynamodb.conditions import Key
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import BadRequest, Busy, Disconnect, IdempotencyConflict, NotFound, TooLarge, Unavailable
from agentsocket.limits import KB, Limits
from agentsocket.storage import keys
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.fault_injection import Died, Meddled, die
from tests.support.world import World

LIMITS = Limits(command_burst=10_000)  # all of it happens in one moment here
TEXTS = ("one ", "zwei ", "drei\n")


@pytest.fixture
def client(dynamodb):
    return Meddled(dynamodb)


@pytest.fixture
def world(client, runtime, clock, ada):
    storage = Storage(Table(client, "agentsocket", now=clock), limits=LIMITS, generation="1")
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Text("done"), Report()]))
    world.connect(ada, "a1")
    return world


def send(world, who, number, *, texts=TEXTS, connection_id="a1", **payload):
    """One part of a message; its answer."""
    told = {"message_id": "m1", "content": texts[number - 1], "part": number, "parts": len(texts), **payload}
    [answer] = world.say(who, connection_id, "user_message", **told)
    return answer


def send_all(world, who, **payload):
    """Every part in order; the last answer."""
    for number in range(1, len(payload.get("texts", TEXTS)) + 1):
        answer = send(world, who, number, **payload)
    return answer


def rows(dynamodb):
    return dynamodb.scan(TableName="agentsocket")["Items"]


def parts_kept(world, who):
    found = world.storage._table.query_all(keys.user(who.user), Key("SK").begins_with("PART#"))
    return [row["content"] for row in found]


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
async def test_parts_come_in_any_order_and_from_any_connection(world, ada, order):
    world.connect(ada, "a2")
    missing = {1, 2, 3}
    for number, connection_id in zip(order, ("a1", "a2", "a1"), strict=True):
        answer = send(world, ada, number, connection_id=connection_id)
        missing -= {number}
        if missing:
            assert answer == {"message_id": "m1", "part": number, "parts": 3, "missing": sorted(missing)}
            assert world.queue.waiting == []
    assert (answer["message_id"], answer["duplicate"]) == ("m1", False)
    await world.work()
    assert [turn.text for turn in world.agent.turns] == ["".join(TEXTS)]


def test_the_message_is_as_if_it_had_come_whole(world, ada):
    accepted = send_all(world, ada, agent="usage_analyst", context={"page": "costs"})
    run = world.storage.for_user(ada).runs.get(accepted["run_id"])
    assert (run.content, run.agent, run.context, run.connection_id) == (
        "".join(TEXTS),
        "usage_analyst",
        '{"page":"costs"}',
        "a1",
    )
    again = world.send(ada, "a1", "".join(TEXTS), message_id="m1", agent="usage_analyst", context={"page": "costs"})
    assert again == {**accepted, "duplicate": True}


def test_a_part_that_comes_again_is_answered_as_before(world, ada):
    first = send(world, ada, 2)
    assert send(world, ada, 2) == first
    send(world, ada, 1)
    assert send(world, ada, 2) == {**first, "missing": [3]}
    assert send(world, ada, 3)["duplicate"] is False


OTHERWISE = [
    {"content": "eins "},
    {"parts": 4},
    {"agent": "usage_analyst"},
    {"context": {"page": "home"}},
]


@pytest.mark.parametrize("change", OTHERWISE, ids=str)
def test_a_part_that_contradicts_what_came_before_is_a_conflict(world, ada, change):
    send(world, ada, 1)
    with pytest.raises(IdempotencyConflict) as refused:
        send(world, ada, 1, **change)
    assert refused.value.field == "payload.message_id"
    send(world, ada, 2)
    assert send(world, ada, 3)["duplicate"] is False


def test_a_part_for_another_thread_is_a_conflict(world, ada):
    threads = [world.send(ada, "a1", "hi", message_id=name)["thread_id"] for name in ("x", "y")]
    send(world, ada, 1, thread_id=threads[0])
    for other in ({"thread_id": threads[1]}, {}):
        with pytest.raises(IdempotencyConflict):
            send(world, ada, 2, **other)


@pytest.mark.parametrize(
    ("numbers", "field"),
    [
        ({"part": 1}, "payload.parts"),
        ({"parts": 2}, "payload.part"),
        ({"part": 3, "parts": 2}, "payload.part"),
        ({"part": 0, "parts": 2}, "payload.part"),
        ({"part": 1, "parts": 1}, "payload.parts"),
        ({"part": 1, "parts": 41}, "payload.parts"),
        ({"part": 41, "parts": 40}, "payload.part"),
        ({"part": "1", "parts": 2}, "payload.part"),
        ({"part": True, "parts": 2}, "payload.part"),
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_refused_by_name(world, ada, numbers, field):
    """G4."""
    with pytest.raises(BadRequest) as refused:
        world.say(ada, "a1", "user_message", message_id="m1", content="x", **numbers)
    assert refused.value.field == field


def test_a_message_may_have_forty_parts(world, ada):
    assert send_all(world, ada, texts=["x"] * 40)["duplicate"] is False


def test_an_unknown_agent_or_thread_is_refused_at_the_first_part(world, ada, bob, dynamodb):
    """E6."""
    world.connect(bob, "b1")
    theirs = world.send(bob, "b1", "hi", message_id="b")["thread_id"]
    before = len(rows(dynamodb))
    for payload, error in (({"agent": "nobody"}, BadRequest), ({"thread_id": theirs}, NotFound)):
        with pytest.raises(error):
            send(world, ada, 1, **payload)
    assert len(rows(dynamodb)) == before


def test_a_deleted_thread_takes_no_parts(world, ada):
    thread_id = world.send(ada, "a1", "hi", message_id="x")["thread_id"]
    send(world, ada, 1, thread_id=thread_id)
    world.say(ada, "a1", "delete_thread", thread_id=thread_id)
    with pytest.raises(NotFound):
        send(world, ada, 2, thread_id=thread_id)


def test_two_users_parts_of_one_id_meet_nowhere(world, ada, bob):
    """E7."""
    world.connect(bob, "b1")
    send(world, ada, 1)
    send(world, ada, 2)
    answer = send(world, bob, 3, connection_id="b1")
    assert answer["missing"] == [1, 2]
    assert send(world, ada, 3)["duplicate"] is False


def test_a_connection_that_may_not_speak_brings_no_part(world, ada, dynamodb):
    before = len(rows(dynamodb))
    with pytest.raises(Disconnect):
        send(world, ada, 1, connection_id="unknown")
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        send(world, ada, 1)
    assert ended.value.code == "revoked"
    assert len(rows(dynamodb)) == before + 1  # the revocation


# After acceptance.


def test_a_part_after_acceptance_is_answered_by_the_run(world, ada, client):
    accepted = send_all(world, ada)
    client.reset()
    for number in (1, 3):
        assert send(world, ada, number) == {**accepted, "duplicate": True}
    assert set(client.names) <= {"batch_get_item", "get_item"}
    assert send(world, ada, 2, thread_id=accepted["thread_id"]) == {**accepted, "duplicate": True}


@pytest.mark.parametrize("change", [OTHERWISE[0], *OTHERWISE[2:]], ids=str)
def test_another_part_after_acceptance_is_a_conflict(world, ada, change):
    send_all(world, ada)
    with pytest.raises(IdempotencyConflict):
        send(world, ada, 1, **change)


def test_another_thread_after_acceptance_is_a_conflict(world, ada):
    send_all(world, ada)
    other = world.send(ada, "a1", "hi", message_id="x")["thread_id"]
    with pytest.raises(IdempotencyConflict):
        send(world, ada, 1, thread_id=other)


@pytest.mark.parametrize("before", ["parts", "whole"])
def test_an_accepted_message_that_is_split_otherwise_ends_as_the_duplicate_it_is(world, ada, before):
    whole = "".join(TEXTS)
    accepted = send_all(world, ada) if before == "parts" else world.send(ada, "a1", whole, message_id="m1")
    split = [whole[:3], whole[3:]]
    assert send(world, ada, 1, texts=split)["missing"] == [2]
    assert send(world, ada, 2, texts=split) == {**accepted, "duplicate": True}
    with pytest.raises(IdempotencyConflict):
        send_all(world, ada, texts=[*split, "more", "?"])


def test_a_part_after_acceptance_queues_a_run_that_never_was(world, ada):
    """The crash between the run's row and the queue heals on the client's retry."""
    accepted = send_all(world, ada)
    world.queue.waiting.clear()
    world.queue.seen.clear()
    send(world, ada, 3)
    assert [request.run_id for request in world.queue.waiting] == [accepted["run_id"]]


def test_a_part_after_acceptance_frees_what_a_crash_left_open(world, ada, client):
    send(world, ada, 1)
    send(world, ada, 2)
    client.reset()
    client.after[5] = die
    with pytest.raises(Died):
        send(world, ada, 3)
    assert client.names[5] == "transact_write_items"
    assert uploads(world, ada) == {"m1"}
    assert send(world, ada, 3)["duplicate"] is True
    assert uploads(world, ada) == set()


def uploads(world, who):
    row = world.storage._table.get(keys.uploads(who.user))
    return set(row["open"]) if row else set()


# Bounds.


def test_a_part_over_32_kb_is_too_large(world, ada):
    fits = "ä" * (16 * KB)
    assert send(world, ada, 1, texts=[fits, "x"])["missing"] == [2]
    with pytest.raises(TooLarge) as refused:
        send(world, ada, 2, texts=[fits, fits + "x"])
    assert refused.value.field == "payload.content"


async def test_a_message_of_one_megabyte_arrives_whole(world, ada, dynamodb):
    """J6: no item over 300 KB on the way."""
    block = "€ 1,5 \n" * 3640 + "xx🎉"
    texts = [block[: 32 * KB // 4 * 3]] * 30
    whole = "".join(texts)
    rest = 1024 * KB - len(whole.encode())
    while rest > 0:
        texts.append("y" * min(rest, 32 * KB))
        rest -= 32 * KB
    assert len("".join(texts).encode()) == 1024 * KB
    assert send_all(world, ada, texts=texts)["duplicate"] is False
    assert max(size(item) for item in rows(dynamodb)) <= 300 * KB
    await world.work()
    assert world.agent.turns[0].text == "".join(texts)


def size(item):
    """As DynamoDB counts, roughly: names and values in UTF-8."""
    held = [
        each if isinstance(each, bytes) else str(each).encode() for value in item.values() for each in value.values()
    ]
    return sum(map(len, (*item, *held)))


def test_more_than_one_megabyte_is_refused_before_it_is_kept(world, ada):
    texts = ["x" * 32 * KB] * 32 + ["y"]
    for number in range(1, 33):
        send(world, ada, number, texts=texts)
    with pytest.raises(TooLarge) as refused:
        send(world, ada, 33, texts=texts)
    assert refused.value.field == "payload.content"
    assert len(parts_kept(world, ada)) == 32
    assert send(world, ada, 32, texts=texts)["missing"] == [33]  # its own size is not counted twice


def test_what_two_requests_let_pass_together_is_refused_in_the_end(client, runtime, clock, ada):
    limits = replace(LIMITS, max_content_bytes=10)
    storage = Storage(Table(client, "agentsocket", now=clock), limits=limits)
    world = World(storage, runtime, Scripted([Report()]))
    world.connect(ada, "a1")
    client.reset()
    client.before[2] = lambda: send(world, ada, 2, texts=["x" * 6, "y" * 6])  # after the first has looked for room
    send_opened = {"message_id": "m1", "content": "x" * 6, "part": 1, "parts": 2}
    with pytest.raises(TooLarge):
        world.say(ada, "a1", "user_message", **send_opened)
    assert world.queue.waiting == []
    row = storage._table.for_user(ada.user).get(keys.uploads(ada.user))
    assert row is not None
    assert row["open"] == {}


def test_a_user_has_four_messages_under_way_and_no_more(world, ada, bob, clock):
    for name in "abcd":
        send(world, ada, 1, message_id=name)
    clock.advance(60)
    with pytest.raises(Busy) as refused:
        send(world, ada, 1, message_id="e")
    assert (refused.value.code, refused.value.temporary) == ("busy", True)
    assert refused.value.retry_after_ms == (LIMITS.upload_row_s - 60) * 1000
    assert len(parts_kept(world, ada)) == 4
    world.connect(bob, "b1")
    assert send(world, bob, 1, message_id="e", connection_id="b1")["missing"] == [2, 3]
    send(world, ada, 2, message_id="a")
    assert send(world, ada, 3, message_id="a")["duplicate"] is False
    assert send(world, ada, 1, message_id="e")["missing"] == [2, 3]


def test_messages_that_were_refused_whole_take_nobody_s_place(world, ada):
    """Another text under an id that was used before: that never will be accepted."""
    for name in "abcd":
        world.send(ada, "a1", "the first one", message_id=name)
        send(world, ada, 1, message_id=name, texts=("an", "other"))
        with pytest.raises(IdempotencyConflict):
            send(world, ada, 2, message_id=name, texts=("an", "other"))
    assert send(world, ada, 1, message_id="e")["missing"] == [2, 3]


def test_four_stays_the_bound_when_all_begin_at_once(world, ada, client):
    """Each looks before the next one writes."""
    refused = []

    def begin(names):
        client.reset()
        if len(names) > 1:
            client.before[1] = lambda: begin(names[1:])
        try:
            send(world, ada, 1, message_id=names[0])
        except Busy:
            refused.append(names[0])

    begin("abcdef")
    assert refused == ["b", "a"]
    assert uploads(world, ada) == set("cdef")


def test_what_has_not_come_whole_in_ten_minutes_is_forgotten(world, ada, clock):
    for name in "abcd":
        send(world, ada, 1, message_id=name)
    clock.advance(LIMITS.upload_row_s - 1)
    assert send(world, ada, 2, message_id="a")["missing"] == [3]
    clock.advance(1)
    later = principal_of("ada", clock)
    world.connect(later, "a2")
    assert send(world, later, 3, message_id="a", connection_id="a2")["missing"] == [1, 2]
    assert send(world, later, 1, message_id="e", connection_id="a2")["missing"] == [2, 3]
    assert uploads(world, later) == {"a", "e"}


def test_each_upload_has_ten_minutes_of_its_own(world, ada, clock):
    send(world, ada, 1, message_id="a")
    clock.advance(300)
    for name in "bcd":
        send(world, ada, 1, message_id=name)
    clock.advance(LIMITS.upload_row_s - 300)
    assert send(world, ada, 2, message_id="b")["missing"] == [3]
    assert send(world, ada, 1, message_id="e")["missing"] == [2, 3]
    assert uploads(world, ada) == set("bcde")
    with pytest.raises(Busy):
        send(world, ada, 2, message_id="a")


def test_the_rows_of_a_forgotten_upload_hold_nothing_up(world, ada, clock):
    """TTL deletes late: what was said then is neither used nor in the way."""
    send(world, ada, 1, texts=["then ", "x"])
    clock.advance(LIMITS.upload_row_s + 1)
    later = principal_of("ada", clock)
    world.connect(later, "a2")
    assert send(world, later, 2, texts=["now ", "x"], connection_id="a2")["missing"] == [1]
    accepted = send(world, later, 1, texts=["now ", "x"], connection_id="a2")
    assert world.storage.for_user(later).runs.get(accepted["run_id"]).content == "now x"


def test_a_part_lives_no_longer_than_its_upload(world, ada, clock):
    send(world, ada, 1)
    clock.advance(300)
    send(world, ada, 2)
    until = int(clock()) + LIMITS.upload_row_s - 300
    table = world.storage._table
    assert {table.get(keys.part(ada.user, "m1", number))["expires_at"] for number in (1, 2)} == {until}
    assert table.get(keys.uploads(ada.user))["expires_at"] == until


# Crashes, repeats and others in between.


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("call", range(8))
def test_a_crash_anywhere_is_healed_by_sending_the_part_again(world, ada, client, number, call, moment):
    for other in range(1, number):
        send(world, ada, other)
    client.reset()
    getattr(client, moment)[call] = die
    try:
        send(world, ada, number)
    except Died:
        pass
    else:
        assert call >= len(client.names)
    client.reset()
    answer = send(world, ada, number)
    for other in range(number + 1, 4):
        answer = send(world, ada, other)
    assert [request.run_id for request in world.queue.waiting] == [answer["run_id"]]
    assert world.storage.for_user(ada).runs.get(answer["run_id"]).content == "".join(TEXTS)
    assert uploads(world, ada) == set()


def test_a_write_whose_answer_was_lost_is_recognised(world, ada, client):
    """The SDK says it again."""
    client.twice = True
    assert send(world, ada, 1)["missing"] == [2, 3]
    assert send(world, ada, 2)["missing"] == [3]
    assert send(world, ada, 3)["duplicate"] is False
    assert uploads(world, ada) == set()
    client.twice = False
    client.reset()
    send(world, ada, 1, message_id="m2")
    client.twice = True
    assert send(world, ada, 1, message_id="m3")["missing"] == [2, 3]
    assert uploads(world, ada) == {"m2", "m3"}


@pytest.mark.parametrize("call", range(6))
def test_two_last_parts_at_once_make_one_run(world, ada, client, call):
    """Wherever the one comes between the other's calls, somebody accepts; both learn of the same run."""
    answers = []
    send(world, ada, 1)
    client.reset()
    client.before[call] = lambda: answers.append(send(world, ada, 2))
    answers.append(send(world, ada, 3))
    if len(answers) == 1:  # the first was through by then
        answers.append(send(world, ada, 2))
    accepted = [answer for answer in answers if "run_id" in answer]
    assert accepted
    assert len({answer["run_id"] for answer in accepted}) == 1
    assert len(world.queue.waiting) == 1
    assert uploads(world, ada) == set()


@pytest.mark.parametrize("call", range(7))
def test_a_last_part_that_is_sent_twice_at_once_makes_one_run(world, ada, client, call):
    answers = []
    send(world, ada, 1)
    send(world, ada, 2)
    client.reset()
    client.before[call] = lambda: answers.append(send(world, ada, 3))
    answers.append(send(world, ada, 3))
    if len(answers) == 1:
        assert call >= len(client.names)
        return
    assert answers[0]["run_id"] == answers[1]["run_id"]
    assert sorted(answer["duplicate"] for answer in answers) == [False, True]
    assert len(world.queue.waiting) == 1
    assert uploads(world, ada) == set()


@pytest.mark.parametrize("call", range(1, 4))
def test_two_first_parts_at_once_open_one_upload(world, ada, client, call):
    answers = []
    client.reset()
    client.before[call] = lambda: answers.append(send(world, ada, 2))
    answers.append(send(world, ada, 1))
    assert send(world, ada, 3)["duplicate"] is False
    assert len(parts_kept(world, ada)) == 3


def test_what_a_slow_request_of_a_forgotten_upload_writes_is_not_believed(world, ada, client, clock):
    """It wakes after its ten minutes, over a part of today."""
    client.reset()
    later = None

    def today():
        nonlocal later
        clock.advance(LIMITS.upload_row_s + 1)
        later = principal_of("ada", clock)
        world.connect(later, "a2")
        send(world, later, 1, texts=["now ", "x"], connection_id="a2")

    client.before[2] = today
    with pytest.raises(IdempotencyConflict):
        send(world, ada, 1, texts=["then ", "x", "y"])
    answer = send(world, later, 2, texts=["now ", "x"], connection_id="a2")
    assert answer["missing"] == [1]
    answer = send(world, later, 1, texts=["now ", "x"], connection_id="a2")
    assert world.storage.for_user(later).runs.get(answer["run_id"]).content == "now x"


def test_what_a_slow_request_writes_over_another_splitting_is_not_believed(world, ada, client):
    """The message was accepted while it slept, and is just being sent again, in other parts. Then it dies."""
    whole = "".join(TEXTS)
    split = [whole[:3], whole[3:]]
    send(world, ada, 1)
    send(world, ada, 3)
    client.reset()

    def meanwhile():
        send(world, ada, 2)
        assert send(world, ada, 2, texts=split)["missing"] == [1]

    client.before[1], client.after[1] = meanwhile, die
    with pytest.raises(Died):
        send(world, ada, 2)
    assert send(world, ada, 1, texts=split)["missing"] == [2]
    assert send(world, ada, 2, texts=split)["duplicate"] is True


def test_an_upload_that_cannot_be_closed_is_accepted_all_the_same(world, ada, client, caplog):
    def fail():
        raise Unavailable("the database is busy")

    send(world, ada, 1)
    send(world, ada, 2)
    client.reset()
    client.before[6] = fail
    assert send(world, ada, 3)["duplicate"] is False
    assert client.names[6] == "update_item"
    assert "upload_not_closed" in caplog.text
    assert uploads(world, ada) == {"m1"}


def test_who_always_finds_another_s_write_in_the_way_is_told_to_come_again(world, ada, client, clock):
    def another(name):
        send_all(world, ada, message_id=name)
        client.before[client.calls] = lambda: another(name + "x")

    client.reset()
    client.before[1] = lambda: another("x")
    with pytest.raises(Unavailable):
        send(world, ada, 1, message_id="m")
