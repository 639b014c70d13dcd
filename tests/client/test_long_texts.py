"""Texts that no single frame holds: sent in parts, read in pages; and `stop`, the shortest of the commands."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket_client import Client, CommandFailed, Damaged, Limits
from agentsocket_client.limits import KB
from agentsocket_client.long_texts import Pages, parts
from tests.client.connected import client_of
from tests.client.fakes import (
    RUN,
    THREAD,
    TIMEOUT_S,
    FakeServer,
    Json,
    Peer,
    accepted,
    error,
    frame,
    misspoken,
    part_accepted,
)

LIMITS = Limits()
LONG = "".join(f"{number:07}\n" for number in range(30_000))  # 240,000 bytes: eight parts


class Gathering:
    """The server's side of parts, as far as one message goes. `faults` are errors for the next parts."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.here: dict[int, str] = {}
        self.seen: list[int] = []
        self.payloads: list[Json] = []
        self.faults: list[Json | None] = []

    async def take(self, count: int) -> None:
        for _ in range(count):
            await self.one()

    async def one(self) -> None:
        command = await self.peer.expect("user_message")
        payload = command["payload"]
        self.seen.append(payload["part"])
        self.payloads.append(payload)
        if self.faults and (fault := self.faults.pop(0)) is not None:
            await self.peer.send({**fault, "reply_to": command["id"]})
            return
        self.here[payload["part"]] = payload["content"]
        missing = [number for number in range(1, payload["parts"] + 1) if number not in self.here]
        await self.peer.send(part_accepted(command, missing) if missing else accepted(command))


def sleeping(delays: list[float]) -> Any:
    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    return sleep


async def test_a_long_message_goes_in_parts_one_after_the_other(server: FakeServer) -> None:
    """J6."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG, thread_id=THREAD, message_id="m1", agent="parrot"))
        gathering = Gathering(await server.peer())
        await gathering.one()
        assert not sending.done()
        await gathering.take(7)
        told = await sending
    assert (told["message_id"], told["run_id"]) == ("m1", RUN)
    assert gathering.seen == list(range(1, 9))
    assert "".join(gathering.here[number] for number in range(1, 9)) == LONG
    for payload in gathering.payloads:
        assert {name: payload[name] for name in payload.keys() - {"content", "part"}} == {
            "message_id": "m1",
            "thread_id": THREAD,
            "agent": "parrot",
            "parts": 8,
        }


async def test_a_message_that_one_frame_holds_goes_whole(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("x" * 110 * KB))
        assert "part" not in (await (await server.peer()).accept())["payload"]
        await sending


async def test_the_welcome_says_what_one_frame_holds(server: FakeServer) -> None:
    server.welcome = {"max_message_bytes": 8 * KB}
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("x" * 10 * KB))
        gathering = Gathering(await server.peer())
        await gathering.take(2)
        await sending
    assert all(len(json.dumps(payload)) < 8 * KB for payload in gathering.payloads)


async def test_what_the_server_says_is_missing_is_sent_again(server: FakeServer) -> None:
    """Its ten minutes were over in between: the parts before are gone."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(await server.peer())
        await gathering.take(3)
        gathering.here.clear()
        await gathering.take(8)
        await sending
    assert gathering.seen == [1, 2, 3, 4, 1, 2, 3, 5, 6, 7, 8]
    assert "".join(gathering.here[number] for number in range(1, 9)) == LONG


async def test_what_the_server_has_already_is_not_sent(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(await server.peer())
        gathering.here = dict.fromkeys((2, 3, 7), "")
        await gathering.take(5)
        await sending
    assert gathering.seen == [1, 4, 5, 6, 8]


async def test_a_message_that_was_accepted_before_needs_one_part_only(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        peer = await server.peer()
        await peer.accept(duplicate=True)
        assert (await sending)["duplicate"] is True


async def test_parts_go_on_over_a_new_connection(server: FakeServer) -> None:
    """D2."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        peer = await server.peer()
        gathering = Gathering(peer)
        await gathering.take(3)
        lost = await peer.expect("user_message")
        peer.cut()
        gathering.peer = await server.peer()
        await gathering.take(5)
        await sending
    assert gathering.payloads[3] == lost["payload"]
    assert gathering.seen == list(range(1, 9))


async def test_a_part_that_is_refused_for_a_moment_is_sent_again(server: FakeServer) -> None:
    """J4."""
    delays: list[float] = []
    async with client_of(server, sleep=sleeping(delays), random=lambda: 1.0) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(await server.peer())
        slow = error("rate_limited", temporary=True, retry_after_ms=50)
        busy = error("unavailable", temporary=True)
        gathering.faults = [None, slow, busy, {**busy, "payload": busy["payload"] | {"retry_after_ms": 1500}}]
        await gathering.take(11)
        await sending
    assert gathering.seen == [1, 2, 2, 2, 2, 3, 4, 5, 6, 7, 8]
    assert delays == [0.25, 2.0]


@pytest.mark.parametrize(
    "fault",
    [error("busy", temporary=True), error("idempotency_conflict"), error("unavailable")],
    ids=lambda each: each["payload"]["code"],
)
async def test_a_part_that_is_refused_for_longer_ends_it(server: FakeServer, fault: Json) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        peer = await server.peer()
        gathering = Gathering(peer)
        gathering.faults = [fault]
        await gathering.one()
        with pytest.raises(CommandFailed) as failed:
            await asyncio.wait_for(sending, TIMEOUT_S)
        assert failed.value.code == fault["payload"]["code"]
        assert await peer.silent(0.1)


async def test_patience_with_a_part_ends(server: FakeServer) -> None:
    async with client_of(server, sleep=sleeping([])) as client:
        sending = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(await server.peer())
        gathering.faults = [error("unavailable", temporary=True)] * LIMITS.tries
        await gathering.take(LIMITS.tries)
        with pytest.raises(CommandFailed, match="unavailable"):
            await asyncio.wait_for(sending, TIMEOUT_S)


@pytest.mark.parametrize(("missing", "sends"), [([], 1), ([9], 1), ("all", 1), (None, 1), ([1], 24)], ids=str)
async def test_a_server_that_never_has_enough_is_given_up(server: FakeServer, missing: Any, sends: int) -> None:
    sent = []

    async def insatiable(peer: Peer) -> None:
        async for text in peer.socket:
            command = json.loads(text)
            sent.append(command)
            await peer.send(misspoken("part_accepted", {"missing": missing}, reply_to=command["id"]))

    server.serve_peer = insatiable
    async with client_of(server) as client:
        with pytest.raises(CommandFailed, match="does not put the message together") as failed:
            await asyncio.wait_for(client.send_message(LONG), TIMEOUT_S)
        assert failed.value.temporary
    assert len(sent) == sends


@pytest.mark.parametrize(
    "text", ["x" * (1024 * KB + 1), "ä" * (512 * KB + 1), "\x01" * 1024 * KB], ids=["x", "ä", "escapes"]
)
async def test_what_40_parts_or_one_megabyte_do_not_hold_is_refused_before_anything_is_sent(
    server: FakeServer, text: str
) -> None:
    """G3."""
    async with client_of(server) as client:
        peer = await server.peer()
        with pytest.raises(CommandFailed) as failed:
            await asyncio.wait_for(client.send_message(text), TIMEOUT_S)
        assert (failed.value.code, failed.value.temporary) == ("too_large", False)
        assert await peer.silent(0.1)


async def test_half_a_surrogate_pair_is_refused_before_anything_is_sent(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        for text in ("\ud800", LONG + "\ud800"):
            with pytest.raises(CommandFailed, match="bad_request"):
                await asyncio.wait_for(client.send_message(text), TIMEOUT_S)
        assert await peer.silent(0.1)


async def test_a_message_waits_behind_a_long_one(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        first = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(peer)
        await gathering.one()
        second = asyncio.create_task(client.send_message("after it"))
        third = asyncio.create_task(client.send_message("last"))
        await gathering.take(7)
        assert (await peer.accept())["payload"]["content"] == "after it"
        assert (await peer.accept())["payload"]["content"] == "last"
        await asyncio.gather(first, second, third)


async def test_a_long_message_that_fails_holds_up_no_other(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        first = asyncio.create_task(client.send_message(LONG))
        gathering = Gathering(peer)
        await gathering.one()
        assert (await peer.expect("user_message"))["payload"]["part"] == 2
        second = asyncio.create_task(client.send_message("after it"))
        first.cancel()
        assert (await peer.accept())["payload"]["content"] == "after it"
        await second


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(TEXT, st.integers(1, 4), st.integers(40, 400))
def test_parts_fit_and_join_to_the_text(text: str, character: int, message_bytes: int) -> None:
    limits = Limits(part_bytes=30 * character, parts=10_000)
    found = parts(text, message_bytes=message_bytes, limits=limits)
    room = message_bytes - message_bytes // 4
    assert "".join(found) == text
    if len(found) > 1:
        assert all(0 < len(part.encode()) <= limits.part_bytes for part in found)
        assert all(len(json.dumps(part, ensure_ascii=False).encode()) - 2 <= room for part in found)


def test_a_text_goes_whole_as_long_as_there_is_room_for_its_context() -> None:
    """Whether there is one or not: a retry that knows its thread must not be split otherwise."""
    assert len(parts("x" * 112 * KB, message_bytes=128 * KB, limits=LIMITS)) == 1
    assert len(parts("x" * (112 * KB + 1), message_bytes=128 * KB, limits=LIMITS)) == 4


def test_a_megabyte_takes_as_few_parts_as_can_be() -> None:
    for character in ("x", "é", "🎉"):
        text = character * (1024 * KB // len(character.encode()))
        assert len(parts(text, message_bytes=128 * KB, limits=LIMITS)) == 32
    assert len(parts("x€" * 256 * KB, message_bytes=128 * KB, limits=LIMITS)) <= 33


# Reading.


def pages_of(text: str, size: int, **changes: Any) -> Iterator[Json]:
    data = text.encode()
    whole = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for offset in range(0, len(text) or 1, size):
        following = {"next_offset": offset + size} if offset + size < len(text) else {}
        yield {"content": text[offset : offset + size], "offset": offset, **whole, **following, **changes}


async def read(
    server: FakeServer, client: Client, *answers: Json, made: Callable[..., Json] = frame
) -> tuple[str, list[Json]]:
    """The text, and what was asked."""
    reading = asyncio.create_task(client.content(THREAD, "m1"))
    peer, asked = await server.peer(), []
    for answer in answers:
        command = await peer.expect("get_content")
        asked.append(command["payload"])
        kind = "error" if "code" in answer else "content"
        await peer.send(made(kind, answer, reply_to=command["id"], thread_id=THREAD))
    return await reading, asked


async def test_a_text_is_read_page_by_page(server: FakeServer) -> None:
    """J6."""
    text = "äöü🎉" * 1000
    async with client_of(server) as client:
        found, asked = await read(server, client, *pages_of(text, 999))
    assert found == text
    assert asked == [{"thread_id": THREAD, "message_id": "m1", "offset": offset} for offset in range(0, 4000, 999)]


async def test_a_short_text_and_an_empty_one_are_one_page(server: FakeServer) -> None:
    for text in ("hi", ""):
        async with client_of(server) as client:
            assert (await read(server, client, *pages_of(text, 10)))[0] == text


async def test_a_page_that_is_refused_for_a_moment_is_asked_for_again(server: FakeServer) -> None:
    """J4."""
    slow = {"code": "rate_limited", "message": "slow down", "temporary": True, "retry_after_ms": 50}
    fault = {"code": "internal", "message": "x", "temporary": True}
    first, second = pages_of("0123456789", 5)
    async with client_of(server, sleep=sleeping([])) as client:
        assert (await read(server, client, first, slow, fault, second))[0] == "0123456789"


async def test_what_is_not_found_is_raised(server: FakeServer) -> None:
    async with client_of(server) as client:
        with pytest.raises(CommandFailed, match="not_found"):
            await read(server, client, {"code": "not_found", "message": "no such message", "temporary": False})


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"bytes": 9}, {"bytes": None}, {"sha256": None}], ids=str)
async def test_a_text_that_is_not_what_its_digest_says_is_not_handed_out(server: FakeServer, change: Json) -> None:
    async with client_of(server) as client:
        with pytest.raises(Damaged, match="digest"):
            await read(server, client, *pages_of("0123456789", 5, **change), made=misspoken)


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"offset": 1}),
        (1, {"offset": 0}),
        (1, {"sha256": "0" * 64}),
        (1, {"bytes": 11}),
        (0, {"next_offset": 0}),
        (0, {"next_offset": 4}),
        (0, {"next_offset": 6}),
        (0, {"next_offset": "5"}),
        (0, {"content": "", "next_offset": 0}),
        (1, {"content": None}),
    ],
    ids=str,
)
def test_pages_that_do_not_fit_each_other_are_refused(number: int, change: Json) -> None:
    given, pages = list(pages_of("0123456789", 5)), Pages()
    for page in given[:number]:
        pages.add(page)
    with pytest.raises(Damaged):
        pages.add(given[number] | change)


async def test_reading_does_not_wait_for_a_message_on_its_way(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        sending = asyncio.create_task(client.send_message("hi"))
        command = await peer.expect("user_message")
        server.peers.put_nowait(peer)
        assert (await read(server, client, *pages_of("text", 10)))[0] == "text"
        await peer.send(accepted(command))
        await sending


# Stopping.


@pytest.mark.parametrize("named", [{"run_id": RUN}, {"message_id": "m1"}], ids=str)
async def test_a_run_is_stopped_by_its_id_or_its_message(server: FakeServer, named: dict[str, str]) -> None:
    """J9: nothing holds it up, not even the message itself."""
    async with client_of(server) as client:
        peer = await server.peer()
        sending = asyncio.create_task(client.send_message("hi", message_id="m1"))
        message = await peer.expect("user_message")
        stopping = asyncio.create_task(client.stop(**named))
        command = await peer.expect("stop_agent")
        assert command["payload"] == named
        await peer.send(frame("stop_accepted", {"run_id": RUN}, reply_to=command["id"]))
        assert await stopping == {"run_id": RUN}
        await peer.send(accepted(message))
        await sending


async def test_a_stop_names_one_run(server: FakeServer) -> None:
    async with client_of(server) as client:
        for named in ({}, {"run_id": RUN, "message_id": "m1"}):
            with pytest.raises(ValueError, match="run_id or by message_id"):
                await asyncio.wait_for(client.stop(**named), TIMEOUT_S)
