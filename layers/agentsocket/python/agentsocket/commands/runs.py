"""The command about runs: stopping one. What starts one is a message: `relay.start_run` and `accept`."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket.commands.request import CommandContext
from agentsocket.errors import BadRequest
from agentsocket.protocol import messages
from agentsocket.protocol.frames import Reply


def stop_agent(command: messages.StopAgent, request: CommandContext) -> Iterator[Reply]:
    """Stop a run of the user's: running, queued, or not even accepted yet.

    Raises BadRequest, NotFound, NotStoppable, or Disconnect.
    """
    if (command.run_id is UNSET) == (command.message_id is UNSET):
        raise BadRequest("give exactly one of run_id and message_id", field="run_id")
    known = command.run_id is not UNSET
    run_id = command.run_id if command.run_id is not UNSET else request.store.runs.id_of(str(command.message_id))
    request.store.runs.stop(run_id, connection_id=request.connection_id, known=known)
    yield Reply(messages.StopAccepted(run_id=run_id))
