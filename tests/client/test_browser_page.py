"""The page of `examples/browser` against a server that says what each test wants, faults above all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.client.fakes import EPOCH, RUN, THREAD, FakeServer, Peer, batch, event, frame, snapshot
from tests.support.browser_page import Page, Shown, opened

PAGE = Path(__file__).resolve().parents[2] / "examples" / "browser" / "index.html"
ORIGIN = "https://app.example.com"
QUIET_S = 0.7  # longer than a gap may last
POINT = {"thread_id": THREAD, "epoch": EPOCH}


@asynccontextmanager
async def connected(server: FakeServer) -> AsyncIterator[tuple[Page, Peer]]:
    async with opened(PAGE, origin=ORIGIN) as page:
        await page.submit("connect", url=server.url, token="a.b.c")
        yield page, await server.peer()


@asynccontextmanager
async def talking(server: FakeServer) -> AsyncIterator[tuple[Page, Peer]]:
    """A page whose first message is accepted."""
    async with connected(server) as (page, peer):
        await page.submit("send", content="hello")
        await peer.accept()
        yield page, peer


def piece(seq: int, content: str, **envelope: Any) -> dict[str, Any]:
    told = {"agent_name": "analyst", "agent_id": "a1", "message_id": "m1"}
    return event(seq, "partial_result", told | {"offset": 0, "content": content, "is_complete": False}, **envelope)


def answered(text: str) -> Any:
    def condition(seen: Shown) -> bool:
        return seen.texts("answer") == [text]

    return condition


async def test_it_says_who_it_is_and_where_it_comes_from(server: FakeServer) -> None:
    async with connected(server) as (_, peer):
        assert peer.hello["payload"] == {
            "protocol": 1,
            "client": {"name": "example-page", "version": "1"},
            "resume": [],
        }
    headers = server.requests[0].headers
    assert headers["Sec-WebSocket-Protocol"] == "agentsocket.v1, bearer.a.b.c"
    assert headers["Origin"] == ORIGIN


async def test_events_that_overtake_their_acceptance_are_shown_once_it_comes(server: FakeServer) -> None:
    async with connected(server) as (page, peer):
        await page.submit("send", content="hello")
        command = await peer.expect("user_message")
        await peer.send(piece(1, "early "))
        payload = POINT | {"run_id": RUN, "message_id": command["payload"]["message_id"], "duplicate": False}
        await peer.send(frame("message_accepted", payload, reply_to=command["id"]), piece(2, "late"))
        await page.until(answered("early late"))


async def test_events_are_shown_once_and_in_order(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(2, "b"), piece(1, "a"), piece(2, "b"), piece(1, "a"), piece(3, "c"))
        await page.until(answered("abc"))
        assert await peer.silent(QUIET_S)


async def test_a_gap_that_lasts_is_asked_for(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "a"), piece(3, "c"))
        command = await peer.expect("subscribe")
        assert command["payload"] == {"thread_id": THREAD, "since": {"epoch": EPOCH, "seq": 1}}
        told = POINT | {"seq": 3, "recovered": True}
        await peer.send(frame("subscribed", told, reply_to=command["id"]))
        await peer.send(batch(piece(2, "b"), piece(3, "c")))
        await page.until(answered("abc"))


async def test_a_lost_connection_is_resumed_from_the_last_event_shown(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "a"))
        await page.until(answered("a"))
        peer.cut()
        again = await server.peer()
        assert again.hello["payload"]["resume"] == [POINT | {"seq": 1}]


async def test_a_live_event_waits_for_the_end_of_the_replay(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "a"))
        await page.until(answered("a"))
        peer.cut()
        again = await server.peer()
        await again.send(frame("subscribed", POINT | {"seq": 3, "recovered": True}, reply_to=again.hello["id"]))
        await again.send(piece(4, "d"), batch(piece(2, "b"), more=True))
        assert await again.silent(QUIET_S)
        await again.send(batch(piece(3, "c")))
        await page.until(answered("abcd"))
        await page.submit("send", content="and now?")
        await again.expect("user_message")


async def test_a_snapshot_takes_the_place_of_what_was_shown(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "old"))
        await page.until(answered("old"))
        peer.cut()
        again = await server.peer()
        told = {"thread_id": THREAD, "epoch": "epoch-2", "seq": 1, "recovered": False, "reason": "epoch"}
        await again.send(frame("subscribed", told, reply_to=again.hello["id"]))
        said = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "an answer"}]
        active = {"run_id": "01JOTHER", "message_id": "m2", "content": "so "}
        await again.send(piece(2, "far", run_id="01JOTHER"))  # the second of the new numbering, before the snapshot
        await again.send(snapshot(1, *said, epoch="epoch-2", active_run=active))
        seen = await page.until(lambda seen: seen.texts("answer")[-1:] == ["so far"])
        assert seen.shown == [("question", "hello"), ("answer", "an answer"), ("answer", "so far")]


async def test_a_new_attempt_takes_back_what_was_said(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        again = event(2, "agent_started", {"agent_name": "analyst", "agent_id": "a1", "attempt": 2})
        await peer.send(piece(1, "false start"), again, piece(3, "right"))
        await page.until(answered("right"))


async def test_a_message_without_an_answer_is_sent_again_and_is_the_same(server: FakeServer) -> None:
    """Its acceptance was lost: the next one says `duplicate`, and the page asks for what has happened since."""
    async with connected(server) as (page, peer):
        await page.submit("send", content="hello")
        first = await peer.expect("user_message")
        peer.cut()
        again = await server.peer()
        second = await again.accept(duplicate=True)
        assert second == first
        assert (await again.expect("subscribe"))["payload"]["since"] == {"epoch": EPOCH, "seq": 0}


async def test_an_error_is_shown(server: FakeServer) -> None:
    async with connected(server) as (page, peer):
        await page.submit("send", content="hello")
        command = await peer.expect("user_message")
        await peer.send(frame("error", {"code": "busy", "message": "20 runs are queued"}, reply_to=command["id"]))
        await page.until(lambda seen: seen.texts("error") == ["20 runs are queued"])


@pytest.mark.parametrize(("code", "reconnect"), [("revoked", False), ("token_expired", True)])
async def test_some_ends_are_final_until_connect_is_pressed(server: FakeServer, code: str, reconnect: bool) -> None:
    async with connected(server) as (page, peer):
        await peer.send(frame("disconnect", {"code": code, "reason": "that was it", "reconnect": reconnect}))
        await page.until(lambda seen: seen.status == "ended: that was it")
        await asyncio.sleep(0.5)
        assert len(server.requests) == 1
        await page.submit("connect", token="d.e.f")
        await server.peer()
        assert server.requests[1].headers["Sec-WebSocket-Protocol"].endswith("bearer.d.e.f")


async def test_what_was_held_of_another_numbering_is_dropped(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "old"), piece(3, "stale"))
        await page.until(answered("old"))
        peer.cut()
        again = await server.peer()
        told = {"thread_id": THREAD, "epoch": "epoch-2", "seq": 2, "recovered": False, "reason": "epoch"}
        await again.send(frame("subscribed", told, reply_to=again.hello["id"]))
        await again.send(snapshot(2, epoch="epoch-2"), piece(3, "new"))
        await page.until(answered("new"))


async def test_what_it_does_not_know_it_ignores(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        unknown = {"type": "of_a_later_version", "payload": {}, "id": "e", "timestamp": 1}
        inherited = [unknown | {"type": name} for name in ("constructor", "toString", "__proto__")]
        await peer.send(unknown, *inherited, unknown | {"seq": 1}, inherited[2] | {"seq": 2}, piece(3, "still here"))
        await page.until(answered("still here"))


async def test_markup_is_text(server: FakeServer) -> None:
    assert "innerHTML" not in PAGE.read_text()
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "<b>bold</b>"))
        await page.until(answered("<b>bold</b>"))


async def test_another_user_s_page_begins_anew(server: FakeServer) -> None:
    async with talking(server) as (page, peer):
        await peer.send(piece(1, "secret"))
        await page.until(answered("secret"))
        server.welcome = {"user_id": "u2"}
        await page.submit("connect", token="d.e.f")
        seen = await page.until(lambda seen: seen.status == "connected as u2")
        assert seen.shown == []
        other = await server.peer()
        await page.submit("send", content="mine")
        assert "thread_id" not in (await other.expect("user_message"))["payload"]
