"""A client whose token is renewed while it works, over real sockets; when exactly, is told in test_renewal."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from agentsocket_client import Client, Disconnected, Refused
from tests.client.connected import client_of, follow, resumed, seqs, take
from tests.client.fakes import EPOCH, THREAD, TIMEOUT_S, FakeServer, Json, Peer, error, event, frame

NOW = 1_800_000_000  # the fake server's clock, in seconds; it stands still


@dataclass
class Issuer:
    """Gives out what is in its list, one a call, and raises what is an exception; then waits for more, for ever."""

    answers: list[str | Exception]
    calls: int = 0
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0

    async def __call__(self) -> str:
        self.calls += 1
        if not self.answers:
            self.waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def issuer(*answers: str | Exception) -> Issuer:
    return Issuer(list(answers))


async def expire(peer: Peer, in_s: int = 60) -> None:
    await peer.send(frame("token_expiring", {"expires_at": NOW + 900}, timestamp=(NOW + 900 - in_s) * 1000))


async def refreshed(peer: Peer, token: str, *, life_s: int = 1800) -> Json:
    """The client refreshes with this token, and the server takes it."""
    command = await peer.expect("refresh_token")
    assert command["payload"] == {"token": token}
    await peer.send(frame("token_refreshed", {"expires_at": NOW + life_s}, reply_to=command["id"]))
    return command


async def test_a_token_that_expires_mid_run_is_refreshed_and_the_run_comes_whole(server: FakeServer) -> None:
    """A7, D1."""
    tokens = issuer("first", "second")
    async with client_of(server, token=tokens) as client:
        peer = await server.peer()
        await follow(client, peer)
        await peer.send(event(1))
        await expire(peer)
        await peer.send(event(2))
        await refreshed(peer, "second")
        await peer.send(event(3))
        assert seqs(await take(client, 4)) == [1, "token_expiring", 2, 3]
    assert len(server.requests) == 1
    assert tokens.calls == 2


async def test_while_a_token_is_fetched_everything_else_goes_on(server: FakeServer) -> None:
    """D1: the issuer does not answer at all."""
    tokens = issuer("first")
    async with client_of(server, token=tokens) as client, asyncio.timeout(TIMEOUT_S):
        peer = await server.peer()
        await follow(client, peer)
        await expire(peer)
        await tokens.waiting.wait()
        await expire(peer)
        await peer.send(event(1))
        assert seqs(await take(client, 3)) == ["token_expiring", "token_expiring", 1]
        sending = asyncio.create_task(client.send_message("hi"))
        await peer.accept()
        await sending
    assert tokens.calls == 2
    assert tokens.cancelled == 1  # when the client is closed, the fetch is over too


async def test_while_a_refresh_has_no_answer_commands_are_sent(server: FakeServer) -> None:
    async with client_of(server, token=issuer("first", "second")) as client:
        peer = await server.peer()
        await expire(peer)
        await peer.expect("refresh_token")
        sending = asyncio.create_task(client.send_message("hi"))
        await peer.accept()
        await sending


async def test_without_token_expiring_the_client_refreshes_by_itself(server: FakeServer) -> None:
    """The push was lost; a token of a second is due for it after three quarters."""
    server.welcome = {"expires_at": NOW + 1}
    async with client_of(server, token=issuer("first", "second")):
        peer = await server.peer()
        await refreshed(peer, "second")
        assert await peer.silent(0.2)


async def test_a_fault_of_the_token_function_is_survived_and_it_is_asked_again(server: FakeServer) -> None:
    tokens = issuer("first", TimeoutError(), LookupError("no such user"), "first", "second")
    async with client_of(server, token=tokens) as client:
        peer = await server.peer()
        await expire(peer)
        await refreshed(peer, "second")
        sending = asyncio.create_task(client.send_message("hi"))
        await peer.accept()
        await sending
    assert tokens.calls == 5


async def test_a_refused_refresh_is_tried_again_with_another_token(server: FakeServer) -> None:
    async with client_of(server, token=issuer("first", "second", "third")):
        peer = await server.peer()
        await expire(peer)
        command = await peer.expect("refresh_token")
        await peer.send(error("token_expired", reply_to=command["id"]))
        await refreshed(peer, "third")
    assert len(server.requests) == 1


async def test_a_token_that_was_not_refreshed_in_time_leads_to_a_new_connection(server: FakeServer) -> None:
    """D1, J2: the fetch that does not end is given up, and what was in flight or missed arrives, once."""
    tokens = issuer("first")
    async with client_of(server, token=tokens) as client, asyncio.timeout(TIMEOUT_S):
        peer = await server.peer()
        await follow(client, peer)
        await peer.send(event(1))
        await expire(peer)
        await tokens.waiting.wait()
        sending = asyncio.create_task(client.send_message("hi", thread_id=THREAD, message_id="mine"))
        first = await peer.expect("user_message")
        tokens.answers.append("second")
        await peer.send(frame("disconnect", {"code": "token_expired", "reason": "", "reconnect": True}))
        peer = await resumed(server, event(2))
        assert peer.hello["payload"]["resume"] == [{"thread_id": THREAD, "epoch": EPOCH, "seq": 1}]
        assert await peer.accept() == first
        assert (await sending)["message_id"] == "mine"
        assert seqs(await take(client, 4)) == [1, "token_expiring", "disconnect", 2]
    assert server.requests[1].headers["Authorization"] == "Bearer second"
    assert (tokens.calls, tokens.cancelled) == (3, 1)


async def test_a_refresh_in_flight_is_not_sent_again_after_a_reconnect_but_the_commands_are(server: FakeServer) -> None:
    """D1: the new connection's token is the newer one."""
    async with client_of(server, token=issuer("first", "second", "third")) as client:
        peer = await server.peer()
        await expire(peer)
        await peer.expect("refresh_token")
        sending = asyncio.create_task(client.send_message("hi"))
        first = await peer.expect("user_message")
        await peer.send(frame("disconnect", {"code": "token_expired", "reason": "", "reconnect": True}))
        peer = await server.peer()
        assert await peer.accept() == first
        await sending
        assert await peer.silent(0.1)
    assert server.requests[1].headers["Authorization"] == "Bearer third"


@pytest.mark.parametrize("code", ["revoked", "unauthorized"])
async def test_after_a_final_disconnect_no_token_is_fetched_and_nobody_connects(server: FakeServer, code: str) -> None:
    """C3, J3: also while a fetch is under way."""
    tokens = issuer("first")
    async with client_of(server, token=tokens) as client, asyncio.timeout(TIMEOUT_S):
        peer = await server.peer()
        await expire(peer)
        await tokens.waiting.wait()
        await peer.send(frame("disconnect", {"code": code, "reason": "signed out", "reconnect": False}))
        assert seqs(await take(client, 2)) == ["token_expiring", "disconnect"]
        with pytest.raises(Disconnected, match=f"{code}: signed out") as ended:
            await take(client, 1)
        assert ended.value.code == code
        with pytest.raises(Disconnected):
            await client.send_message("hi")
        await peer.socket.wait_closed()
    assert (tokens.calls, tokens.cancelled) == (2, 1)
    assert len(server.requests) == 1


async def test_a_fixed_token_is_never_refreshed_and_its_end_is_the_clients(server: FakeServer) -> None:
    """J2."""
    async with client_of(server, token="only") as client:
        peer = await server.peer()
        await expire(peer)
        assert await peer.silent(0.1)
        server.refuse_with = [403]
        await peer.send(frame("disconnect", {"code": "token_expired", "reason": "", "reconnect": True}))
        assert seqs(await take(client, 2)) == ["token_expiring", "disconnect"]
        with pytest.raises(Refused, match="check the URL's path, then the token"):
            await take(client, 1)


async def test_each_connection_has_a_ticket_of_its_own_and_tokens_are_for_refreshing(server: FakeServer) -> None:
    """A1, A7."""
    tokens, tickets = issuer("access"), issuer(OSError(), "ticket-1", "ticket-2")
    async with client_of(server, token=tokens, ticket=tickets):
        peer = await server.peer()
        await expire(peer)
        await refreshed(peer, "access")
        peer.cut()
        await server.peer()
    assert [request.path for request in server.requests] == ["/local?ticket=ticket-1", "/local?ticket=ticket-2"]
    assert "Authorization" not in server.requests[0].headers
    assert tokens.calls == 1


async def test_no_token_is_in_a_log_an_error_or_a_repr(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    secrets = ("sec-ret-1", "sec-ret-2", "sec-ret-3")
    faulty = LookupError("sec-ret-2 cannot be stored")
    tokens, tickets = issuer("sec-ret-1", faulty, "sec-ret-2", "sec-ret-3"), issuer("sec-ret-1")
    with caplog.at_level(logging.DEBUG):
        async with client_of(server, token=tokens, ticket=tickets) as client:
            peer = await server.peer()
            await expire(peer)
            for _ in range(2):
                command = await peer.expect("refresh_token")
                await peer.send(error("forbidden", reply_to=command["id"]))
            await peer.expect("refresh_token")
            shown = [repr(client), *map(repr, asyncio.all_tasks())]
            await peer.send(frame("disconnect", {"code": "revoked", "reason": "", "reconnect": False}))
            await take(client, 2)
            with pytest.raises(Disconnected) as ended:
                await take(client, 1)
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.server")]
    assert any("LookupError" in message for message in logged)
    text = "\n".join([*shown, repr(ended.value), str(ended.value), *logged])
    assert not [secret for secret in secrets if secret in text]


def test_a_client_that_is_shown_shows_no_token() -> None:
    assert "sec-ret" not in repr(Client("ws://127.0.0.1:1/", "sec-ret", ticket=issuer("sec-ret")))


def test_a_program_that_has_set_up_no_logging_has_nothing_written_on_its_terminal() -> None:
    program = "import agentsocket_client.token_refresh as module; module._log.warning('not refreshed')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=TIMEOUT_S * 2)
    assert (done.stdout, done.stderr) == (b"", b"")
