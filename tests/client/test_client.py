"""The client from its first connection to its clean end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentsocket_client import Client, ClientClosed, Refused, WrongProtocol
from tests.client.connected import TOKEN, client_of, take
from tests.client.fakes import TIMEOUT_S, FakeServer, Peer, frame, misspoken


def tasks_of_the_client() -> list[asyncio.Task[Any]]:
    """What it may have left behind: its own coroutines, or one that waits for an event."""
    coroutines = ("Connection.", "Event.wait")
    return [task for task in asyncio.all_tasks() if any(name in str(task.get_coro()) for name in coroutines)]


async def test_a_client_connects_says_hello_and_is_welcome(server: FakeServer) -> None:
    """A1."""
    async with client_of(server, name="test") as client:
        peer = await server.peer()
        assert client.welcome["connection_id"] == "c1"
        assert peer.hello["payload"]["client"]["name"] == "test"


async def test_a_field_of_a_later_version_in_welcome_is_handed_out_and_disturbs_nothing(server: FakeServer) -> None:
    """protocol.md: what a client does not know it ignores. `server_version` was such a field to version 0.1.0."""
    server.greet = False
    connecting = client_of(server)
    entering = asyncio.create_task(connecting.__aenter__())
    peer = await server.peer()
    fields = frame("welcome")["payload"] | {"server_version": "9.9.9", "of_a_later_version": {"deep": [1]}}
    await peer.send(misspoken("welcome", fields, reply_to=peer.hello["id"]))
    async with asyncio.timeout(TIMEOUT_S):
        client = await entering
    assert client.welcome["server_version"] == "9.9.9"
    sending = asyncio.create_task(client.send_message("still here"))
    await peer.accept()
    assert (await sending)["thread_id"]
    await connecting.__aexit__(None, None, None)


async def test_the_browser_form_connects_too(server: FakeServer) -> None:
    """A8."""
    async with client_of(server, form="subprotocol"):
        assert server.requests[0].headers["Sec-WebSocket-Protocol"] == f"agentsocket.v1, bearer.{TOKEN}"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_raised_at_once(server: FakeServer, status: int) -> None:
    """A2, A3, A4, D3."""
    server.refuse_with = [status] * 2
    with pytest.raises(Refused) as refused:
        async with client_of(server):
            pass
    assert refused.value.status == status
    await asyncio.sleep(0)
    assert not tasks_of_the_client()
    assert len(server.requests) == 1


async def test_a_server_of_another_protocol_is_raised_at_once(server: FakeServer) -> None:
    server.answer_subprotocol = None
    with pytest.raises(WrongProtocol):
        async with client_of(server):
            pass


async def test_temporary_faults_are_retried_with_full_jitter_and_a_cap(server: FakeServer) -> None:
    """D3."""
    server.refuse_with = [503] * 9
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    async with client_of(server, sleep=sleep, random=lambda: 1.0):
        pass
    assert delays == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


async def test_a_server_that_drops_everyone_after_the_welcome_gets_its_rest(server: FakeServer) -> None:
    """A welcome alone is no progress: the delays go on growing."""
    enough = asyncio.Event()
    delays: list[float] = []

    async def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) == 5:
            enough.set()
            await asyncio.Event().wait()

    async def drop(peer: Peer) -> None:
        await peer.send(frame("disconnect", {"code": "shutdown", "reason": "", "reconnect": True}))
        peer.cut()

    server.serve_peer = drop
    async with client_of(server, sleep=sleep, random=lambda: 1.0), asyncio.timeout(TIMEOUT_S):
        await enough.wait()
    assert delays == [0.25, 0.5, 1, 2, 4]


async def test_the_token_is_fetched_for_every_connection(server: FakeServer) -> None:
    tokens = iter(["first", "second"])

    async def token() -> str:
        return next(tokens)

    async with client_of(server, token=token):
        (await server.peer()).cut()
        await server.peer()
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer first", "Bearer second"]


async def test_an_issuer_that_is_away_is_waited_for(server: FakeServer) -> None:
    answers: list[Exception | str] = [ConnectionRefusedError(), TimeoutError(), "token"]

    async def token() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with client_of(server, token=token):
        assert server.requests[0].headers["Authorization"] == "Bearer token"


async def test_a_fault_of_the_token_function_reaches_the_caller(server: FakeServer) -> None:
    async def token() -> str:
        raise LookupError("no such user")

    with pytest.raises(LookupError, match="no such user"):
        async with client_of(server, token=token):
            pass


@pytest.mark.parametrize("url", ["http://host/", "host", "ws://", ""])
async def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="wss://host/stage"):
        Client(url, TOKEN)


async def test_who_waits_for_a_connection_may_give_up(server: FakeServer) -> None:
    server.greet = False
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), client_of(server):
            pass
    await asyncio.sleep(0)
    assert not tasks_of_the_client()


async def test_closing_ends_the_iteration_and_the_calls_and_every_task(server: FakeServer) -> None:
    async with client_of(server) as client:
        sending = asyncio.create_task(client.send_message("hi"))
        reading = asyncio.create_task(take(client, 1))
        peer = await server.peer()
        await peer.expect("user_message")
    assert await reading == []
    with pytest.raises(ClientClosed):
        await sending
    with pytest.raises(ClientClosed):
        await client.send_message("too late")
    assert await take(client, 1) == []
    assert not tasks_of_the_client()
    async with asyncio.timeout(TIMEOUT_S):
        await peer.socket.wait_closed()
    assert peer.socket.close_code == 1000


async def test_closing_while_reconnecting_does_not_wait(server: FakeServer) -> None:
    waiting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with client_of(server, sleep=sleep), asyncio.timeout(TIMEOUT_S):
        (await server.peer()).cut()
        await waiting.wait()


async def test_a_client_outside_its_block_says_so() -> None:
    with pytest.raises(ClientClosed, match="async with"):
        await Client("ws://127.0.0.1:1/", TOKEN).send_message("hi")


def test_the_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(Client("ws://127.0.0.1:1/", TOKEN))
