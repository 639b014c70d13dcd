"""Commands and their replies, and how large they may be."""

from __future__ import annotations

import asyncio

import pytest

from agentsocket_client import CommandFailed
from tests.client.connected import FAST, client_of, follow
from tests.client.fakes import THREAD, FakeServer, accepted, error, frame, gateway_fault


async def test_a_message_carries_what_it_was_given(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(
            client.send_message("hi", thread_id="t7", message_id="mine", context={"page": "costs"}, agent="parrot")
        )
        command = await (await server.peer()).accept()
        assert (await sending)["thread_id"] == "t7"
    assert command["payload"] == {
        "content": "hi",
        "thread_id": "t7",
        "message_id": "mine",
        "context": {"page": "costs"},
        "agent": "parrot",
    }


async def test_what_a_message_was_not_given_is_absent(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        command = await (await server.peer()).accept()
        await sending
    assert command["payload"].keys() == {"content", "message_id"}


async def test_one_state_changing_command_is_in_flight_at_a_time(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        sending = [asyncio.create_task(client.send_message(text)) for text in ("one", "two")]
        first = await peer.expect("user_message")
        assert await peer.silent(0.1)
        await peer.send(accepted(first))
        assert (await peer.accept())["payload"]["content"] == "two"
        await asyncio.gather(*sending)


async def test_a_command_without_a_reply_is_sent_again_with_the_same_id(server: FakeServer) -> None:
    async with client_of(server, limits=FAST) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        first = await peer.expect("user_message")
        assert await peer.accept() == first
        await sending


async def test_api_gateways_own_error_means_again_with_the_same_id(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        peer = await server.peer()
        first = await peer.expect("user_message")
        await peer.send(gateway_fault())
        assert await peer.accept() == first
        await sending


async def test_an_error_reply_is_raised_with_all_it_says(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.command("user_message", {"text": "hi"}))
        peer = await server.peer()
        command = await peer.read()
        told = error("bad_request", temporary=True, reply_to=command["id"], field="payload.text", retry_after_ms=50)
        await peer.send(told)
        with pytest.raises(CommandFailed, match="bad_request: it is bad_request") as failed:
            await sending
    assert (failed.value.code, failed.value.message) == ("bad_request", "it is bad_request")
    assert (failed.value.field, failed.value.temporary, failed.value.retry_after_ms) == ("payload.text", True, 50)


async def test_unsubscribe_and_any_other_command_have_their_reply(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        await follow(client, peer)
        leaving = asyncio.create_task(client.unsubscribe(THREAD))
        command = await peer.expect("unsubscribe")
        await peer.send(frame("unsubscribed", {"thread_id": THREAD}, reply_to=command["id"]))
        await leaving
        with pytest.raises(KeyError):
            client.position(THREAD)
        asking = asyncio.create_task(client.command("list_threads", {"limit": 5}))
        command = await peer.expect("list_threads")
        await peer.send(frame("thread_list", {"threads": []}, reply_to=command["id"]))
        assert (await asking)["payload"] == {"threads": []}


async def test_a_caller_that_gives_up_leaves_nothing_behind(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.send_message("forget it")
        await peer.expect("user_message")
        sending = asyncio.create_task(client.send_message("the next"))
        assert (await peer.accept())["payload"]["content"] == "the next"
        await sending


async def test_ping_is_sent_at_the_interval_of_the_welcome(server: FakeServer) -> None:
    server.welcome = {"ping_interval_s": 1}
    async with client_of(server):
        peer = await server.peer()
        for _ in range(2):
            ping = await peer.expect("ping")
            await peer.send(frame("pong", {}, reply_to=ping["id"]))


async def test_a_message_over_32_kb_goes_in_several_websocket_frames(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("ä" * 50_000))
        peer = await server.peer()
        assert (await peer.accept())["payload"]["content"] == "ä" * 50_000
        assert max(peer.fragment_sizes[-1]) <= 32 * 1024
        await sending


async def test_a_command_over_128_kb_is_refused_before_it_is_sent(server: FakeServer) -> None:
    """G3."""
    async with client_of(server) as client:
        peer = await server.peer()
        with pytest.raises(CommandFailed, match="too_large") as failed:
            await client.send_message("a", context={"page": "a" * 128 * 1024})
        assert not failed.value.temporary
        assert await peer.silent(0.1)


async def test_a_close_for_size_fails_the_message_and_the_client_reconnects(server: FakeServer) -> None:
    """G3: never sent again, or it would close every connection."""
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("a" * 50_000))
        peer = await server.peer()
        await peer.expect("user_message")
        await peer.socket.close(1009, "message too big")
        with pytest.raises(CommandFailed, match="too_large"):
            await sending
        peer = await server.peer()
        sending = asyncio.create_task(client.send_message("short"))
        assert (await peer.accept())["payload"]["content"] == "short"
        await sending
