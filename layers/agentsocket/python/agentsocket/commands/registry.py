"""Which function answers which command, and for how many commands it counts. `user_message` is `relay.py`'s."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import UNSET

from agentsocket.commands import connection, threads
from agentsocket.commands import contexts as context_commands
from agentsocket.commands.connection import CommandContext
from agentsocket.limits import Limits
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply

ANSWERS: dict[type[protocol.Payload], Callable[[Any, CommandContext], Iterator[Reply]]] = {
    protocol.Hello: connection.hello,
    protocol.StopAgent: connection.stop_agent,
    protocol.Subscribe: connection.subscribe,
    protocol.Unsubscribe: connection.unsubscribe,
    protocol.SwitchThread: threads.switch_thread,
    protocol.CreateThread: threads.create_thread,
    protocol.RenameThread: threads.rename_thread,
    protocol.DeleteThread: threads.delete_thread,
    protocol.ListThreads: threads.list_threads,
    protocol.GetThreadHistory: threads.get_thread_history,
    protocol.GetContent: threads.get_content,
    protocol.GetContext: context_commands.get_context,
    protocol.UpdateContext: context_commands.update_context,
    protocol.RefreshToken: connection.refresh_token,
    protocol.GetHealth: connection.get_health,
    protocol.Ping: connection.ping,
}
_FREE = (protocol.Ping, protocol.RefreshToken, protocol.Unsubscribe, protocol.GetHealth)
_REPLAYING = (protocol.Subscribe, protocol.SwitchThread)
_LINES_OF_A_COMMAND = 10  # a line of a transcript is read whole, up to 24 KB of it


def answer(command: protocol.Payload, asked: CommandContext) -> Iterator[Reply]:
    """Carry out a command. Raises RateLimited when the user's bucket is empty, and what the command's function does."""
    asked.user.quotas.spend(cost(command, asked.limits))
    yield from ANSWERS[type(command)](command, asked)


def cost(command: protocol.Payload, limits: Limits) -> int:
    """For how many commands one counts. What ends a run, keeps a socket or renews its token is never held up.

    But for a stop that may precede its run: that leaves a row which every worker of the user's reads.
    """
    if isinstance(command, protocol.StopAgent):
        return int(command.run_id is UNSET)
    if isinstance(command, _FREE):
        return 0
    if isinstance(command, _REPLAYING):
        return limits.replay_cost
    if isinstance(command, protocol.Hello):
        return max(1, limits.replay_cost * math.ceil(len(command.resume) / limits.max_resume_threads))
    if isinstance(command, protocol.GetThreadHistory):
        return math.ceil(command.limit / _LINES_OF_A_COMMAND)
    return 1
