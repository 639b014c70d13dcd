"""The upgrade: how the token travels, what the answers mean, and that nobody reads the token."""

from __future__ import annotations

import logging
import socket
import traceback

import pytest

from agentsocket_client.errors import AgentSocketError, ConnectionLost, Refused, WrongProtocol
from agentsocket_client.limits import Limits
from agentsocket_client.transport import Carrier, WebSocket, open_websocket
from tests.client.fakes import FakeServer

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2VjcmV0"


async def opened(url: str, *, form: Carrier = "header", token: str = TOKEN) -> WebSocket:
    return await open_websocket(url, token, form=form, limits=Limits())


async def failure(server: FakeServer, form: Carrier = "header") -> AgentSocketError:
    with pytest.raises(AgentSocketError) as failed:
        await opened(server.url, form=form)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))
    return failed.value


async def test_a_program_sends_its_token_as_a_bearer_header_and_offers_the_protocol(server: FakeServer) -> None:
    transport = await opened(server.url)
    headers = server.requests[0].headers
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Sec-WebSocket-Protocol"] == "agentsocket.v1"
    await transport.close()


async def test_the_browser_form_carries_the_token_as_a_subprotocol(server: FakeServer) -> None:
    """A8."""
    transport = await opened(server.url, form="subprotocol")
    headers = server.requests[0].headers
    assert headers["Sec-WebSocket-Protocol"] == f"agentsocket.v1, bearer.{TOKEN}"
    assert "Authorization" not in headers
    await transport.close()


@pytest.mark.parametrize(("query", "path"), [("", "/local?"), ("?stage=1", "/local?stage=1&")])
async def test_a_ticket_travels_in_the_query_and_nowhere_else(server: FakeServer, query: str, path: str) -> None:
    transport = await opened(server.url + query, form="ticket")
    request = server.requests[0]
    assert request.path == f"{path}ticket={TOKEN}"
    assert "Authorization" not in request.headers
    assert request.headers["Sec-WebSocket-Protocol"] == "agentsocket.v1"
    await transport.close()


@pytest.mark.parametrize("form", ["header", "subprotocol", "ticket"])
async def test_an_address_that_is_none_is_refused_without_being_shown(server: FakeServer, form: Carrier) -> None:
    with pytest.raises(ValueError, match=r"\Athe address is not a WebSocket's\Z") as failed:
        await opened(f"{server.url}#part", form=form)
    assert TOKEN not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("answer", [None, f"bearer.{TOKEN}"])
async def test_an_answer_that_does_not_name_agentsocket_v1_is_an_error(server: FakeServer, answer: str | None) -> None:
    """Also if it echoes the offered token, which must appear nowhere."""
    server.answer_subprotocol = answer
    assert isinstance(await failure(server, "subprotocol"), WrongProtocol)


@pytest.mark.parametrize("answer", ["agentsocket.v2", "chat"])
async def test_an_answer_that_names_what_was_not_offered_is_an_error(server: FakeServer, answer: str) -> None:
    server.answer_subprotocol = answer
    assert isinstance(await failure(server), WrongProtocol)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_refused_upgrade_is_final(server: FakeServer, status: int) -> None:
    """A2, A3, A4, D3."""
    server.refuse_with = [status]
    refusal = await failure(server)
    assert isinstance(refusal, Refused)
    assert refusal.status == status


@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 502, 503, 504])
async def test_what_time_may_cure_is_worth_another_attempt(server: FakeServer, status: int) -> None:
    """D3."""
    server.refuse_with = [status]
    assert isinstance(await failure(server), ConnectionLost)


async def test_retry_after_is_heeded(server: FakeServer) -> None:
    server.refuse_with, server.refusal_headers = [503], {"Retry-After": "7"}
    fault = await failure(server)
    assert isinstance(fault, ConnectionLost)
    assert fault.retry_after_s == 7


async def test_a_redirect_does_not_carry_the_token_elsewhere(server: FakeServer) -> None:
    server.refuse_with, server.refusal_headers = [307], {"Location": server.url}
    await failure(server)
    assert len(server.requests) == 1


async def test_nobody_listening_is_a_temporary_fault_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionLost, match="connection refused"):
        await opened(f"ws://127.0.0.1:{port}/local")


async def test_a_server_that_speaks_no_http_is_a_temporary_fault() -> None:
    """A proxy that restarts looks like this."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        limits = Limits(open_s=0.2)
        with pytest.raises(ConnectionLost, match="no answer in time"):
            await open_websocket(f"ws://127.0.0.1:{mute.getsockname()[1]}/", TOKEN, form="header", limits=limits)


@pytest.mark.parametrize("token", ["", "two words", "line\r\nX-Evil: 1", "ümlaut"])
async def test_a_token_that_cannot_travel_is_refused_without_being_shown(server: FakeServer, token: str) -> None:
    with pytest.raises(ValueError, match=r"\Athe token has characters that no bearer token has\Z"):
        await opened(server.url, token=token)
    assert server.requests == []


@pytest.mark.parametrize("form", ["header", "subprotocol", "ticket"])
async def test_the_token_and_the_messages_are_in_no_log(
    server: FakeServer, form: Carrier, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        transport = await opened(server.url, form=form)
        await transport.send('{"type": "hello", "id": "1", "payload": {"protocol": 1, "client": {"name": "private"}}}')
        await transport.receive()
        await transport.close()
    logged = [record for record in caplog.records if not record.name.startswith("websockets.server")]
    assert not [record for record in logged if TOKEN in record.getMessage() or "private" in record.getMessage()]


async def test_long_texts_go_out_in_frames_of_32_kb(server: FakeServer) -> None:
    transport = await opened(server.url)
    await transport.send('{"type": "hello", "id": "1", "payload": {"protocol": 1}}')
    peer = await server.peer()
    await transport.send('{"type": "user_message", "text": "' + "€" * 40_000 + '"}')
    assert (await peer.read())["text"] == "€" * 40_000
    sizes = peer.fragment_sizes[-1]
    assert len(sizes) > 3
    assert max(sizes) <= 32 * 1024
    await transport.close()


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011])
async def test_a_close_tells_its_code(server: FakeServer, code: int) -> None:
    transport = await opened(server.url)
    await transport.send('{"type": "hello", "id": "1", "payload": {"protocol": 1}}')
    peer = await server.peer()
    await peer.socket.close(code)
    await transport.receive()  # the welcome
    with pytest.raises(ConnectionLost) as end:
        await transport.receive()
    assert end.value.close_code == code


async def test_a_cut_connection_has_no_code(server: FakeServer) -> None:
    """D2."""
    transport = await opened(server.url)
    await transport.send('{"type": "hello", "id": "1", "payload": {"protocol": 1}}')
    await transport.receive()
    (await server.peer()).cut()
    with pytest.raises(ConnectionLost) as end:
        await transport.receive()
    assert end.value.close_code is None
    with pytest.raises(ConnectionLost):
        await transport.send("late")
