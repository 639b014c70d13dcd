"""Notifying the user's connections of a change that no stream of events carries: a thread, its title, a context.

Best effort: a connection that is missed finds the change in its next list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentsocket.protocol import frames
from agentsocket.protocol.messages import Payload

if TYPE_CHECKING:
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.commands.request import CommandContext
    from agentsocket.storage.user import UserStorage

_AT_MOST_S = 5  # the sender of the command waits for it


def others(payload: Payload, request: CommandContext) -> None:
    """Notify the user's connections other than the one that sent the command. Raises Unavailable."""
    connections(payload, store=request.store, management_api=request.management_api, but=request.connection_id)


def connections(payload: Payload, *, store: UserStorage, management_api: ManagementApi, but: str = "") -> None:
    """Notify the user's live connections except `but`, as far as they take it within 5 s. Raises Unavailable."""
    frame = frames.frame(payload, frame_id=store.new_id(), now=store.now()).encode()
    until = store.now() + _AT_MOST_S
    for connection in store.connections.notifiable():
        if connection.connection_id != but and store.now() < until:
            management_api.post(connection.connection_id, frame)
