"""The terminal chat: a person's at a terminal, a program's in a pipe. Connects, picks the form, names what went wrong.

The two forms are `chat_interactive` and `chat_piped`; the connection is `agentsocket_client`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from agentsocket_client import AgentSocketError, Client, CommandFailed, Disconnected, Frame, Status
from local.chat import piped
from local.chat.lines import line, one_line

Token = Callable[[], Awaitable[str]]

SUCCESS, FAILED, NOT_CONNECTED = 0, 1, 2
_SIGNED_OUT = ("revoked", "unauthorized")


async def chat(
    url: str,
    token: Token,
    *,
    json_frames: bool = False,
    file: Path | None = None,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    patience_s: float = 30.0,
) -> int:
    """Chat with the server at `url` until the person leaves or the input has ended. Returns the exit status.

    0: everything was answered; 1: a run ended otherwise, or a message was refused; 2: no connection for `patience_s`
    seconds, or none to be had. At a terminal the chat is interactive, unless `json_frames` or `file` is given.
    """
    streams = Streams(stdin or sys.stdin, stdout or sys.stdout, stderr or sys.stderr, json_frames)
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        if file is None and not json_frames and streams.stdin.isatty() and streams.stdout.isatty():
            return await _talk(url, token, streams, patience_s)
        return await _pipe(url, token, streams, file, patience_s)
    except BrokenPipeError:
        streams.silence()
        return SUCCESS
    except TimeoutError:
        streams.say(f"No connection to {host} in {patience_s:g} s: is the server running?")
    except CommandFailed as error:
        streams.say(f"The message was refused: {one_line(error.message)}.")
        return FAILED
    except Disconnected as error:
        if error.code in _SIGNED_OUT:
            streams.say("You have been signed out: start the chat again to sign in.")
        else:
            streams.say(f"Cannot chat with {host}: {one_line(str(error))}.")
    except (AgentSocketError, ssl.SSLCertVerificationError) as error:
        streams.say(f"Cannot chat with {host}: {one_line(str(error))}.")
    return NOT_CONNECTED


@dataclass
class Streams:
    """Where a chat reads and writes."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    json_frames: bool = False

    def show(self, frame: Frame) -> None:
        """One frame on standard output, as JSON or as a plain line, at once."""
        text = json.dumps(frame) if self.json_frames else line(frame)
        encoding = self.stdout.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=self.stdout, flush=True)

    def say(self, sentence: str) -> None:
        """One sentence for the person."""
        print(f"agentsocket: {sentence}", file=self.stderr, flush=True)

    def silence(self) -> None:
        """Whoever read standard output has left: what is still buffered must not complain at exit."""
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stdout.fileno())


@dataclass
class Patience:
    """Ends a wait for the connection after `seconds`, as a TimeoutError; while there is one, nothing is ended."""

    seconds: float
    limit: asyncio.Timeout
    notice: Callable[[Status], None]
    live: bool = field(default=False, init=False)

    def on_status(self, status: Status) -> None:
        """The connection came or went."""
        if self.live != status.live and not self.limit.expired():
            loop = asyncio.get_running_loop()
            self.limit.reschedule(None if status.live else loop.time() + self.seconds)
        self.live = status.live
        self.notice(status)


async def _pipe(url: str, token: Token, streams: Streams, file: Path | None, patience_s: float) -> int:
    questions = piped.messages(streams.stdin, file)
    try:
        first = await anext(questions, None)
    except OSError as error:
        streams.say(f"{file} cannot be read: {error.strerror}.")
        return NOT_CONNECTED
    if first is None:
        streams.say("There is no message to send: the input is empty.")
        return SUCCESS
    async with asyncio.timeout(patience_s) as limit:
        patience = Patience(patience_s, limit, _losses(streams))
        async with Client(url, token, name="agentsocket-chat", on_status=patience.on_status) as client:
            fault = await piped.converse(client, _chain(first, questions), streams.show)
    if fault is not None:
        streams.say(fault)
    return SUCCESS if fault is None else FAILED


async def _talk(url: str, token: Token, streams: Streams, patience_s: float) -> int:
    from local.chat.interactive import Talk  # prompt_toolkit and rich, which a pipe does not need

    talk = Talk(streams.stdout)
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(patience_s):
            client = Client(url, token, name="agentsocket-chat", on_status=talk.on_status)
            await stack.enter_async_context(client)
        await talk.run(client)
    return SUCCESS


def _losses(streams: Streams) -> Callable[[Status], None]:
    """Tells of each loss once, and of its end."""
    lost = False

    def notice(status: Status) -> None:
        nonlocal lost
        if status.live and lost:
            streams.say("Connected again.")
        elif not status.live and not lost:
            streams.say(f"No connection ({one_line(status.reason)}); trying again.")
        lost = not status.live

    return notice


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for each in rest:
        yield each
