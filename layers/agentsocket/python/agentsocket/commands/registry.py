"""Which function carries out which command, and what a command costs of the user's rate limit.

`user_message` is not here: `relay.start_run` takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import UNSET

from agentsocket.commands import connection, contexts, runs, threads
from agentsocket.commands.request import CommandContext
from agentsocket.limits import Limits
from agentsocket.protocol import messages
from agentsocket.protocol.frames import Reply

COMMANDS: dict[type[messages.Payload], Callable[[Any, CommandContext], Iterator[Reply]]] = {
    messages.Hello: connection.hello,
    messages.StopAgent: runs.stop_agent,
    messages.Subscribe: connection.subscribe,
    messages.Unsubscribe: connection.unsubscribe,
    messages.SwitchThread: threads.switch_thread,
    messages.CreateThread: threads.create_thread,
    messages.RenameThread: threads.rename_thread,
    messages.DeleteThread: threads.delete_thread,
    messages.ListThreads: threads.list_threads,
    messages.GetThreadHistory: threads.get_thread_history,
    messages.GetContent: threads.get_content,
    messages.GetContext: contexts.get_context,
    messages.UpdateContext: contexts.update_context,
    messages.RefreshToken: connection.refresh_token,
    messages.GetHealth: connection.get_health,
    messages.Ping: connection.ping,
}
_FREE = (messages.Ping, messages.RefreshToken, messages.Unsubscribe, messages.GetHealth)
_REPLAYING = (messages.Subscribe, messages.SwitchThread)
_MESSAGES_OF_A_COMMAND = 10  # a message of a transcript is read whole, up to 24 KB of it


def reply(command: messages.Payload, request: CommandContext) -> Iterator[Reply]:
    """Carry out a command. Raises RateLimited when the user's bucket is empty, and what the command's function does."""
    request.store.quotas.spend(cost(command, request.limits))
    yield from COMMANDS[type(command)](command, request)


def cost(command: messages.Payload, limits: Limits) -> int:
    """For how many commands one counts. What stops a run, keeps a connection or refreshes its token is free.

    Except a stop that may precede its run: it leaves a row that every worker of the user reads.
    """
    if isinstance(command, messages.StopAgent):
        return int(command.run_id is UNSET)
    if isinstance(command, _FREE):
        return 0
    if isinstance(command, _REPLAYING):
        return limits.replay_cost
    if isinstance(command, messages.Hello):
        return max(1, limits.replay_cost * math.ceil(len(command.resume) / limits.max_resume_threads))
    if isinstance(command, messages.GetThreadHistory):
        return math.ceil(command.limit / _MESSAGES_OF_A_COMMAND)
    return 1
