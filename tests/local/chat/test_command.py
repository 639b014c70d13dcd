"""The chat as a program: a pipe in, lines out, an exit status."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import pytest

from local.chat.command import chat
from tests.client.fakes import TIMEOUT_S, FakeServer, Peer, batch, frame, snapshot, subscribed
from tests.client.scripted_runs import Answering, failing, success


async def token() -> str:
    return "secret.bearer.token"


class Ran:
    """How a chat ended, and what it wrote."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.err = status, err
        self.lines = out.splitlines()


@contextmanager
def piped(text: str) -> Iterator[TextIO]:
    """A real pipe that holds `text`: up to 64 KB."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as end:
        end.write(text)
    with os.fdopen(reading, encoding="utf-8") as stdin:
        yield stdin


async def chatted(url: str, text: str = "hello\n", **settings: Any) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with piped(text) as stdin:
        async with asyncio.timeout(TIMEOUT_S):
            status = await chat(url, token, stdin=stdin, stdout=out, stderr=err, **settings)
    return Ran(status, out.getvalue(), err.getvalue())


@pytest.fixture
def answering(server: FakeServer) -> Answering:
    server.serve_peer = playing = Answering()
    return playing


async def test_a_run_is_a_line_per_event_and_the_status_is_0(server: FakeServer, answering: Answering) -> None:
    ran = await chatted(server.url)
    assert ran.status == 0
    assert [line.split("  ")[0] for line in ran.lines] == [
        kind for kind, _ in success({"message_id": "", "content": ""})
    ]
    assert "agent_thinking  Looking." in ran.lines
    assert ran.err == ""


async def test_each_line_is_a_message_of_the_same_thread_after_the_run_before(
    server: FakeServer, answering: Answering
) -> None:
    ran = await chatted(server.url, "one\n\n  \ntwo\r\nthree, without an end")
    assert answering.contents == ["one", "two", "three, without an end"]
    assert answering.threads == [None, "thread-0", "thread-0"]
    kinds = [line.split("  ")[0] for line in ran.lines]
    assert [kind for kind in kinds if kind in {"user_message", "final_report"}] == ["user_message", "final_report"] * 3


async def test_a_file_is_one_message(server: FakeServer, answering: Answering, tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text("\ufefftime,model\n" + "2026,large\n" * 8000, encoding="utf-8")
    ran = await chatted(server.url, "not this", file=file)
    assert ran.status == 0
    assert answering.contents == ["time,model\n" + "2026,large\n" * 8000]


async def test_stdin_may_be_a_file_too(server: FakeServer, answering: Answering, tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_text("one\ntwo\n", encoding="utf-8")
    with file.open(encoding="utf-8") as stdin:
        assert await chat(server.url, token, stdin=stdin, stdout=io.StringIO(), stderr=io.StringIO()) == 0
    assert answering.contents == ["one", "two"]


async def test_lines_are_sent_as_they_come(server: FakeServer, answering: Answering) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as stdin, os.fdopen(writing, "w", encoding="utf-8", buffering=1) as end:
        running = asyncio.create_task(chat(server.url, token, stdin=stdin, stdout=io.StringIO(), stderr=io.StringIO()))
        end.write("first\nsec")
        await server_saw(answering, 1)
        assert not running.done()
        end.write("ond\n")
        await server_saw(answering, 2)
        end.close()
        assert await asyncio.wait_for(running, TIMEOUT_S) == 0
    assert answering.contents == ["first", "second"]


async def server_saw(answering: Answering, count: int) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        await answering.asked(count)


async def test_bytes_that_are_no_text_do_no_harm(server: FakeServer, answering: Answering) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"caf\xe9 \xf0\x9f\x98\x80\n")
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stdin:
        assert await chat(server.url, token, stdin=stdin, stdout=io.StringIO(), stderr=io.StringIO()) == 0
    assert answering.contents == ["caf\ufffd 😀"]


async def test_raw_frames_are_json_lines_and_nothing_else(server: FakeServer, answering: Answering) -> None:
    ran = await chatted(server.url, "one\ntwo\n", json_frames=True)
    frames = [json.loads(line) for line in ran.lines]
    assert [each["seq"] for each in frames] == list(range(1, 29))
    assert {"type", "payload", "id", "timestamp", "thread_id", "run_id", "seq"} <= frames[0].keys()
    assert frames[-1]["type"] == "final_report"


async def test_no_input_is_no_error(server: FakeServer) -> None:
    ran = await chatted(server.url, "\n \n")
    assert (ran.status, ran.lines) == (0, [])
    assert ran.err == "agentsocket: There is no message to send: the input is empty.\n"
    assert server.requests == []


async def test_a_run_that_fails_ends_the_chat_with_1_and_one_sentence(server: FakeServer) -> None:
    server.serve_peer = answering = Answering(success, failing)
    ran = await chatted(server.url, "good\nbad\nnever sent\n")
    assert ran.status == 1
    assert ran.err == "agentsocket: The run ended with error. Something broke. Send the message again.\n"
    assert answering.contents == ["good", "bad"]


async def test_a_message_that_is_too_large_is_one_sentence_and_1(
    server: FakeServer, answering: Answering, tmp_path: Path
) -> None:
    file = tmp_path / "big.csv"
    file.write_text("x" * 1_100_000, encoding="utf-8")
    ran = await chatted(server.url, file=file)
    assert ran.status == 1
    assert "at most 1,048,576 can be sent" in ran.err
    assert ran.err.count("\n") == 1
    assert answering.contents == []


async def test_a_file_of_one_megabyte_is_one_message(server: FakeServer, answering: Answering, tmp_path: Path) -> None:
    """J6."""
    text = "".join(f"{number:07}\n" for number in range(128 * 1024))
    file = tmp_path / "big.csv"
    file.write_text(text, encoding="utf-8")
    ran = await chatted(server.url, file=file)
    assert (ran.status, ran.err) == (0, "")
    assert answering.contents == [text]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_one_sentence_and_2(server: FakeServer, status: int) -> None:
    server.refuse_with = [status]
    ran = await chatted(server.url)
    assert ran.status == 2
    assert f"(HTTP {status})" in ran.err
    assert ran.err.count("\n") == 1


async def test_a_server_that_is_not_there_is_2_after_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = await chatted(f"ws://127.0.0.1:{port}/local", patience_s=0.3)
    assert ran.status == 2
    assert "No connection (connection refused); trying again." in ran.err
    assert f"No connection to 127.0.0.1:{port} in 0.3 s: is the server running?" in ran.err


async def test_a_file_that_cannot_be_read_is_one_sentence_and_2(server: FakeServer, tmp_path: Path) -> None:
    ran = await chatted(server.url, file=tmp_path / "nothing.csv")
    assert ran.status == 2
    assert ran.err == f"agentsocket: {tmp_path}/nothing.csv cannot be read: No such file or directory.\n"


async def test_a_server_that_signs_the_user_out_is_one_sentence_and_2(server: FakeServer) -> None:
    async def revoke(peer: Peer) -> None:
        await peer.expect("user_message")
        await peer.send(frame("disconnect", {"code": "revoked", "reason": "signed out", "reconnect": False}))

    server.serve_peer = revoke
    ran = await chatted(server.url)
    assert ran.status == 2
    assert ran.err == "agentsocket: You have been signed out: start the chat again to sign in.\n"


async def test_a_lost_connection_is_told_and_the_run_goes_on(server: FakeServer) -> None:
    """D2."""
    playing = Answering()
    lost = asyncio.Event()

    async def play(peer: Peer) -> None:
        if not lost.is_set():
            lost.set()
            await playing.once(peer, events=4)
            peer.cut()
            return
        (point,) = peer.hello["payload"]["resume"]
        await peer.send(subscribed(14, recovered=True, thread_id=point["thread_id"]))
        await peer.send(batch(*playing.log[point["seq"] :], thread_id=point["thread_id"]))

    server.serve_peer = play
    ran = await chatted(server.url)
    assert ran.status == 0
    assert len(ran.lines) == 14
    assert ran.err == (
        "agentsocket: No connection (the connection was lost); trying again.\nagentsocket: Connected again.\n"
    )


async def test_a_connection_that_is_lost_for_long_is_2(server: FakeServer) -> None:
    async def play(peer: Peer) -> None:
        server.refuse_with = [503] * 1000
        await Answering().once(peer, events=4)
        peer.cut()

    server.serve_peer = play
    ran = await chatted(server.url, patience_s=0.3)
    assert ran.status == 2
    assert "is the server running?" in ran.err


async def test_a_run_may_take_longer_than_the_patience_for_a_connection(server: FakeServer) -> None:
    async def play(peer: Peer) -> None:
        await asyncio.sleep(0.8)
        await Answering()(peer)

    server.serve_peer = play
    assert (await chatted(server.url, patience_s=0.4)).status == 0


async def test_a_run_whose_end_comes_in_a_snapshot_has_ended(server: FakeServer) -> None:
    """D8."""
    lost = asyncio.Event()

    async def play(peer: Peer) -> None:
        if not lost.is_set():
            lost.set()
            await Answering().once(peer, events=4)
            peer.cut()
            return
        (point,) = peer.hello["payload"]["resume"]
        told = snapshot(40, {"message_id": "run-0.1", "role": "assistant", "content": "answer"})
        await peer.send(subscribed(40, recovered=False, thread_id=point["thread_id"]))
        await peer.send(told | {"thread_id": point["thread_id"]})

    server.serve_peer = play
    ran = await chatted(server.url)
    assert ran.status == 0
    assert ran.lines[-1] == "thread_snapshot  1 messages, up to event 40"


async def test_a_reader_that_leaves_ends_the_chat_quietly(server: FakeServer, answering: Answering) -> None:
    """As `| head` does."""
    reading, writing = os.pipe()
    os.close(reading)
    err = io.StringIO()
    with piped("hello\n") as stdin, os.fdopen(writing, "w", encoding="utf-8") as out:
        assert await chat(server.url, token, stdin=stdin, stdout=out, stderr=err) == 0
    assert err.getvalue() == ""


async def test_a_frame_cannot_drive_the_terminal(server: FakeServer) -> None:
    def hostile(command: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "agent_thinking", {"agent_name": "a", "agent_id": "a", "thought": "\x1b[2Jgone\x07\ud800"}
        yield "final_report", {"message_id": "x", "content": "\x9b31mred"}

    server.serve_peer = Answering(hostile)
    ran = await chatted(server.url)
    assert ran.lines == ["agent_thinking  gone", "final_report  31mred"]


async def test_what_the_output_cannot_encode_is_replaced(server: FakeServer, answering: Answering) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with piped("caf\u00e9\n") as stdin:
        assert await chat(server.url, token, stdin=stdin, stdout=out, stderr=io.StringIO()) == 0
    out.seek(0)
    assert out.readline() == "user_message  caf?\n"
