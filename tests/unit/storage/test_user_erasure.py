"""Erasing a user: every row is found, removed, and what may stay is named (delivery.md, Erasing a user)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.errors import TokenRejected
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import put
from agentsocket.storage.user import UserStorage


@pytest.fixture
def limits():
    return Limits(sweep_page=2, max_token_lifetime_s=600)


def accepted(user: UserStorage, message_id: str):
    return user.runs.accept(NewMessage(message_id, f"text of {message_id}", None, "c1", agent="", context="{}")).run


@pytest.fixture
def busy(adas):
    """Ada with a socket, two threads with a run each, and a quota row."""
    adas.connections.open("c1")
    adas.quotas.spend(1)
    for message_id in ("m1", "m2"):
        accepted(adas, message_id)
    return adas


def test_a_user_is_known_by_a_row_of_any_kind_also_an_expired_one(adas, table, ada, clock):
    assert not adas.erasure.is_known()
    table.write(put({**keys.quota(ada.user), "expires_at": int(clock()) - 1}))
    assert adas.erasure.is_known()


def test_tokens_are_refused_for_as_long_as_any_deployment_may_let_one_live(busy, storage, ada, table):
    """The one who erases need not know what this deployment's limit is."""
    busy.erasure.revoke_tokens(not_before=ada.issued_at)
    with pytest.raises(TokenRejected):
        storage.for_user(replace(ada, session="any")).connections.open("c2")
    row = table.get(keys.revoked(ada.user))
    assert row["expires_at"] >= ada.issued_at + Limits.AT_MOST["max_token_lifetime_s"]


def test_all_threads_are_found_however_many_pages_they_take(busy):
    runs = [accepted(busy, f"more-{number}") for number in range(5)]
    busy.thread_deletion(runs[0].thread_id, by="d").hide()
    threads = busy.erasure.threads()
    assert len(threads) == 7
    assert [thread_id for thread_id, deleted in threads.items() if deleted] == [runs[0].thread_id]


def test_a_thread_is_swept_when_its_texts_are_gone_and_its_head_expires(busy, table, ada, clock):
    thread_id = next(iter(busy.erasure.threads()))
    partition = keys.log(ada.user, thread_id)
    assert busy.erasure.is_swept(thread_id)
    table.write(put({**keys.message(partition, 1), "content": "text"}))
    assert not busy.erasure.is_swept(thread_id)
    table.remove([keys.message(partition, 1)])
    table.write(put({**keys.meta(partition), "top": 1}))
    assert not busy.erasure.is_swept(thread_id)
    table.write(put({**keys.meta(partition), "expires_at": int(clock()) + 60}))
    assert busy.erasure.is_swept(thread_id)


def test_sockets_and_runs_under_way_are_removed_in_the_second_pass(busy):
    busy.erasure.remove_rows(live=False)
    assert [each.connection_id for each in busy.connections.activity().connections] == ["c1"]
    assert busy.runs.get(busy.runs.id_of("m1")) is None
    assert busy.erasure.remove_rows(live=True) == 1
    assert busy.connections.activity().connections == []


def test_what_remains_is_counted_by_kind(busy, table, ada):
    thread_id = next(iter(busy.erasure.threads()))
    table.write(put({**keys.message(keys.log(ada.user, thread_id), 1), "content": "text"}))
    table.write(put({**keys.meta(keys.log(ada.user, thread_id)), "top": 1}))
    kinds = {"LIVE#CONN": 1, "RUN": 2, "THREAD": 2, "text of threads": 1, "heads of threads": 1}
    assert busy.erasure.remaining() == kinds


def test_tombstones_revocations_and_quotas_may_stay_for_they_expire(busy, ada):
    busy.erasure.revoke_tokens(not_before=ada.issued_at)
    for thread_id in busy.erasure.threads():
        busy.thread_deletion(thread_id, by="erase-user").hide()
    busy.erasure.remove_rows(live=True)
    busy.quotas.spend(1)
    assert busy.erasure.remaining() == {}
    assert busy.erasure.retained() == {"LIVE#DELETED": 2, "LIVE#REVOKED": 1, "QUOTA": 1, "THREAD": 2}


def test_another_user_s_rows_stay(busy, storage, bob):
    bobs = storage.for_user(bob)
    bobs.connections.open("c1")
    run = accepted(bobs, "m1")
    busy.erasure.remove_rows(live=True)
    assert bobs.runs.get(run.run_id) == run
    assert len(bobs.connections.activity().connections) == 1
