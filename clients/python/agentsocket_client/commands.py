"""What a caller may ask of the server: each method is a command, or the several that a long text takes.

How a command travels, and what its reply is, is `connection`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agentsocket_client import frames
from agentsocket_client.backoff import Backoff
from agentsocket_client.connection import Connection
from agentsocket_client.errors import CommandFailed
from agentsocket_client.frames import Frame, Payload, Position
from agentsocket_client.long_texts import Pages, parts

_PASSING = frozenset({"unavailable", "internal"})  # `busy` may last for minutes: the caller decides


class Commands:
    """The commands of a client. Each raises CommandFailed when it is answered with an error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._limits = connection.limits
        self._long_message = asyncio.Lock()

    @property
    def welcome(self) -> Payload:
        """The payload of the newest welcome."""
        return self._connection.welcome

    async def command(self, kind: str, payload: Payload) -> Frame:
        """Send any command; returns the reply frame. Lost connections are waited out: use asyncio.timeout to give up.

        Raises CommandFailed if the reply is an error or the command is too large, and whatever ended the client.
        """
        return await self._connection.command(kind, payload)

    # Messages and runs.

    async def send_message(
        self,
        content: str,
        *,
        thread_id: str | None = None,
        message_id: str | None = None,
        context: Payload | None = None,
        agent: str | None = None,
    ) -> Payload:
        """Send a message, to a new thread unless `thread_id` is given; returns the payload of message_accepted.

        `agent` names one of the server's agents; without it the server's default one answers.

        A text that no single frame holds goes in parts, up to 1 MB. `message_id` makes it safe to call this again: the
        same id is the same run. Raises CommandFailed.
        """
        payload: Payload = {"content": content, "message_id": message_id or frames.new_id()}
        payload |= {"thread_id": thread_id} if thread_id is not None else {}
        payload |= {"context": context} if context is not None else {}
        payload |= {"agent": agent} if agent is not None else {}
        allowed = min(self.welcome.get("max_message_bytes", self._limits.message_bytes), self._limits.message_bytes)
        texts = parts(content, message_bytes=allowed, limits=self._limits)
        async with self._long_message:  # messages keep their order, also behind one that takes many commands
            if len(texts) > 1:
                return await self._send_parts(payload, texts)
        return await self._told("user_message", payload)

    async def stop(self, *, run_id: str | None = None, message_id: str | None = None) -> Payload:
        """Stop a run: by its id, or by the message it answers, which need not have been accepted yet.

        Returns the payload of stop_accepted. Raises CommandFailed, and ValueError unless exactly one is given.
        """
        if (run_id is None) == (message_id is None):
            raise ValueError("name the run by run_id or by message_id")
        named = {"run_id": run_id} if run_id is not None else {"message_id": message_id}
        return await self._told("stop_agent", named)

    async def content(self, thread_id: str, message_id: str) -> str:
        """The whole text of a message or an answer, however long. Raises CommandFailed, or Damaged."""
        pages = Pages()
        while pages.offset is not None:
            asked: Payload = {"thread_id": thread_id, "message_id": message_id, "offset": pages.offset}
            pages.add((await self._patiently("get_content", asked))["payload"])
        return pages.text()

    # Threads.

    async def create_thread(self, title: str = "", *, metadata: Payload | None = None) -> Payload:
        """Begin a thread; returns the payload of thread_created. It is followed once something is sent to it."""
        payload: Payload = {"title": title} | ({"metadata": metadata} if metadata is not None else {})
        return await self._told("create_thread", payload)

    async def rename_thread(self, thread_id: str, title: str) -> None:
        """Give a thread another title."""
        await self.command("rename_thread", {"thread_id": thread_id, "title": title})

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread and all that was said in it, on every device; runs under way in it end."""
        await self.command("delete_thread", {"thread_id": thread_id})

    async def threads(self, *, page: int = 50) -> AsyncIterator[Payload]:
        """The user's threads, newest activity first, read `page` at a time: thread_id, title, metadata, and when.

        One that becomes active meanwhile may come twice or, if it had not come yet, not at all.
        """
        async for each in self._pages("list_threads", {"limit": page}, of="threads"):
            yield each

    async def history(self, thread_id: str, *, page: int = 50) -> AsyncIterator[Payload]:
        """What was said in a thread, newest first, read `page` at a time. What is said meanwhile shifts nothing.

        Of a long message the start, `truncated`: `content` reads the whole.
        """
        async for each in self._pages("get_thread_history", {"thread_id": thread_id, "limit": page}, of="messages"):
            yield each

    async def subscribe(self, thread_id: str, since: Position | None = None) -> Payload:
        """Follow a thread, from `since` or from where this client stands in it; returns the payload of subscribed."""
        payload: Payload = {"thread_id": thread_id} | ({"since": since} if since is not None else {})
        return await self._told("subscribe", payload)

    async def unsubscribe(self, thread_id: str) -> None:
        """Follow a thread no more."""
        await self.command("unsubscribe", {"thread_id": thread_id})

    async def switch_thread(self, thread_id: str, since: Position | None = None) -> None:
        """Follow this thread and no other, from `since` or from where this client stands in it.

        When it fails, the threads of before are followed as before.
        """
        await self.command("switch_thread", {"thread_id": thread_id} | ({"since": since} if since is not None else {}))

    # What is remembered of the user, and how the service is.

    async def get_context(self, name: str) -> Payload:
        """What is remembered under a name that begins with `user.`: name, value, and version, 0 for nothing."""
        return await self._told("get_context", {"name": name})

    async def update_context(self, name: str, patch: Payload, *, version: int | None = None) -> Payload:
        """Change what is remembered by an RFC 7386 merge patch; returns name, value and version as they are then.

        With `version`, only if that is still the newest: else CommandFailed `version_conflict`. This very change counts
        as another's when its answer was lost: `get_context` tells.
        """
        payload: Payload = {"name": name, "patch": patch} | ({"version": version} if version is not None else {})
        return await self._told("update_context", payload)

    async def health(self) -> Payload:
        """Whether the service is well: status, and that of each dependency."""
        return await self._told("get_health", {})

    async def _told(self, kind: str, payload: Payload) -> Payload:
        told: Payload = (await self.command(kind, payload))["payload"]
        return told

    async def _pages(self, kind: str, payload: Payload, *, of: str) -> AsyncIterator[Payload]:
        """The entries `of` each page, until a page names no other."""
        cursor: Payload = {}
        while True:
            page = (await self._patiently(kind, payload | cursor))["payload"]
            for each in page[of]:
                yield each
            if "cursor" not in page:
                return
            cursor = {"cursor": page["cursor"]}

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
        backoff = Backoff(self._limits.backoff_base_s, self._limits.backoff_cap_s, self._connection.random)
        for _ in range(self._limits.tries - 1):
            try:
                return await self.command(kind, payload)
            except CommandFailed as error:
                if not error.temporary or error.code not in _PASSING:
                    raise
                await self._connection.sleep((error.retry_after_ms or 0) / 1000 + backoff.next())
        return await self.command(kind, payload)
