"""The chat of a person: one line to write in, and above it what happens, as it happens.

The line stays while an answer comes, so that the next message can be written meanwhile; pasted text is one message,
however many lines it has. What a frame looks like is `chat_screen`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style
from rich.console import Console, RenderableType

from agentsocket_client import Client, CommandFailed, Runs, Status
from agentsocket_client.frames import EVENTS, Frame, new_id
from local.chat.lines import one_line
from local.chat.screen import Screen, failure, notice, warning

_COMMAND = re.compile(r"/\w+")
_HELP = """\
Enter sends, Alt+Enter begins a new line. Pasted text is one message: paste a whole CSV.
/new   begin a new thread          /help  show this
/quit  leave (also Ctrl-D, Ctrl-C); a run that is under way goes on without you"""
_STYLE = Style.from_dict({"bottom-toolbar": "noreverse fg:ansibrightblack", "mark": "bold ansicyan"})


class Talk:
    """One sitting at the terminal."""

    def __init__(self, stdout: TextIO) -> None:
        self._console = Console(file=stdout, highlight=False)
        self._screen = Screen(lambda: self._console.width)
        self._prompt: PromptSession[str] | None = None
        self._outgoing: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()  # id, text; None: a new thread
        self._unsent = 0
        self._runs = Runs()
        self._live = False
        self._reason = ""
        self._printing: Awaitable[None] | None = None

    def on_status(self, status: Status) -> None:
        """The connection came or went."""
        if status.live and self._reason:
            self._printing = self._print([notice("Connected again.")])
        elif not status.live and not self._reason:
            reason = one_line(status.reason)
            self._printing = self._print([warning(f"No connection ({reason}); trying again.")])
        self._live, self._reason = status.live, "" if status.live else one_line(status.reason)

    async def run(self, client: Client) -> None:
        """Until the person leaves. Raises what ended the client, if that comes first."""
        self._prompt = PromptSession(
            self._before_input,
            multiline=True,
            prompt_continuation="  ",
            key_bindings=_bindings(),
            bottom_toolbar=self._toolbar,
            erase_when_done=True,
            style=_STYLE,
        )
        await self._print([notice("Connected. Write a message, or paste a CSV; /help says more.")])
        work = (self._listen(self._prompt), self._send(client), self._follow(client))
        tasks = [asyncio.create_task(each) for each in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if self._unsent:
                self._console.print(warning(f"{self._unsent} of your messages may not have arrived."))

    async def _listen(self, prompt: PromptSession[str]) -> None:
        """Take what the person writes, until they leave."""
        while True:
            try:
                text = (await prompt.prompt_async()).strip()
            except (EOFError, KeyboardInterrupt):
                return
            if text == "/quit":
                return
            if _COMMAND.fullmatch(text):
                await self._command(text)
            elif text:
                message_id = new_id()
                await self._print(self._screen.own(message_id, text))
                self._unsent += 1
                self._outgoing.put_nowait((message_id, text))

    async def _command(self, text: str) -> None:
        if text == "/new":
            self._outgoing.put_nowait(None)
            await self._print([notice("Your next message begins a new thread.")])
        elif text == "/help":
            await self._print([notice(_HELP)])
        else:
            await self._print([failure(f"There is no command {text}: /help shows those there are.")])

    async def _send(self, client: Client) -> None:
        """Send in the order of writing; a message waits for the one before to be accepted, which names the thread."""
        thread_id: str | None = None
        while True:
            item = await self._outgoing.get()
            try:
                if item is not None:
                    message_id, text = item
                    accepted = await client.send_message(text, thread_id=thread_id, message_id=message_id)
                    thread_id = accepted["thread_id"]
                    self._runs.accepted(accepted)
                elif thread_id is not None:
                    left, thread_id, self._runs = thread_id, None, Runs()
                    await client.unsubscribe(left)
            except CommandFailed as error:
                await self._print([failure(f"Not sent: {one_line(error.message)}.")])
            if item is not None:
                self._unsent -= 1
            self._redraw()

    async def _follow(self, client: Client) -> None:
        """Show what the server says."""
        async for frame in client.frames():
            self._note(frame)
            shown = self._screen.show(frame)
            if shown:
                await self._print(shown)
            self._redraw()

    def _note(self, frame: Frame) -> None:
        if frame["type"] in EVENTS:
            self._runs.event(frame)
        elif frame["type"] == "thread_snapshot":
            self._runs.snapshot(frame["payload"])

    def _print(self, shown: Sequence[RenderableType]) -> Awaitable[None]:
        """Print above the line that is being written. Already under way when this returns."""

        def out() -> None:
            for each in shown:
                self._console.print(each)

        return run_in_terminal(out)

    def _redraw(self) -> None:
        if self._prompt is not None:
            self._prompt.app.invalidate()

    def _before_input(self) -> StyleAndTextTuples:
        """The answer's unfinished line, and the mark that asks for input."""
        line: StyleAndTextTuples = [("", f"{self._screen.pending}\n")] if self._screen.pending else []
        return [*line, ("class:mark", "> ")]

    def _toolbar(self) -> str:
        if not self._live:
            return f" not connected: {self._reason}; trying again"
        return " answering ... (you can write meanwhile)" if self._runs.active else " Enter sends · /help"


def _bindings() -> KeyBindings:
    """Enter sends, Alt+Enter begins a line: the other way round than prompt_toolkit's multi-line default."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys
