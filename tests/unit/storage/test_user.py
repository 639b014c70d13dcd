"""What opens for a principal: one user's storage, whose parts are made when they are first used."""

from __future__ import annotations

import inspect

import boto3
import pytest
from botocore.config import Config

from agentsocket.errors import Disconnect, NotFound, Unavailable
from agentsocket.limits import Limits
from agentsocket.storage.connections import Connections
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.runs import Runs
from agentsocket.storage.table import Table
from agentsocket.storage.thread_log import ThreadLog
from agentsocket.storage.threads import Threads
from agentsocket.storage.user import Storage, UserStorage
from tests.conftest import principal_of

LIMITS = Limits()
PARTS = {"connections", "revocations", "quotas", "threads", "uploads", "runs", "erasure"}


def message(message_id="m1", content="hi", thread_id=None, connection_id="c1"):
    return NewMessage(message_id, content, thread_id, connection_id, agent="", context="{}")


def test_no_method_past_for_user_takes_a_user_or_a_key():
    """Security: what cannot be said cannot be said wrongly."""
    telling = {"user", "user_id", "principal", "key", "partition", "filter"}
    for owner in (UserStorage, Connections, Runs, Threads, ThreadLog):
        methods = [method for name, method in inspect.getmembers(owner, inspect.isfunction) if not name.startswith("_")]
        assert methods
        for method in methods:
            assert not set(inspect.signature(method).parameters) & telling


def test_two_users_with_the_same_ids_meet_nowhere(storage, ada, bob, clock):
    """E7, for what exists: same connection, message and thread ids, every reading method."""
    adas, bobs = storage.for_user(ada), storage.for_user(bob)
    for user in (adas, bobs):
        user.connections.open("c1")
    run = adas.runs.accept(message()).run
    assert bobs.runs.get(run.run_id) is None
    assert bobs.runs.accept(message()).run.run_id != run.run_id
    with pytest.raises(NotFound):
        bobs.threads.get(run.thread_id)
    with pytest.raises(NotFound):
        bobs.threads.renew_epoch(run.thread_id)
    assert bobs.log(run.thread_id).top() == 0
    bobs.connections.remove("c1")
    assert [c.connection_id for c in adas.connections.activity().connections] == ["c1"]


def test_a_user_is_who_the_principal_says(storage, clock):
    for name in ("a#b", "a*", "USER#x", "ünï", "a\x00b"):
        user = storage.for_user(principal_of(name, clock))
        user.connections.open("c1")
        assert len(user.connections.activity().connections) == 1


def test_a_table_that_does_not_answer_is_not_reachable(storage, clock):
    storage.reachable()
    nowhere = boto3.client(
        "dynamodb", endpoint_url="http://127.0.0.1:1", config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(Unavailable):
        Storage(Table(nowhere, "agentsocket", now=clock), limits=LIMITS).reachable()


def made(user):
    """The parts of a user's storage that were made so far."""
    return PARTS & vars(user).keys()


def test_a_part_is_made_when_it_is_first_used_and_once(adas):
    assert made(adas) == set()
    adas.connections.open("c1")
    assert made(adas) == {"connections", "revocations"}
    assert adas.quotas is adas.quotas
    for name in PARTS:
        getattr(adas, name)
    assert made(adas) == PARTS


def test_a_thread_is_entered_by_a_connection_that_may_read_it_in_one_read(adas, bob, storage):
    adas.connections.open("c1")
    thread, _ = adas.threads.create("c", title="", metadata={})
    assert adas.enter("c1", thread.thread_id) == adas.threads.get(thread.thread_id)
    with pytest.raises(NotFound):
        adas.enter("c1", "nowhere")
    with pytest.raises(Disconnect):
        adas.enter("c2", thread.thread_id)
