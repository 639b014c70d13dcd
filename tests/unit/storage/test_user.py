from __future__ import annotations

import inspect

import pytest

from agentsocket.errors import BadRequest, Disconnect, IdempotencyConflict, NotFound
from agentsocket.limits import Limits
from agentsocket.storage.connections import Connections
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import Table
from agentsocket.storage.thread_log import ThreadLog
from agentsocket.storage.user import Storage, UserStorage
from tests.conftest import principal_of


def message(message_id="m1", content="hi", thread_id=None, connection_id="c1"):
    return NewMessage(message_id, content, thread_id, connection_id, agent="", context="{}")


@pytest.fixture
def connected(adas, clock):
    adas.connections.open("c1")
    return adas


def test_a_new_message_gets_a_run_and_a_thread(connected):
    accepted = connected.accept(message())
    assert accepted.duplicate is False
    assert connected.threads.get(accepted.run.thread_id) == accepted.thread
    assert connected.run(accepted.run.run_id) == accepted.run
    assert accepted.run.state == "accepted"
    assert accepted.thread.epoch.startswith("1.")


def test_the_same_message_twice_is_one_run(connected):
    first, second = connected.accept(message()), connected.accept(message())
    assert second.duplicate is True
    assert second.run == first.run
    assert second.thread == first.thread


def test_the_same_message_from_another_connection_is_the_same_run(connected, clock):
    first = connected.accept(message())
    connected.connections.open("c2")
    assert connected.accept(message(connection_id="c2")).run.run_id == first.run.run_id


def test_the_same_id_with_other_content_is_a_conflict(connected):
    connected.accept(message())
    with pytest.raises(IdempotencyConflict):
        connected.accept(message(content="other"))


def test_a_retry_that_has_learned_its_thread_is_no_conflict(connected):
    first = connected.accept(message())
    assert connected.accept(message(thread_id=first.run.thread_id)).duplicate is True


def test_after_thirty_days_a_message_id_is_free_again(storage, connected, clock):
    first = connected.accept(message())
    clock.advance(Limits().run_row_s + 1)
    later = storage.for_user(principal_of("ada", clock))
    later.connections.open("c1")
    again = later.accept(message(content="other"))
    assert again.duplicate is False
    assert again.run.thread_id != first.run.thread_id


def test_long_content_is_kept_whole_beside_its_start(connected):
    long = 'wörter "und" zeilen\n' * 5000
    run = connected.accept(message(content=long)).run
    assert run.truncated
    assert len(run.content.encode()) <= Limits().preview_bytes
    assert connected.log(run.thread_id).contents.whole("m1") == long


@pytest.mark.parametrize("thread_id", ["nowhere", "01ARZ3NDEKTSV4RRFFQ69G5FAV"])
def test_a_message_to_no_thread_is_not_found(connected, thread_id):
    with pytest.raises(NotFound):
        connected.accept(message(thread_id=thread_id))


def test_a_message_to_another_user_s_thread_is_not_found_in_the_same_words(storage, connected, bob, clock):
    """E6."""
    theirs = connected.accept(message()).run.thread_id
    bobs = storage.for_user(bob)
    bobs.connections.open("c1")
    with pytest.raises(NotFound) as refused:
        bobs.accept(message(thread_id=theirs))
    with pytest.raises(NotFound) as absent:
        bobs.accept(message(thread_id="nowhere"))
    assert (str(refused.value), refused.value.field) == (str(absent.value), absent.value.field)


def test_a_command_without_a_row_ends_the_connection(adas):
    for command in (
        lambda: adas.connections.go_live("c1", device=""),
        lambda: adas.connections.subscribe("c1", "t", cursor=0),
        lambda: adas.connections.unsubscribe("c1", "t"),
        lambda: adas.accept(message()),
    ):
        with pytest.raises(Disconnect) as ended:
            command()
        assert (ended.value.code, ended.value.reconnect) == ("no_connection", True)
    assert adas.connections.live().connections == []


def test_an_expired_token_ends_the_connection_after_the_grace(connected, clock):
    clock.advance(900 + Limits().token_grace_s)
    assert connected.connections.go_live("c1", device="")[0].live
    clock.advance(1)
    with pytest.raises(Disconnect) as ended:
        connected.accept(message())
    assert ended.value.code == "token_expired"


def test_a_connection_lives_as_long_as_its_row(connected, clock):
    connected.connections.go_live("c1", device="test")
    clock.advance(Limits().connection_row_s + 1)
    assert connected.connections.live().connections == []


def test_subscriptions_are_kept_with_their_generation(connected):
    connected.connections.go_live("c1", device="")
    first = connected.connections.subscribe("c1", "t", cursor=3)
    second = connected.connections.subscribe("c1", "t", cursor=5)
    connected.connections.move_cursor("c1", "t", generation=first, cursor=99)
    [connection] = connected.connections.live().connections
    assert connection.subscriptions["t"].cursor == 5
    connected.connections.move_cursor("c1", "t", generation=second, cursor=7)
    [connection] = connected.connections.live().connections
    assert connection.subscriptions["t"].cursor == 7
    connected.connections.unsubscribe("c1", "t")
    assert connected.connections.live().connections[0].subscriptions == {}


def test_a_late_cursor_does_not_bring_back_a_subscription(connected):
    generation = connected.connections.subscribe("c1", "t", cursor=0)
    connected.connections.unsubscribe("c1", "t")
    connected.connections.move_cursor("c1", "t", generation=generation, cursor=1)
    assert connected.connections.live().connections[0].subscriptions == {}


def test_a_connection_follows_a_bounded_number_of_threads(connected):
    for number in range(Limits().max_subscriptions):
        connected.connections.subscribe("c1", f"t{number}", cursor=0)
    with pytest.raises(BadRequest):
        connected.connections.subscribe("c1", "one-more", cursor=0)
    assert len(connected.connections.live().connections[0].subscriptions) == Limits().max_subscriptions


def test_a_new_epoch_is_another_one(connected):
    thread = connected.accept(message()).thread
    assert connected.threads.renew_epoch(thread.thread_id).epoch != thread.epoch


def test_a_restored_table_of_a_new_generation_has_other_epochs(dynamodb, connected, ada, clock):
    thread = connected.accept(message()).thread
    restored = Storage(Table(dynamodb, "agentsocket", now=clock), limits=Limits(), generation="2")
    assert restored.for_user(ada).threads.get(thread.thread_id).epoch != thread.epoch


def test_no_method_past_for_user_takes_a_user_or_a_key():
    """Security: what cannot be said cannot be said wrongly."""
    for owner in (UserStorage, Connections, ThreadLog):
        methods = [method for name, method in inspect.getmembers(owner, inspect.isfunction) if not name.startswith("_")]
        assert methods
        for method in methods:
            assert not set(inspect.signature(method).parameters) & {"user", "principal", "key", "partition", "filter"}


def test_two_users_with_the_same_ids_meet_nowhere(storage, ada, bob, clock):
    """E7, for what exists: same connection, message and thread ids, every reading method."""
    adas, bobs = storage.for_user(ada), storage.for_user(bob)
    for user in (adas, bobs):
        user.connections.open("c1")
    run = adas.accept(message()).run
    assert bobs.run(run.run_id) is None
    assert bobs.accept(message()).run.run_id != run.run_id
    with pytest.raises(NotFound):
        bobs.threads.get(run.thread_id)
    with pytest.raises(NotFound):
        bobs.threads.renew_epoch(run.thread_id)
    assert bobs.log(run.thread_id).top() == 0
    bobs.connections.forget("c1")
    assert [c.connection_id for c in adas.connections.live().connections] == ["c1"]


def test_a_user_is_who_the_principal_says(storage, clock):
    for name in ("a#b", "a*", "USER#x", "ünï", "a\x00b"):
        user = storage.for_user(principal_of(name, clock))
        user.connections.open("c1")
        assert len(user.connections.live().connections) == 1
