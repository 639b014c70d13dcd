"""Losing the connection, resuming, and asking for what is missing."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentsocket_client import Disconnected, Refused, Status
from tests.client.connected import FAST, client_of, follow, resumed, seqs, take
from tests.client.fakes import EPOCH, THREAD, TIMEOUT_S, FakeServer, accepted, batch, event, frame, snapshot, subscribed


async def test_a_cut_connection_is_resumed_and_nothing_is_lost_or_repeated(server: FakeServer) -> None:
    """D2, D6: cut after every event of a run; the client's log equals the server's."""
    log = [event(number) for number in range(1, 6)]
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        await peer.accept()
        await sending
        seen = []
        for number in range(1, 6):
            await peer.send(*log[:number][-2:])  # the newest, after a repetition
            seen += await take(client, 1)
            peer.cut()
            peer = await resumed(server)
            assert peer.hello["payload"]["resume"] == [{"thread_id": THREAD, "epoch": EPOCH, "seq": number}]
    assert seen == log


async def test_replay_and_live_events_meet_without_a_gap(server: FakeServer) -> None:
    """D9."""
    async with client_of(server) as client:
        peer = await server.peer()
        await follow(client, peer)
        peer.cut()
        peer = await server.peer()
        await peer.send(subscribed(3, recovered=True), event(4), batch(event(1), event(2), more=True))
        await peer.send(event(5), batch(event(3)), event(6))
        assert seqs(await take(client, 6)) == [1, 2, 3, 4, 5, 6]


async def test_what_cannot_be_replayed_comes_as_a_snapshot(server: FakeServer) -> None:
    """D8."""
    async with client_of(server) as client:
        peer = await server.peer()
        await follow(client, peer)
        peer.cut()
        peer = await server.peer()
        await peer.send(subscribed(40, recovered=False, epoch="epoch-2"), snapshot(40, epoch="epoch-2"), event(41))
        assert seqs(await take(client, 2)) == ["thread_snapshot", 41]
        assert client.position(THREAD) == {"epoch": "epoch-2", "seq": 41}


async def test_the_position_is_what_the_caller_has_read_and_another_client_goes_on_from_it(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        await follow(client, peer)
        await peer.send(event(1), event(2))
        await take(client, 1)
        position = client.position(THREAD)
    assert position == {"epoch": EPOCH, "seq": 1}
    async with client_of(server, resume=[{"thread_id": THREAD, **position}]) as client:
        await resumed(server, event(2))
        assert seqs(await take(client, 1)) == [2]


async def test_an_unanswered_message_is_sent_again_with_the_same_id_after_a_reconnect(server: FakeServer) -> None:
    """D2."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        first = await peer.expect("user_message")
        peer.cut()
        peer = await server.peer()
        assert await peer.expect("user_message") == first
        await peer.send(accepted(first, duplicate=True))
        assert (await sending)["duplicate"]
        question = await peer.expect("subscribe")
        assert question["payload"]["since"] == {"epoch": EPOCH, "seq": 0}
        await peer.send(subscribed(2, recovered=True, reply_to=question["id"]), batch(event(1), event(2)))
        assert seqs(await take(client, 2)) == [1, 2]


async def test_final_disconnects_end_the_client_at_once_and_tell_everyone(server: FakeServer) -> None:
    """D3."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        await peer.expect("user_message")
        await peer.send(frame("disconnect", {"code": "revoked", "reason": "signed out", "reconnect": False}))
        with pytest.raises(Disconnected, match="revoked: signed out"):
            await sending
        assert seqs(await take(client, 1)) == ["disconnect"]
        with pytest.raises(Disconnected) as ended:
            await take(client, 1)
        assert ended.value.code == "revoked"
        with pytest.raises(Disconnected):
            await client.send_message("again")
    assert len(server.requests) == 1


async def test_a_server_that_shuts_down_is_connected_again_after_the_wait_it_asks_for(server: FakeServer) -> None:
    """D3."""
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    async with client_of(server, sleep=sleep):
        told = {"code": "shutdown", "reason": "", "reconnect": True, "retry_after_ms": 1500}
        await (await server.peer()).send(frame("disconnect", told))
        await server.peer()
    assert delays == [1.5]


async def test_a_token_that_is_refused_at_a_reconnect_ends_the_client(server: FakeServer) -> None:
    async with client_of(server) as client:
        server.refuse_with = [403]
        (await server.peer()).cut()
        with pytest.raises(Refused):
            await take(client, 1)


async def test_a_person_can_be_told_of_losses(server: FakeServer) -> None:
    told: asyncio.Queue[Status] = asyncio.Queue()
    async with client_of(server, on_status=told.put_nowait):
        await (await server.peer()).socket.close(1001)
        async with asyncio.timeout(TIMEOUT_S):
            first, second, third = [await told.get() for _ in range(3)]
    assert [first.live, second.live, third.live] == [True, False, True]
    assert "1001" in second.reason


async def test_a_gap_is_filled_by_one_subscribe(server: FakeServer) -> None:
    async with client_of(server, limits=FAST) as client:
        peer = await server.peer()
        await follow(client, peer)
        await peer.send(event(2), event(3))
        question = await peer.expect("subscribe")
        assert question["payload"]["since"] == {"epoch": EPOCH, "seq": 0}
        assert await peer.silent(FAST.gap_s * 2)
        await peer.send(subscribed(3, recovered=True, reply_to=question["id"]), batch(event(1), event(2)))
        assert seqs(await take(client, 3)) == [1, 2, 3]


async def test_silence_in_an_active_run_is_asked_about(server: FakeServer) -> None:
    async with client_of(server, limits=FAST) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        await peer.accept()
        await sending
        assert (await peer.expect("subscribe"))["payload"]["since"] == {"epoch": EPOCH, "seq": 0}


async def test_events_that_overtake_message_accepted_are_shown_in_order(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi", message_id="mine"))
        peer = await server.peer()
        command = await peer.expect("user_message")
        await peer.send(event(1, "user_message", {"message_id": "mine", "content": "hi"}), event(2))
        assert seqs(await take(client, 2)) == [1, 2]
        await peer.send(accepted(command))
        assert (await sending)["message_id"] == "mine"
        assert client.position(THREAD) == {"epoch": EPOCH, "seq": 2}


async def test_frames_nobody_knows_are_ignored(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        await follow(client, peer)
        await peer.socket.send("no json")
        await peer.socket.send(json.dumps([1, 2]))
        await peer.send(frame("weather_report", {"rain": True}), event(1))
        assert seqs(await take(client, 1)) == [1]
