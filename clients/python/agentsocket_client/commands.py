"""What a caller may ask of the server: each method is a command, or the several that a long text takes.

How a command travels, and what its reply is, is `client`'s.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from agentsocket_client import frames
from agentsocket_client.backoff import Backoff
from agentsocket_client.errors import CommandFailed
from agentsocket_client.frames import Frame, Payload, Position
from agentsocket_client.limits import Limits
from agentsocket_client.longtexts import Pages, parts

_PASSING = frozenset({"unavailable", "internal"})  # `busy` may last for minutes: the caller decides


class Commands(ABC):
    """The commands of a client."""

    def __init__(
        self, *, limits: Limits, sleep: Callable[[float], Awaitable[None]], random: Callable[[], float]
    ) -> None:
        self._limits = limits
        self._sleep = sleep
        self._random = random
        self._long_message = asyncio.Lock()

    @property
    @abstractmethod
    def welcome(self) -> Payload:
        """The payload of the newest welcome."""

    @abstractmethod
    async def command(self, kind: str, payload: Payload) -> Frame:
        """Send any command; returns the reply frame. Raises CommandFailed, and whatever ended the client."""

    async def send_message(
        self,
        content: str,
        *,
        thread_id: str | None = None,
        message_id: str | None = None,
        context: Payload | None = None,
    ) -> Payload:
        """Send a message, to a new thread unless `thread_id` is given; returns the payload of message_accepted.

        A text that no single frame holds goes in parts, up to 1 MB. `message_id` makes it safe to call this again: the
        same id is the same run. Raises CommandFailed.
        """
        payload: Payload = {"content": content, "message_id": message_id or frames.new_id()}
        payload |= {"thread_id": thread_id} if thread_id is not None else {}
        payload |= {"context": context} if context is not None else {}
        allowed = min(self.welcome.get("max_message_bytes", self._limits.message_bytes), self._limits.message_bytes)
        texts = parts(content, message_bytes=allowed, limits=self._limits)
        async with self._long_message:  # messages keep their order, also behind one that takes many commands
            if len(texts) > 1:
                return await self._send_parts(payload, texts)
        accepted: Payload = (await self.command("user_message", payload))["payload"]
        return accepted

    async def subscribe(self, thread_id: str, since: Position | None = None) -> Payload:
        """Follow a thread, from `since` or from where this client stands in it; returns the payload of subscribed."""
        payload: Payload = {"thread_id": thread_id} | ({"since": since} if since is not None else {})
        subscribed: Payload = (await self.command("subscribe", payload))["payload"]
        return subscribed

    async def unsubscribe(self, thread_id: str) -> None:
        """Follow a thread no more."""
        await self.command("unsubscribe", {"thread_id": thread_id})

    async def stop(self, *, run_id: str | None = None, message_id: str | None = None) -> Payload:
        """Stop a run: by its id, or by the message it answers, which need not have been accepted yet.

        Returns the payload of stop_accepted. Raises CommandFailed, and ValueError unless exactly one is given.
        """
        if (run_id is None) == (message_id is None):
            raise ValueError("name the run by run_id or by message_id")
        named = {"run_id": run_id} if run_id is not None else {"message_id": message_id}
        stopped: Payload = (await self.command("stop_agent", named))["payload"]
        return stopped

    async def content(self, thread_id: str, message_id: str) -> str:
        """The whole text of a message or an answer, however long. Raises CommandFailed, or Damaged."""
        pages = Pages()
        while pages.offset is not None:
            asked: Payload = {"thread_id": thread_id, "message_id": message_id, "offset": pages.offset}
            pages.add((await self._patiently("get_content", asked))["payload"])
        return pages.text()

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread and all that was said in it, on every device; runs under way in it end."""
        await self.command("delete_thread", {"thread_id": thread_id})

    async def _send_parts(self, payload: Payload, texts: list[str]) -> Payload:
        """Send each part that the server has not, until it has them all."""
        missing = list(range(1, len(texts) + 1))
        for _ in range(self._limits.part_sends * len(texts)):
            part = {"content": texts[missing[0] - 1], "part": missing[0], "parts": len(texts)}
            reply = await self._patiently("user_message", payload | part)
            told: Payload = reply["payload"]
            if reply["type"] == "message_accepted":
                return told
            named = told.get("missing")
            missing = [number for number in range(1, len(texts) + 1) if isinstance(named, list) and number in named]
            if not missing:
                break
        raise CommandFailed(
            "unavailable", "the server does not put the message together: send it again", temporary=True
        )

    async def _patiently(self, kind: str, payload: Payload) -> Frame:
        """One of many commands for one text: what fails for a moment is tried again, some times."""
        backoff = Backoff(self._limits.backoff_base_s, self._limits.backoff_cap_s, self._random)
        for _ in range(self._limits.tries - 1):
            try:
                return await self.command(kind, payload)
            except CommandFailed as error:
                if not error.temporary or error.code not in _PASSING:
                    raise
                await self._sleep((error.retry_after_ms or 0) / 1000 + backoff.next())
        return await self.command(kind, payload)
