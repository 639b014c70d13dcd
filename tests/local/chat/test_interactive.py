"""The chat of a person: keys in, a screen out."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from local.chat.command import chat
from tests.client.fakes import TIMEOUT_S, FakeServer, Peer, error, frame
from tests.client.scripted_runs import Answering, failing

ENTER, ALT_ENTER, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x03", "\x04"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Sitting:
    """A person at the chat. `keys` types; `screen` is what has been printed, without colours."""

    pipe: PipeInput
    out: Terminal
    err: io.StringIO
    running: asyncio.Task[int]

    @property
    def screen(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.out.getvalue())

    def keys(self, text: str) -> None:
        self.pipe.send_text(text)

    async def sees(self, text: str, times: int = 1) -> None:
        """Wait until `text` is on the screen."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.screen.count(text) < times:
                assert not self.running.done(), (self.screen, self.err.getvalue())
                await asyncio.sleep(0.01)

    async def left(self) -> int:
        """The exit status, once the chat has ended."""
        return await asyncio.wait_for(self.running, TIMEOUT_S)


async def token() -> str:
    return "secret.bearer.token"


@asynccontextmanager
async def sitting(url: str, patience_s: float = 30.0) -> AsyncIterator[Sitting]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        out, err = Terminal(), io.StringIO()
        running = asyncio.create_task(chat(url, token, stdin=Terminal(), stdout=out, stderr=err, patience_s=patience_s))
        person = Sitting(pipe, out, err, running)
        yield person
        if not running.done():
            person.keys(CTRL_D)
            await person.left()


@pytest.fixture
def answering(server: FakeServer) -> Answering:
    server.serve_peer = playing = Answering()
    return playing


async def test_a_message_is_sent_by_enter_and_its_run_is_shown(server: FakeServer, answering: Answering) -> None:
    async with sitting(server.url) as person:
        await person.sees("Connected. Write a message")
        person.keys("what do we spend?" + ENTER)
        await person.sees("done in 2.3 s")
        assert person.screen.count("> what do we spend?") == 1
        assert "elsewhere" not in person.screen
        assert person.screen.count("$12.00 on 3 calls.") == 1
        assert "Use a smaller model" in person.screen
    assert answering.contents == ["what do we spend?"]


async def test_alt_enter_begins_a_new_line(server: FakeServer, answering: Answering) -> None:
    async with sitting(server.url) as person:
        person.keys("one" + ALT_ENTER + "two" + ENTER)
        await person.sees("done in")
    assert answering.contents == ["one\ntwo"]


async def test_a_pasted_csv_is_one_message(server: FakeServer, answering: Answering) -> None:
    rows = [f"2026-01-05,large-model,{number},300,0.02" for number in range(300)]
    async with sitting(server.url) as person:
        person.keys("\x1b[200~" + "\r\n".join(rows) + "\r\n\x1b[201~")
        person.keys(ENTER)
        await person.sees("done in")
        assert "... and 294 more lines" in person.screen
    assert answering.contents == ["\n".join(rows)]


async def test_messages_written_at_once_go_to_one_thread_in_order(server: FakeServer, answering: Answering) -> None:
    async with sitting(server.url) as person:
        person.keys("one" + ENTER + "two" + ENTER)
        await person.sees("done in", times=2)
    assert answering.contents == ["one", "two"]
    assert answering.threads == [None, "thread-0"]


async def test_new_begins_a_new_thread(server: FakeServer, answering: Answering) -> None:
    async with sitting(server.url) as person:
        person.keys("one" + ENTER)
        await person.sees("done in")
        person.keys("/new" + ENTER + "two" + ENTER)
        await person.sees("done in", times=2)
    assert answering.threads == [None, None]


@pytest.mark.parametrize("keys", ["/quit" + ENTER, CTRL_C, CTRL_D])
async def test_leaving_is_clean(server: FakeServer, answering: Answering, keys: str) -> None:
    async with sitting(server.url) as person:
        await person.sees("Connected. Write a message")
        person.keys(keys)
        assert await person.left() == 0
        assert person.err.getvalue() == ""


async def test_help_and_unknown_commands_are_not_sent(server: FakeServer, answering: Answering) -> None:
    async with sitting(server.url) as person:
        person.keys("/help" + ENTER)
        await person.sees("Alt+Enter begins a new line")
        person.keys("/dance" + ENTER)
        await person.sees("There is no command /dance")
        person.keys(ENTER + "  " + ENTER)
        person.keys("/etc/hosts is a file" + ENTER)
        await person.sees("done in")
    assert answering.contents == ["/etc/hosts is a file"]


async def test_a_failed_run_is_one_clear_line(server: FakeServer) -> None:
    server.serve_peer = Answering(failing)
    async with sitting(server.url) as person:
        person.keys("hello" + ENTER)
        await person.sees("Something broke. Send the message again.")


async def test_a_refused_message_is_one_clear_line_and_the_chat_goes_on(server: FakeServer) -> None:
    playing = Answering()

    async def play(peer: Peer) -> None:
        command = await peer.expect("user_message")
        await peer.send(error("busy", temporary=True, reply_to=command["id"]))
        await playing(peer)

    server.serve_peer = play
    async with sitting(server.url) as person:
        person.keys("one" + ENTER)
        await person.sees("Not sent: it is busy.")
        person.keys("two" + ENTER)
        await person.sees("done in")


async def test_a_lost_connection_is_told_and_found_again(server: FakeServer) -> None:
    async with sitting(server.url) as person:
        peer = await server.peer()
        await person.sees("Connected. Write a message")
        peer.cut()
        await person.sees("No connection (the connection was lost); trying again.")
        await person.sees("Connected again.")


async def test_leaving_with_an_unanswered_message_says_so(server: FakeServer) -> None:
    async with sitting(server.url) as person:
        peer = await server.peer()
        person.keys("hello" + ENTER)
        await peer.expect("user_message")
        person.keys(CTRL_D)
        assert await person.left() == 0
        assert "1 of your messages may not have arrived." in person.screen


async def test_being_signed_out_ends_the_chat_with_one_sentence(server: FakeServer) -> None:
    async with sitting(server.url) as person:
        peer = await server.peer()
        await person.sees("Connected. Write a message")
        await peer.send(frame("disconnect", {"code": "revoked", "reason": "signed out", "reconnect": False}))
        assert await person.left() == 2
        assert "You have been signed out" in person.err.getvalue()


async def test_a_refused_token_ends_the_chat_with_one_sentence(server: FakeServer) -> None:
    server.refuse_with = [403]
    async with sitting(server.url) as person:
        assert await person.left() == 2
        assert "(HTTP 403)" in person.err.getvalue()


async def test_a_server_that_is_not_there_ends_the_chat_after_a_while(server: FakeServer) -> None:
    server.refuse_with = [503] * 1000
    async with sitting(server.url, patience_s=0.3) as person:
        assert await person.left() == 2
        assert "is the server running?" in person.err.getvalue()
