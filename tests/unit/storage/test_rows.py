"""The rows as values: what activity, revocations and sizes say (data-model.md, Rows)."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from agentsocket.storage import keys
from agentsocket.storage.rows import Connection, LogEvent, Meta, RevokedTokens, Run, Running, Subscription, UserActivity

USER = "a" * 32


def test_which_tokens_revocations_cover():
    nothing = RevokedTokens()
    assert not nothing.covers("s", 0)
    both = RevokedTokens(everything=10, sessions={keys.session_hash("s"): 20})
    covered = {
        (session, moment) for session in ("", "s", "t") for moment in (10, 11, 20, 21) if both.covers(session, moment)
    }
    assert covered == {("", 10), ("s", 10), ("t", 10), ("s", 11), ("s", 20)}


def run(**changes):
    row = {
        **keys.run(USER, "r1"),
        "thread_id": "t1",
        "message_id": "m1",
        "state": "accepted",
        "digest": "d",
        "content": "hi",
        "content_bytes": 2,
        "sha256": "s",
        "connection_id": "c1",
        "session": "s1",
        "token_iat": 10,
        "agent": "",
        "context": "{}",
        "attempts": 0,
        "accepted_at": 1,
    }
    return Run.of(row | changes)


def activity(**changes: Any) -> UserActivity:
    given: dict[str, Any] = {"connections": [], "revocations": RevokedTokens()}
    return UserActivity(**given | changes)


def test_a_run_s_id_is_in_its_key_and_what_no_attempt_wrote_is_empty():
    found = run()
    assert (found.run_id, found.owner, found.first_seq, found.last_seq) == ("r1", "", 0, 0)


@pytest.mark.parametrize(
    ("state", "terminal"),
    [("accepted", False), ("running", False), ("completed", True), ("failed", True), ("stopped", True)],
)
def test_which_runs_have_ended(state, terminal):
    assert run(state=state).terminal is terminal


def test_a_run_whose_text_is_kept_apart_is_truncated():
    assert not run(content="ü", content_bytes=2).truncated
    assert run(content="ü", content_bytes=3).truncated


@pytest.mark.parametrize(
    "what",
    [
        activity(stops=frozenset({"r1"})),
        activity(deleted=frozenset({"t1"})),
        activity(revocations=RevokedTokens(everything=10)),
        activity(revocations=RevokedTokens(sessions={keys.session_hash("s1"): 10})),
    ],
    ids=["stopped", "deleted", "signed out", "session ended"],
)
def test_what_stops_a_run(what):
    """D7, C3."""
    assert what.must_stop(run())


def test_nothing_stops_a_run_otherwise():
    assert not activity(stops=frozenset({"r2"}), deleted=frozenset({"t2"})).must_stop(run())
    assert not activity(revocations=RevokedTokens(everything=9)).must_stop(run())


def connection(name, *, opened_at, live=True, follows=()):
    return Connection(name, live, 100, opened_at=opened_at, subscriptions={t: Subscription(0, "g") for t in follows})


def test_the_oldest_connection_goes_first_but_those_that_follow_a_run_last():
    """J4."""
    connections = [
        connection("sent it", opened_at=1),
        connection("follows it", opened_at=2, follows=["t1"]),
        connection("old", opened_at=3),
        connection("older than new", opened_at=4),
        connection("not live", opened_at=0, live=False),
        connection("new", opened_at=5),
    ]
    found = activity(connections=connections, running=[Running("t1", "sent it")])
    leaving = [[each.connection_id for each in found.surplus("new", at_most=most)] for most in (5, 4, 3, 2, 1)]
    order = ["old", "older than new", "sent it", "follows it"]
    assert leaving == [[], order[:1], order[:2], order[:3], order]


def test_activity_tells_rows_apart_by_their_keys():
    opened = {"connection_id": "c1", "state": "live", "token_exp": 9, "token_iat": 1, "session": "", "opened_at": 1}
    entry = {"cursor": 3, "generation": "g"}
    rows: list[Any] = [
        {**keys.connection(USER, "c1"), **opened, "checks": 2, "subscriptions": {"t": entry}},
        {**keys.run_pointer(USER, "r1"), "thread_id": "t1", "connection_id": "c1"},
        {**keys.revoked(USER), "not_before": 5},
        {**keys.revoked(USER, "s1"), "not_before": 6},
        keys.stop(USER, "r2"),
        keys.deleted(USER, "t2"),
    ]
    found = UserActivity.of(rows)
    assert [(each.connection_id, each.live, each.checks) for each in found.connections] == [("c1", True, 2)]
    assert found.connections[0].subscriptions == {"t": Subscription(3, "g")}
    assert found.running == [Running("t1", "c1")]
    assert found.revocations == RevokedTokens(5, {keys.session_hash("s1"): 6})
    assert (set(found.stops), set(found.deleted)) == ({"r2"}, {"t2"})


@pytest.mark.parametrize("stored", ["{}", SimpleNamespace(value=zlib.compress(b"{}"))], ids=["plain", "compressed"])
def test_an_event_s_frame_is_read_as_it_was_written(stored):
    row = {**keys.event("p", 12), "event_id": "e", "run_id": "r1", "attempt": 1, "frame": stored}
    assert LogEvent.of(row) == LogEvent(12, "e", "r1", 1, b"{}")


def test_a_log_without_a_head_begins_at_nought():
    assert Meta.of(None) == Meta() == Meta(0, "", "", 0, 0)
    assert Meta.of({"top": 7, "lease_owner": "w"}) == Meta(7, "w")
