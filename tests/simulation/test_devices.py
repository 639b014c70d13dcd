"""The judge of answers can fail: a device does not put up with an answer that it should not have been given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from agentsocket_client import Client
from agentsocket_client.errors import AgentSocketError, CommandFailed, Damaged
from tests.simulation.devices import Device, Record
from tests.simulation.history import Accepted


class _Answered:
    """A client whose every command has one answer: an error, or none."""

    def __init__(self, error: AgentSocketError | None = None, text: str = "") -> None:
        self._error = error
        self._text = text

    async def __aenter__(self) -> _Answered:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def frames(self) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield {}

    async def subscribe(self, thread_id: str) -> Any:
        return await self.command("subscribe", {"thread_id": thread_id})

    async def content(self, thread_id: str, message_id: str) -> str:
        await self.command("get_content", {})
        return self._text

    async def command(self, kind: str, payload: Any) -> Any:
        if self._error is not None:
            raise self._error
        return {"payload": payload}

    def position(self, thread_id: str) -> Any:
        raise KeyError(thread_id)


class _Stage:
    def __init__(self, client: _Answered) -> None:
        self._client = client

    def client(self, *_: object) -> Client:
        return cast("Client", self._client)

    def now(self) -> float:
        return 0.0


_NONE = CommandFailed("not_found", "no such thread")
Ask = Callable[[Device], Awaitable[Any]]


async def _asked(client: _Answered, ask: Ask, *doomed: str) -> Record:
    """What is recorded when a device of ada asks; t is a thread of hers, u is bob's."""
    record = Record(list[str]().append)
    record.history.accepted = [Accepted("ada", "m", "t", "e", "r"), Accepted("bob", "n", "u", "e", "s")]
    record.history.doomed |= set(doomed)
    device = Device("phone", "ada", cast("Any", _Stage(client)), record)
    await device.connect()
    await ask(device)
    await device.leave()
    return record


@pytest.mark.parametrize(
    "ask",
    [
        lambda device: device.subscribe("t"),
        lambda device: device.unsubscribe("t"),
        lambda device: device.stop("m"),
        lambda device: device.read("t", "m", "hello"),
    ],
)
async def test_not_found_is_an_answer_for_what_somebody_wants_to_delete_and_nothing_else(ask: Ask):
    class Gone(_Answered):
        async def unsubscribe(self, thread_id: str) -> None:
            raise _NONE

    assert (await _asked(Gone(_NONE), ask, "t")).wrong == []
    assert (await _asked(Gone(_NONE), ask, "another")).wrong == ["phone was answered not_found: no such thread"]


async def test_a_thread_that_is_not_there_when_it_is_to_be_deleted_is_a_deleted_one():
    record = await _asked(_Answered(_NONE), lambda device: device.delete("t"))
    assert (record.wrong, record.history.deleted) == ([], {"t"})


async def test_a_run_that_cannot_be_stopped_is_remembered():
    record = await _asked(_Answered(CommandFailed("not_stoppable", "it has ended")), lambda device: device.stop("m"))
    assert (record.wrong, list(record.history.unstoppable)) == ([], ["m"])


async def test_nobody_follows_somebody_else_s_thread():
    record = await _asked(_Answered(_NONE), lambda device: device.subscribe("u"))
    assert record.wrong == []
    record = await _asked(_Answered(), lambda device: device.subscribe("u"))
    assert record.wrong == ["phone could follow somebody else's thread u"]


async def test_a_text_is_what_was_said():
    assert (await _asked(_Answered(text="hello"), lambda device: device.read("t", "m", "hello"))).wrong == []
    for client in (_Answered(text="hell"), _Answered(Damaged("damaged"))):
        [wrong] = (await _asked(client, lambda device: device.read("t", "m", "hello"))).wrong
        assert wrong.startswith(("phone reads 'hell'", "phone was given what is damaged"))
