"""The agents of a simulation: what they do follows from the message's text alone.

A text that begins with `script:` says it step by step, up to a "|"; any other is answered by the real usage analyst.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from agentsocket.agents.contract import Agent, AgentEvent, Report, Text, Thinking, ToolEnded, ToolStarted, Turn
from agentsocket.agents.usage_analyst import UsageAnalyst
from tests.simulation.processes import Process

SCRIPT = "script:"


class Answering:
    """The one agent of a simulated deployment, in one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        """Scripts are steps with a number each: say 5, long 30 (thousand characters), pause 3, think 1, tool 2, …"""
        if not turn.text.startswith(SCRIPT):
            analyst: Agent = UsageAnalyst(sleep=self._process.sleep)
            async for event in analyst.run(turn):
                yield event
            return
        script = turn.text.removeprefix(SCRIPT).partition("|")[0]
        for number, step in enumerate(script.split(";")):
            verb, amount = step.split()
            async for event in self._step(verb, float(amount), number):
                yield event
        yield Report(metrics={"script": len(turn.text)})

    async def _step(self, verb: str, amount: float, number: int) -> AsyncIterator[AgentEvent]:
        match verb:
            case "say":
                for word in range(int(amount)):
                    yield Text(f"word {number}.{word} ")
                    await self._process.sleep(0.06)
            case "long":
                yield Text("äbc " * int(amount * 250))
            case "pause":
                await self._process.sleep(amount)
            case "think":
                yield Thinking(f"thought {number}", 1, 1)
            case "tool":
                yield ToolStarted(str(number), "wait", "{}")
                await self._process.sleep(amount)
                yield ToolEnded(str(number), "wait", "success", "waited", int(amount * 1000))
            case "raise":
                raise ArithmeticError("as its script says")
            case "die":
                self._process.kill()
                await self._process.sleep(1)
            case _:
                raise AssertionError(verb)
