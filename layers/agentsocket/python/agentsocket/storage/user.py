"""One user's rows: what opens for a `Principal`, and only for it.

    Storage.for_user(principal) -> UserStorage: connections, revocations, quotas, threads, uploads, runs, ...

After that no call can name another user. Each part has a module of its own, which is
loaded when the part is first used: a socket that opens or closes needs three of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from agentsocket import ids
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.connections import Connections
from agentsocket.storage.quotas import Quotas
from agentsocket.storage.revocations import Revocations
from agentsocket.storage.rows import Thread
from agentsocket.storage.table import Table, Tables

if TYPE_CHECKING:
    from agentsocket.storage.multipart import Uploads
    from agentsocket.storage.runs import Runs
    from agentsocket.storage.thread_deletion import ThreadDeletion
    from agentsocket.storage.thread_log import ThreadLog
    from agentsocket.storage.threads import Threads
    from agentsocket.storage.user_erasure import UserErasure


class Storage:
    """The table before anyone is known. `generation` is the deployment's part of every epoch."""

    def __init__(self, table: Tables, *, limits: Limits, generation: str = "") -> None:
        self._table = table
        self.limits = limits
        self._generation = generation

    def for_user(self, principal: Principal) -> UserStorage:
        """Open one user's rows. No method past this point takes a user, a key or a filter."""
        table = self._table.for_user(principal.user)
        return UserStorage(table, principal, limits=self.limits, generation=self._generation)

    def reachable(self) -> None:
        """Raises Unavailable when the table does not answer: one read of nothing."""
        self._table.for_user(keys.NOBODY).look(keys.NOTHING)


class UserStorage:
    """One user's rows, as a principal of theirs may use them."""

    def __init__(self, table: Table, principal: Principal, *, limits: Limits, generation: str) -> None:
        self._table = table
        self._principal = principal
        self._user_id = principal.user
        self._limits = limits
        self._generation = generation

    @cached_property
    def connections(self) -> Connections:
        """The user's sockets."""
        return Connections(self._table, self._principal, revocations=self.revocations, limits=self._limits)

    @cached_property
    def revocations(self) -> Revocations:
        """Which of the user's tokens are dead."""
        return Revocations(self._table, self._principal, limits=self._limits)

    @cached_property
    def quotas(self) -> Quotas:
        """What the user may ask for."""
        return Quotas(self._table, self._user_id, limits=self._limits)

    @cached_property
    def threads(self) -> Threads:
        """The user's threads and the list of them."""
        from agentsocket.storage.threads import Threads

        return Threads(self._table, self._user_id, limits=self._limits, generation=self._generation)

    @cached_property
    def uploads(self) -> Uploads:
        """The messages that arrive in parts."""
        from agentsocket.storage.multipart import Uploads

        return Uploads(self._table, self._user_id, self.connections, limits=self._limits)

    @cached_property
    def runs(self) -> Runs:
        """The runs of the user's messages."""
        from agentsocket.storage.runs import Runs

        return Runs(self._table, self._user_id, connections=self.connections, threads=self.threads, limits=self._limits)

    @cached_property
    def erasure(self) -> UserErasure:
        """All rows of the user, for the command that erases one: no function imports it."""
        from agentsocket.storage.user_erasure import UserErasure

        return UserErasure(self._table, self._user_id, limits=self._limits)

    def log(self, thread_id: str) -> ThreadLog:
        """The log and transcript of one of the user's threads."""
        from agentsocket.storage.thread_log import ThreadLog

        return ThreadLog(self._table, self._user_id, thread_id, limits=self._limits)

    def thread_deletion(self, thread_id: str, *, by: str = "") -> ThreadDeletion:
        """The deletion of one of the user's threads by the command `by`."""
        from agentsocket.storage.thread_deletion import ThreadDeletion

        return ThreadDeletion(self._table, self._user_id, thread_id, by=by, limits=self._limits)

    def enter(self, connection_id: str, thread_id: str) -> Thread:
        """One of the user's threads, for a connection that may read it: one read. Raises NotFound, or Disconnect."""
        wanted = self.connections.admission(connection_id)
        *admission, row = self._table.get_many(*wanted, keys.thread(self._user_id, thread_id))
        self.connections.admit(admission)
        return self.threads.of(row)

    def reachable(self) -> None:
        """Raises Unavailable when the table does not answer: one read."""
        self._table.look(keys.quota(self._user_id))

    def now(self) -> float:
        """The clock that expiry is judged by, in seconds."""
        return self._table.now()

    def new_id(self) -> str:
        """A ULID of this moment."""
        return ids.new(self._table.now())
