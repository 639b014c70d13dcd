"""The chat of a program: messages from a pipe or a file, one after the other, a plain line or a frame per event."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TextIO

from agentsocket_client import Client, Frame, Runs
from agentsocket_client.frames import EVENTS
from local.chat.lines import one_line

Show = Callable[[Frame], None]


async def messages(stdin: TextIO, file: Path | None) -> AsyncIterator[str]:
    """The lines of `stdin` as they come, or the whole of `file`; nothing that is only white space."""
    if file is None:
        async for line in _lines(stdin):
            if line.strip():
                yield line
        return
    text = await asyncio.to_thread(file.read_text, encoding="utf-8-sig", errors="replace")
    if text.strip():
        yield text


async def converse(client: Client, questions: AsyncIterator[str], show: Show) -> str | None:
    """Send each question when the run before it has ended well. Returns what went wrong, or None."""
    frames = client.frames()
    thread_id: str | None = None
    async for question in questions:
        accepted = await client.send_message(question, thread_id=thread_id)
        thread_id = accepted["thread_id"]
        fault = await _run_end(frames, accepted["thread_id"], accepted, show)
        if fault is not None:
            return fault
    return None


async def _run_end(frames: AsyncIterator[Frame], thread_id: str, accepted: Frame, show: Show) -> str | None:
    """Show what comes until the run is over. Returns None after success, else one sentence."""
    runs, advice = Runs(), ""
    runs.accepted(accepted)
    async for frame in frames:
        show(frame)
        kind, payload = frame["type"], frame["payload"]
        if frame.get("thread_id") != thread_id:
            continue
        if kind in EVENTS:
            runs.event(frame)
        elif kind == "thread_snapshot":
            runs.snapshot(payload)
        elif kind == "error":
            return f"The conversation cannot go on: {one_line(payload.get('message'))}"
        if kind == "agent_error":
            advice = one_line(f"{payload.get('user_message', '')} {payload.get('suggested_action', '')}")
        outcome = runs.outcome(accepted["run_id"])
        if outcome is not None:
            return None if outcome == "success" else f"The run ended with {one_line(outcome)}. {advice}".strip()
    return "The conversation was closed."


async def _lines(stdin: TextIO) -> AsyncIterator[str]:
    """Lines as they come, also the last without its end.

    Not by a thread: one that waits in a read keeps the program from ending.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
    rest = ""
    while data := await _read(stdin.fileno()):
        *lines, rest = (rest + decoder.decode(data)).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    yield rest + decoder.decode(b"", final=True)


async def _read(descriptor: int) -> bytes:
    """What there is to read, once there is something; empty at the end."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a regular file, which epoll does not take and which is always readable
        return os.read(descriptor, 65536)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 65536)
