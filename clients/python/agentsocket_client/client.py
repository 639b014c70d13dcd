"""The client: a connection, and what a caller may ask for over it. See `commands` and `connection`."""

from __future__ import annotations

import asyncio
import random as system_random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from urllib.parse import urlsplit

from agentsocket_client.commands import Commands
from agentsocket_client.connection import Connection, Status
from agentsocket_client.credentials import Credentials
from agentsocket_client.frames import Frame, Position, ResumePoint
from agentsocket_client.limits import Limits
from agentsocket_client.transport import Connect, Form, open_websocket


class Client(Commands):
    """One user's connection, kept alive inside `async with`. Meant for one event loop and one iterator of `frames`."""

    def __init__(
        self,
        url: str,
        token: str | Callable[[], Awaitable[str]],
        *,
        ticket: Callable[[], Awaitable[str]] | None = None,
        resume: Iterable[ResumePoint] | None = None,
        form: Form = "header",
        name: str = "agentsocket-client",
        limits: Limits | None = None,
        on_status: Callable[[Status], None] = lambda _: None,
        connect: Connect = open_websocket,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = system_random.random,
    ) -> None:
        """A `token` that is a function is called for every connection, and to refresh the open one before its end.

        With `ticket`, connections are made with what that returns instead, a new one each. Both may raise OSError for
        what will pass; whatever else they raise when a connection is made ends the client. Raises ValueError for a
        bad address.
        """
        if urlsplit(url).scheme not in {"ws", "wss"} or not urlsplit(url).hostname:
            raise ValueError("the address must look like wss://host/stage")
        connection = Connection(
            url,
            Credentials(token, ticket, form),
            resume=resume or (),
            name=name,
            limits=limits or Limits(),
            on_status=on_status,
            connect=connect,
            now=now,
            sleep=sleep,
            random=random,
        )
        super().__init__(connection)

    async def __aenter__(self) -> Client:
        """Connect and say hello; waits until the server has said welcome, or raises what makes that impossible."""
        await self._connection.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection. Runs go on; unanswered commands fail with ClientClosed."""
        await self._connection.stop()

    def frames(self) -> AsyncIterator[Frame]:
        """Every stream event once, in order of seq within its thread, and the control frames a person should see.

        Those are disconnect, token_expiring (nothing to do if the token is a function), thread_snapshot, what other
        devices do (thread_created, thread_renamed, thread_deleted, context; also an agent's change of a context), and
        errors that answer no command of the caller. Ends when the client is closed; raises what ended it otherwise.
        """
        return self._connection.frames()

    def position(self, thread_id: str) -> Position:
        """How far `frames` has come in a thread, for `resume`. Raises KeyError for a thread that is not followed."""
        return self._connection.position(thread_id)
