"""What a command gets: who sends it, over which connection, and the adapters that replies are made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from agentsocket.auth.handshake import Verify
from agentsocket.limits import Limits
from agentsocket.principal import Principal

if TYPE_CHECKING:  # adapters are types here: loading them would load the SDK
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.storage.user import UserStorage


class CommandContext(Struct, frozen=True, kw_only=True):
    """One command's sender and adapters.

    `connection_id` is empty over HTTP, where the token has been checked with the request (`http_api/api.py`).
    `command_id` is the client's own id of the command, or one made for it.
    """

    principal: Principal
    connection_id: str
    command_id: str
    store: UserStorage
    contexts: ContextStore
    run_queue: RunQueue
    management_api: ManagementApi
    verify: Verify
    limits: Limits

    def admit(self) -> None:
        """Raises Disconnect when the connection may do nothing (any more): one read."""
        if self.connection_id:
            self.store.connections.require_admitted(self.connection_id)

    def enter(self, thread_id: str) -> None:
        """As `admit`, for one of the user's threads. Raises NotFound, too: one read."""
        if self.connection_id:
            self.store.enter(self.connection_id, thread_id)
        else:
            self.store.threads.get(thread_id)
