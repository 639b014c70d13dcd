"""The worker's `app.py` with an agent that does what its question says; everything else in it is the deployed code's.

The question is what `scripts.script` makes: a JSON list of steps. Anything else goes to the agent that is deployed.
Each attempt writes down in which process it goes on, and when it does so no more. `scripts.scripted` ships this with
`process_start.py`, and it is imported there only.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agentsocket import relay, wiring
from agentsocket.agents.catalog import AGENTS, DEFAULT
from agentsocket.agents.contract import (
    AgentEvent,
    Failed,
    Remember,
    Report,
    Text,
    Thinking,
    ToolEnded,
    ToolStarted,
    Turn,
)
from agentsocket.handlers import decorators
from agentsocket.inputs import RunRecord
from tests.integration.process_start import started

storage, contexts, runtime = (
    wiring.storage(epochs=True, per_user=True),
    wiring.contexts(per_user=True),
    wiring.runtime(),
)
run_queue, management_api = wiring.run_queue(dead_letters=True), wiring.management_api()

PROCESSES = Path(__file__).with_name("processes").read_text()


def note(run_id: str, what: str) -> None:
    """Write down what this process does with a run from now on: a line that `scripts.Processes` reads."""
    with (Path(PROCESSES) / run_id).open("a") as file:
        file.write(f"{what} {os.getpid()} {started(os.getpid())}\n")


class Scripted:
    """Plays the steps of its question. `begun` collects the runs that this invocation has begun."""

    remembers = ("thread.notes", "user.notes")

    def __init__(self, begun: list[str]) -> None:
        self._begun = begun
        self._remembered: Mapping[str, Any] = {}

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Yields what the steps say; a report at the end."""
        self._begun.append(turn.run_id)
        self._remembered = turn.remembered
        note(turn.run_id, "begun")
        if not turn.text.startswith("[["):
            async for event in AGENTS[DEFAULT]().run(turn):
                yield event
            return
        for name, *arguments in json.loads(turn.text):
            step = getattr(self, name)(*arguments)
            if isinstance(step, AsyncIterator):
                async for event in step:
                    yield event
            else:
                await step
        yield Report(metrics={"said_before": len(turn.history)})

    async def say(self, text: str, times: int, per_second: float) -> AsyncIterator[AgentEvent]:
        """`text` so many times, with its number for `{n}` from 1 on; 0 per second is as fast as it goes.

        Who is late hurries: a busy machine must not turn a stream of 20 s into one of 30.
        """
        begun = time.monotonic()
        for number in range(1, times + 1):
            yield Text(text.replace("{n}", str(number)))
            await asyncio.sleep(max(0, begun + number / per_second - time.monotonic()) if per_second else 0)

    async def think(self, times: int, pause_s: float) -> AsyncIterator[AgentEvent]:
        """So many events, each of which is a frame of its own."""
        for number in range(1, times + 1):
            yield Thinking(f"thought {number}", number, times)
            await asyncio.sleep(pause_s)

    async def use_tool(self, call_id: str) -> AsyncIterator[AgentEvent]:
        yield ToolStarted(call_id, "look_up", "{}")
        yield ToolEnded(call_id, "look_up", "success", "found", 1)

    async def remember(self, name: str, patch: dict[str, Any]) -> AsyncIterator[AgentEvent]:
        """Have something remembered."""
        yield Remember(name, patch)

    async def recall(self, name: str) -> AsyncIterator[AgentEvent]:
        """Say what was remembered under that name when this attempt began."""
        yield Text(json.dumps(self._remembered[name], sort_keys=True))

    async def rest(self, seconds: float) -> None:
        """Say nothing."""
        await asyncio.sleep(seconds)

    async def wait_for(self, path: str) -> None:
        """Go on when that file is there."""
        while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240, PTH110 (another process makes it)
            await asyncio.sleep(0.01)

    async def fail(self, error_type: str) -> AsyncIterator[AgentEvent]:
        """Give up, in the agent's own words."""
        yield Failed(error_type, "the script says so", "It did not work.", "Try again.", is_recoverable=True)

    async def crash(self) -> AsyncIterator[AgentEvent]:
        """Raise what no agent should."""
        secret: dict[str, Any] = {}
        yield secret["what an exception says is nobody's business"]


@decorators.queue
async def handler(record: RunRecord) -> None:
    begun: list[str] = []
    agents = {DEFAULT: partial(Scripted, begun)}
    try:
        await relay.execute(
            record,
            storage=storage,
            contexts=contexts,
            run_queue=run_queue,
            management_api=management_api,
            agents=agents,
            runtime=runtime,
        )
    finally:
        for run_id in begun:
            note(run_id, "over")
