"""Threads, what is remembered, and health: which commands they are, and what comes of their replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentsocket_client import CommandFailed
from tests.client.connected import FAST, client_of, follow, take
from tests.client.fakes import EPOCH, THREAD, FakeServer, Json, Peer, batch, error, frame, subscribed

INFO: Json = {"thread_id": THREAD, "title": "Costs", "metadata": {"a": 1}, "created_at": 1, "activity": 2}


async def answered(peer: Peer, kind: str, reply: str, payload: Json) -> Json:
    """The next command, which must be of this kind, answered so; its payload."""
    command = await peer.expect(kind)
    await peer.send(frame(reply, payload, reply_to=command["id"]))
    asked: Json = command["payload"]
    return asked


async def collected(pages: AsyncIterator[Json]) -> list[Json]:
    return [each async for each in pages]


async def test_a_thread_is_made_renamed_and_deleted(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        making = asyncio.create_task(client.create_thread("Costs", metadata={"a": 1}))
        assert await answered(peer, "create_thread", "thread_created", INFO) == {"title": "Costs", "metadata": {"a": 1}}
        assert await making == INFO
        plain = asyncio.create_task(client.create_thread())
        assert await answered(peer, "create_thread", "thread_created", INFO) == {"title": ""}
        await plain
        renaming = asyncio.create_task(client.rename_thread(THREAD, "Bills"))
        asked = await answered(peer, "rename_thread", "thread_renamed", {"thread_id": THREAD, "title": "Bills"})
        assert asked == {"thread_id": THREAD, "title": "Bills"}
        await renaming
        deleting = asyncio.create_task(client.delete_thread(THREAD))
        asked = await answered(peer, "delete_thread", "thread_deleted", {"thread_id": THREAD})
        assert asked == {"thread_id": THREAD}
        await deleting


async def test_a_thread_that_is_made_over_a_lost_connection_is_made_once(server: FakeServer) -> None:
    """H3: the command goes out again by the same id, and the server knows it by that."""
    async with client_of(server, limits=FAST) as client:
        making = asyncio.create_task(client.create_thread("Costs"))
        peer = await server.peer()
        first = await peer.expect("create_thread")
        peer.cut()
        peer = await server.peer()
        assert await peer.expect("create_thread") == first
        await peer.send(frame("thread_created", INFO, reply_to=first["id"]))
        assert await making == INFO


async def test_all_pages_of_the_threads_are_read(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        reading = asyncio.create_task(collected(client.threads(page=2)))
        two = {"threads": [INFO | {"thread_id": name} for name in ("a", "b")], "cursor": "3.b"}
        assert await answered(peer, "list_threads", "thread_list", two) == {"limit": 2}
        one = {"threads": [INFO | {"thread_id": "c"}]}
        assert await answered(peer, "list_threads", "thread_list", one) == {"limit": 2, "cursor": "3.b"}
        assert [each["thread_id"] for each in await reading] == ["a", "b", "c"]


async def test_all_pages_of_a_history_are_read_one_when_it_is_wanted(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        history = client.history(THREAD, page=1)
        newest = asyncio.ensure_future(anext(history))
        asked = await answered(peer, "get_thread_history", "thread_history", {"messages": [{"seq": 4}], "cursor": "4"})
        assert asked == {"thread_id": THREAD, "limit": 1}
        assert (await newest)["seq"] == 4
        assert await peer.silent(0.1)
        rest = asyncio.create_task(collected(history))
        asked = await answered(peer, "get_thread_history", "thread_history", {"messages": [{"seq": 1}]})
        assert asked == {"thread_id": THREAD, "limit": 1, "cursor": "4"}
        assert [each["seq"] for each in await rest] == [1]


async def test_a_page_that_fails_for_a_moment_is_asked_for_again(server: FakeServer) -> None:
    async with client_of(server, limits=FAST) as client:
        peer = await server.peer()
        reading = asyncio.create_task(collected(client.history(THREAD)))
        command = await peer.expect("get_thread_history")
        await peer.send(error("unavailable", temporary=True, reply_to=command["id"]))
        await answered(peer, "get_thread_history", "thread_history", {"messages": [{"seq": 1}]})
        assert len(await reading) == 1


async def test_a_switch_is_over_when_it_is_answered(server: FakeServer) -> None:
    """H2, E3: from then on only that thread is resumed."""
    async with client_of(server, limits=FAST) as client:
        peer = await server.peer()
        await follow(client, peer, top=5)
        switching = asyncio.create_task(client.switch_thread("other", since={"epoch": EPOCH, "seq": 2}))
        command = await peer.expect("switch_thread")
        assert command["payload"] == {"thread_id": "other", "since": {"epoch": EPOCH, "seq": 2}}
        await peer.send(frame("thread_switched", {"thread_id": "other"}, reply_to=command["id"]))
        await switching
        told = subscribed(2, recovered=True, thread_id="other", reply_to=command["id"])
        await peer.send(told, batch(thread_id="other"))
        peer.cut()
        peer = await server.peer()
        resumed = [(point["thread_id"], point["seq"]) for point in peer.hello["payload"]["resume"]]
        assert resumed == [("other", 2)]


async def test_a_context_is_read_and_changed(server: FakeServer) -> None:
    context = {"name": "user.profile", "value": {"city": "Oslo"}, "version": 7}
    async with client_of(server) as client:
        peer = await server.peer()
        reading = asyncio.create_task(client.get_context("user.profile"))
        assert await answered(peer, "get_context", "context", context) == {"name": "user.profile"}
        assert await reading == context
        patch: Json = {"city": None}
        for version, named in ((None, {}), (0, {"version": 0}), (7, {"version": 7})):
            changing = asyncio.create_task(client.update_context("user.profile", patch, version=version))
            asked = await answered(peer, "update_context", "context", context | {"value": {}, "version": 8})
            assert asked == {"name": "user.profile", "patch": patch} | named
            assert (await changing)["version"] == 8


async def test_a_context_that_another_device_has_changed_is_a_version_conflict(server: FakeServer) -> None:
    """K4."""
    async with client_of(server) as client:
        changing = asyncio.create_task(client.update_context("user.profile", {}, version=1))
        peer = await server.peer()
        command = await peer.expect("update_context")
        await peer.send(error("version_conflict", reply_to=command["id"], field="payload.version"))
        with pytest.raises(CommandFailed) as failed:
            await changing
    assert (failed.value.code, failed.value.field, failed.value.temporary) == (
        "version_conflict",
        "payload.version",
        False,
    )


async def test_reads_wait_for_no_command_before_them(server: FakeServer) -> None:
    async with client_of(server) as client:
        peer = await server.peer()
        making = asyncio.create_task(client.create_thread())
        slow = await peer.expect("create_thread")
        health: dict[str, Any] = {"status": "ok", "dependencies": {"table": {"status": "ok", "latency_ms": 1}}}
        asking = asyncio.create_task(client.health())
        assert await answered(peer, "get_health", "health", health) == {}
        assert await asking == health
        await peer.send(frame("thread_created", INFO, reply_to=slow["id"]))
        await making


async def test_what_other_devices_do_is_shown(server: FakeServer) -> None:
    """H1: what this one has asked for itself is its command's answer, and no news."""
    news = [
        frame("thread_created", INFO),
        frame("thread_renamed", {"thread_id": THREAD, "title": "Bills"}),
        frame("context", {"name": "user.profile", "value": {}, "version": 1}),
        frame("thread_deleted", {"thread_id": THREAD}),
    ]
    async with client_of(server) as client:
        peer = await server.peer()
        making = asyncio.create_task(client.create_thread())
        await answered(peer, "create_thread", "thread_created", INFO)
        await making
        await peer.send(*news)
        assert await take(client, 4) == news
