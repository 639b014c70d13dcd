"""Whole runs, for the tests of the chat: a server that answers every message with all the stream events there are."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.client.fakes import Json, Peer, accepted, event, frame, part_accepted

ROOT = {"agent_name": "analyst", "agent_id": "a1"}
NESTED = {"agent_name": "checker", "agent_id": "a2"}
TOOL = ROOT | {"tool_call_id": "t1", "tool_name": "summarize"}
DELTAS = ("You spent\n", "$12.00 ", "on 3 calls.")
REPORT: Json = {
    "content": "".join(DELTAS),
    "recommendations": [
        {"title": "Use a smaller model", "detail": "It answers as well.", "savings_usd": "4.50"},
        {"title": "Ask less", "detail": "Half is repeated."},
    ],
    "action_plan": ["Try it on a sample."],
    "agent_metrics": {"rows": 3, "cost_usd": "12.00"},
    "total_duration_ms": 2345,
}

Script = Callable[[Json], Iterator[tuple[str, Json]]]


def success(command: Json) -> Iterator[tuple[str, Json]]:
    """Every stream event of a run that ends well."""
    yield "user_message", {"message_id": command["message_id"], "content": command["content"][:2000]}
    yield "agent_started", ROOT | {"attempt": 1}
    yield "agent_thinking", ROOT | {"thought": "Looking.", "step": 1, "total_steps": 2}
    yield "tool_executing", TOOL | {"arguments": "3 lines"}
    yield "tool_completed", TOOL | {"outcome": "success", "result_preview": "3 rows", "duration_ms": 12}
    yield "agent_started", NESTED | {"attempt": 1, "parent_agent_id": "a1"}
    yield "agent_completed", NESTED | {"outcome": "error", "duration_ms": 5}
    yield from _recovered()
    offset = 0
    for delta in DELTAS:
        told = {"message_id": "answer.1", "offset": offset, "content": delta, "is_complete": delta == DELTAS[-1]}
        yield "partial_result", ROOT | told
        offset += len(delta)
    yield "agent_completed", ROOT | {"outcome": "success", "duration_ms": 2300}
    yield "final_report", REPORT | {"message_id": "answer.1"}


def _recovered() -> Iterator[tuple[str, Json]]:
    yield (
        "agent_error",
        ROOT
        | {
            "error_type": "timeout",
            "message": "read timed out",
            "user_message": "The model is slow.",
            "is_recoverable": True,
            "suggested_action": "Wait a moment.",
        },
    )
    yield "agent_recovery", ROOT | {"kind": "retry_scheduled", "attempt": 2, "delay_ms": 1500}


def failing(command: Json) -> Iterator[tuple[str, Json]]:
    """A run that ends in an error."""
    yield "user_message", {"message_id": command["message_id"], "content": command["content"]}
    yield "agent_started", ROOT | {"attempt": 1}
    yield (
        "agent_error",
        ROOT
        | {
            "error_type": "internal",
            "message": "broken",
            "user_message": "Something broke.",
            "is_recoverable": False,
            "suggested_action": "Send the message again.",
        },
    )
    yield "agent_completed", ROOT | {"outcome": "error", "duration_ms": 700}


class Answering:
    """Plays connections: accepts every message and runs its script.

    `contents` and `threads` are what was asked; `log` is every event of every run.
    """

    def __init__(self, *scripts: Script) -> None:
        """The scripts of the runs in order; the last serves all that follow."""
        self.contents: list[str] = []
        self.threads: list[Any] = []
        self.log: list[Json] = []
        self._scripts = scripts or (success,)
        self._asked = asyncio.Condition()
        self._seqs: dict[str, Iterator[int]] = {}
        self._parts: dict[int, str] = {}

    async def __call__(self, peer: Peer) -> None:
        """Serve one connection until it ends."""
        async for text in peer.socket:
            command = json.loads(text)
            if command["type"] == "user_message" and await self._is_whole(peer, command):
                await self._run(peer, command)
            elif command["type"] == "unsubscribe":
                await peer.send(frame("unsubscribed", command["payload"], reply_to=command["id"]))

    async def once(self, peer: Peer, *, events: int) -> None:
        """Accept one message and send only the first events of its run."""
        await self._run(peer, await peer.expect("user_message"), events)

    async def asked(self, count: int) -> None:
        """Wait until so many messages have come."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.contents) >= count)

    async def _is_whole(self, peer: Peer, command: Json) -> bool:
        """Whether the message is there; a part that does not complete it is answered. `content` becomes the whole."""
        payload = command["payload"]
        if "part" not in payload:
            return True
        self._parts[payload["part"]] = payload["content"]
        numbers = range(1, payload["parts"] + 1)
        if missing := [number for number in numbers if number not in self._parts]:
            await peer.send(part_accepted(command, missing))
            return False
        payload["content"] = "".join(self._parts.pop(number) for number in numbers)
        return True

    async def _run(self, peer: Peer, command: Json, events: int | None = None) -> None:
        payload, number = command["payload"], len(self.contents)
        thread_id, run_id = payload.get("thread_id", f"thread-{number}"), f"run-{number}"
        async with self._asked:
            self.contents.append(payload["content"])
            self.threads.append(payload.get("thread_id"))
            self._asked.notify_all()
        await peer.send(accepted(command, thread_id=thread_id, run_id=run_id))
        seqs = self._seqs.setdefault(thread_id, itertools.count(1))
        script = self._scripts[min(number, len(self._scripts) - 1)]
        told = [event(next(seqs), kind, each, thread_id=thread_id, run_id=run_id) for kind, each in script(payload)]
        self.log += told
        await peer.send(*told[:events])
