"""An agent of ten lines: it thinks aloud once, then gives the question back, line by line."""

from collections.abc import AsyncIterator

from agentsocket.agents.contract import AgentEvent, Text, Thinking, Turn


class Echo:
    async def run(self, turn: Turn) -> AsyncIterator[AgentEvent]:
        yield Thinking("Repeating the question.")
        for line in turn.text.splitlines(keepends=True):
            yield Text(line)
