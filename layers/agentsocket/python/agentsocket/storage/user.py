"""A user's rows: runs, and what holds the others (data-model.md, Rows; delivery.md, Accept). Threads: `threads.py`.
Sockets: `connections.py`. A thread's log: `thread_log.py`.

Storage opens for a `Principal`; after that no call can name another user.
"""

from __future__ import annotations

import os

from boto3.dynamodb.conditions import Attr
from msgspec import Struct

from agentsocket import encoded_text
from agentsocket.errors import (
    ConditionFailed,
    IdempotencyConflict,
    NotFound,
    NotStoppable,
    TransactionCancelled,
    Unavailable,
)
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.connections import Connections
from agentsocket.storage.multipart import NewMessage, Uploads
from agentsocket.storage.quotas import Quotas
from agentsocket.storage.rows import Connection, Run, Thread
from agentsocket.storage.table import ABSENT, Item, Operation, Table, Tables, put
from agentsocket.storage.thread_deletion import Erasure
from agentsocket.storage.thread_log import ThreadLog
from agentsocket.storage.threads import Threads
from agentsocket.storage.user_erasure import Leaving

_TITLE_CHARACTERS = 80
_OF_ONE_RUN = {"owner", "first_seq", "last_seq", "outcome", "ended_at"}  # what a retry does not take over


class Accepted(Struct, frozen=True):
    """The run of a message; `duplicate` when the message had been accepted before."""

    run: Run
    thread: Thread
    duplicate: bool


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
    """One user's rows; beside them their sockets, what they may ask for, and the messages that arrive in parts."""

    def __init__(self, table: Table, principal: Principal, *, limits: Limits, generation: str) -> None:
        self.connections = Connections(table, principal, limits=limits)
        self.quotas = Quotas(table, principal.user, limits=limits)
        self.threads = Threads(table, principal.user, limits=limits, generation=generation)
        self.leaving = Leaving(table, principal.user, limits=limits)
        self.uploads = Uploads(table, principal.user, self.connections, limits=limits)
        self._table = table
        self._user = principal.user
        self._limits = limits

    def reachable(self) -> None:
        """Raises Unavailable when the table does not answer: one read."""
        self._table.look(keys.quota(self._user))

    def enter(self, connection_id: str, thread_id: str) -> Thread:
        """One of the user's threads, for a connection that may read it: one read. Raises NotFound, or Disconnect."""
        wanted = self.connections.admission(connection_id)
        *admission, row = self._table.get_many(*wanted, keys.thread(self._user, thread_id))
        self.connections.admit(admission)
        return self.threads.of(row)

    def erasure(self, thread_id: str, *, by: str = "") -> Erasure:
        """The deletion of one of the user's threads by the command `by`."""
        return Erasure(self._table, self._user, thread_id, by=by, limits=self._limits)

    def log(self, thread_id: str) -> ThreadLog:
        """The log and transcript of one of the user's threads."""
        return ThreadLog(self._table, self._user, thread_id, limits=self._limits)

    # Runs.

    def run_id(self, message_id: str) -> str:
        """The run of a message of the user, whether it exists or not."""
        return keys.run_id(self._user, message_id)

    def run(self, run_id: str) -> Run | None:
        """A run of the user, or None."""
        item = self._table.get(keys.run(self._user, run_id))
        return Run.of(item) if item else None

    def queued(self, run_id: str, thread_id: str) -> tuple[Run | None, bool]:
        """A run of the user, or None, and whether its thread has been deleted: one read."""
        run, thread = self._table.get_many(keys.run(self._user, run_id), keys.thread(self._user, thread_id))
        return Run.of(run) if run else None, thread is None or "deleted_at" in thread

    def retry(self, run: Run) -> Run:
        """The run that a redriven record of a failed run starts: the same question once more, made once."""
        row = self._table.get(keys.run(self._user, run.run_id))
        if row is None:
            raise Unavailable("the run has just expired")
        kept = {name: row[name] for name in row.keys() - _OF_ONE_RUN}
        again = keys.run(self._user, keys.retry_id(self._user, run.run_id))
        fresh = {
            **kept,
            **again,
            "retry_of": run.run_id,
            "run_id": keys.retry_id(self._user, run.run_id),
            "state": "accepted",
            "attempts": 0,
            "accepted_at": self._now_ms(),
            "expires_at": self._expiry(self._limits.run_row_s),
        }
        try:
            self._table.write(put(fresh, when=ABSENT))
        except ConditionFailed as there:
            return Run.of(there.row or fresh)
        return Run.of(fresh)

    def stop(self, run_id: str, *, connection_id: str, known: bool) -> None:
        """Ask for a run's end; a stop may precede the run whose id it names, unless that must be `known`.

        One read and one write. Raises NotFound, NotStoppable, or Disconnect for a connection that may do nothing.
        """
        wanted = self.connections.admission(connection_id)
        *admission, item = self._table.get_many(*wanted, keys.run(self._user, run_id))
        self.connections.admit(admission)
        if item is None and known:
            raise NotFound("no such run", field="payload.run_id")
        if item is not None and Run.of(item).terminal:
            raise NotStoppable("the run has ended")
        lifetime = self._limits.early_stop_row_s if item is None else self._limits.stop_row_s
        self._table.write(put({**keys.stop(self._user, run_id), "expires_at": self._expiry(lifetime)}))

    def accept(self, message: NewMessage) -> Accepted:
        """Make the run of a message exist, once (delivery.md, Accept).

        One read and one write; for a message accepted before, two reads more. Raises NotFound, IdempotencyConflict,
        Unavailable, or Disconnect for an unknown or expired connection.
        """
        sender, known = self._admit(message)
        fresh = self.threads.row(self.new_id(), title=_title(message.content), metadata={})
        thread = known or self.threads.of(fresh)
        row = self._run_row(message, thread.thread_id, sender)
        operations = [put(row, when=ABSENT | Attr("expires_at").lte(int(self._table.now())))]
        if known is None:
            operations.append(put(fresh, when=ABSENT))
        if row["content"] != message.content:
            operations += self.log(thread.thread_id).contents.keep(message.message_id, message.content)
            if known is not None:  # a deletion's sweep may be over: nothing would ever remove these rows
                operations.append(self.threads.touched(thread.thread_id))
        if self._wrote(operations):
            return Accepted(Run.of(row), thread, duplicate=False)
        return self._accepted_before(message, row)

    def _wrote(self, operations: list[Operation]) -> bool:
        try:
            if len(operations) == 1:
                self._table.write(operations[0])
            else:
                self._table.transact(*operations)
        except (ConditionFailed, TransactionCancelled):
            return False
        return True

    def _accepted_before(self, message: NewMessage, mine: Item) -> Accepted:
        existing = self._table.get(keys.run(self._user, mine["run_id"]))
        if existing is None:
            raise Unavailable("the message met another one: send it again")
        run = Run.of(existing)
        accepted = self.again(run, duplicate=existing["accept_id"] != mine["accept_id"])
        if run.digest != message.digest or message.thread_id not in (None, run.thread_id):
            raise IdempotencyConflict("this message_id was used for another message", field="payload.message_id")
        return accepted

    def again(self, run: Run, *, duplicate: bool = True) -> Accepted:
        """A run that is there already, as the answer to its message. Raises NotFound when its thread was deleted."""
        return Accepted(run, self.threads.get(run.thread_id), duplicate=duplicate)

    def _admit(self, message: NewMessage) -> tuple[Connection, Thread | None]:
        """The sender's connection, which may still speak, and the thread, in one read."""
        wanted = self.connections.admission(message.connection_id)
        of_thread = [] if message.thread_id is None else [keys.thread(self._user, message.thread_id)]
        rows = self._table.get_many(*wanted, *of_thread)
        sender = self.connections.admit(rows[: len(wanted)])
        return sender, None if message.thread_id is None else self.threads.of(rows[-1])

    def _run_row(self, message: NewMessage, thread_id: str, sender: Connection) -> Item:
        long = self.log(thread_id).contents.is_long(message.content)
        run_id = self.run_id(message.message_id)
        return {
            **keys.run(self._user, run_id),
            "run_id": run_id,
            "accept_id": self.new_id(),
            "state": "accepted",
            "thread_id": thread_id,
            "message_id": message.message_id,
            "digest": message.digest,
            "content": encoded_text.preview(message.content, self._limits.preview_bytes) if long else message.content,
            "content_bytes": len(message.content.encode()),
            "sha256": encoded_text.sha256(message.content),
            "connection_id": message.connection_id,
            "session": sender.session,
            "token_iat": sender.token_iat,
            "agent": message.agent,
            "context": message.context,
            "attempts": 0,
            "accepted_at": self._now_ms(),
            "expires_at": self._expiry(self._limits.run_row_s),
            **({"part_digests": list(message.part_digests)} if message.part_digests else {}),
        }

    def now(self) -> float:
        """The clock that expiry is judged by, in seconds."""
        return self._table.now()

    def new_id(self) -> str:
        """A ULID of this moment."""
        return keys.ulid(self._table.now(), os.urandom(10))

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)

    def _expiry(self, lifetime_s: int) -> int:
        return int(self._table.now()) + lifetime_s


def _title(content: str) -> str:
    """What a thread is called that begins with this message."""
    return content.strip().partition("\n")[0][:_TITLE_CHARACTERS]
