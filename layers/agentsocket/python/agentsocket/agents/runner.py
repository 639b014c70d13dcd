"""Runs code that is not ours: whatever an agent raises becomes a `Failed` event, and the worker goes on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import cast

from agentsocket.agents.contract import Agent, AgentEvent, Failed, Turn
from agentsocket.errors import AgentSocketError

_logger = logging.getLogger("agentsocket.agents")


async def events(
    make: Callable[[], Agent], turn_for: Callable[[Sequence[str]], Awaitable[Turn]], *, name: str
) -> AsyncGenerator[AgentEvent, None]:
    """What the agent `name` yields; a last `Failed` when it raises, or cannot be made. Always closes its generator.

    `turn_for` makes its turn, with what is remembered under the names that it declares; its errors are raised.
    """
    try:
        agent = make()
        turn = await turn_for(getattr(agent, "remembers", ()))
        async with aclosing(cast(AsyncGenerator[AgentEvent, None], agent.run(turn))) as stream:
            async for event in stream:
                yield event
    except AgentSocketError:  # ours, from making the turn
        raise
    except Exception as error:  # noqa: BLE001 (code that is not ours)
        # Its type only: the text of a stranger's exception may hold the user's message.
        facts = {"agent": name, "error": type(error).__name__}
        _logger.error("agent_failed", extra=facts)  # noqa: TRY400 (no traceback, for the same reason)
        yield Failed(
            error_type="internal",
            message="the agent stopped unexpectedly",
            user_message="Something went wrong while answering.",
            suggested_action="Send the message again; if it fails again, tell whoever runs this service.",
        )
