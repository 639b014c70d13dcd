"""A user's runs: accepted once, started again, stopped (delivery.md, Accept). Their states: `run_states.py`.

What a run writes into its thread is `thread_log.py`'s, how it ends with a deleted thread `thread_deletion.py`'s.
"""

from __future__ import annotations

from boto3.dynamodb.conditions import Attr
from msgspec import Struct

from agentsocket import encoded_text, ids
from agentsocket.errors import (
    ConditionFailed,
    NotFound,
    NotStoppable,
    TransactionCancelled,
    Unavailable,
)
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.connections import Connections
from agentsocket.storage.long_texts import Contents
from agentsocket.storage.multipart import NewMessage, message_id_used
from agentsocket.storage.rows import Connection, Run, Thread
from agentsocket.storage.table import ABSENT, Item, Operation, Table, put
from agentsocket.storage.threads import Threads

_TITLE_CHARACTERS = 80
_OF_ONE_RUN = {"owner", "first_seq", "last_seq", "outcome", "ended_at"}  # what a retry does not take over


class Accepted(Struct, frozen=True):
    """The run of a message; `duplicate` when the message had been accepted before."""

    run: Run
    thread: Thread
    duplicate: bool


class Runs:
    """One user's runs."""

    def __init__(
        self, table: Table, user_id: str, *, connections: Connections, threads: Threads, limits: Limits
    ) -> None:
        self._table = table
        self._user_id = user_id
        self._connections = connections
        self._threads = threads
        self._limits = limits

    def id_of(self, message_id: str) -> str:
        """The run of a message of the user, whether it exists or not."""
        return ids.run_id(self._user_id, message_id)

    def get(self, run_id: str) -> Run | None:
        """A run of the user, or None."""
        item = self._table.get(keys.run(self._user_id, run_id))
        return Run.of(item) if item else None

    def queued(self, run_id: str, thread_id: str) -> tuple[Run | None, bool]:
        """A run of the user, or None, and whether its thread has been deleted: one read."""
        run, thread = self._table.get_many(keys.run(self._user_id, run_id), keys.thread(self._user_id, thread_id))
        return Run.of(run) if run else None, thread is None or "deleted_at" in thread

    def accept(self, message: NewMessage) -> Accepted:
        """Make the run of a message exist, once (delivery.md, Accept).

        One read and one write; for a message accepted before, two reads more. Raises NotFound, IdempotencyConflict,
        Unavailable, or Disconnect for an unknown or expired connection.
        """
        sender, known = self._admit(message)
        new_thread = self._threads.row(ids.new(self._table.now()), title=_title(message.content), metadata={})
        thread = known or self._threads.of(new_thread)
        row = self._row(message, thread.thread_id, sender)
        operations = [put(row, when=ABSENT | Attr("expires_at").lte(int(self._table.now())))]
        if known is None:
            operations.append(put(new_thread, when=ABSENT))
        if row["content"] != message.content:
            operations += self._contents(thread.thread_id).keep(message.message_id, message.content)
            if known is not None:  # a deletion's sweep may be over: nothing would ever remove these rows
                operations.append(self._threads.touched(thread.thread_id))
        if self._written(operations):
            return Accepted(Run.of(row), thread, duplicate=False)
        return self._accepted_before(message, row)

    def duplicate(self, run: Run) -> Accepted:
        """A run that is there already, as the reply to its message. Raises NotFound when its thread was deleted."""
        return Accepted(run, self._threads.get(run.thread_id), duplicate=True)

    def retry(self, run: Run) -> Run:
        """The run that a redriven record of a failed run starts: the same question once more, made once."""
        row = self._table.get(keys.run(self._user_id, run.run_id))
        if row is None:
            raise Unavailable("the failed run has just expired; send the message again")
        retry_id = ids.retry_id(self._user_id, run.run_id)
        retried = {
            **{name: row[name] for name in row.keys() - _OF_ONE_RUN},
            **keys.run(self._user_id, retry_id),
            "retry_of": run.run_id,
            "run_id": retry_id,
            "state": "accepted",
            "attempts": 0,
            "accepted_at": self._now_ms(),
            "expires_at": self._expiry(self._limits.run_row_s),
        }
        try:
            self._table.write(put(retried, when=ABSENT))
        except ConditionFailed as failed:
            return Run.of(failed.row or retried)
        return Run.of(retried)

    def stop(self, run_id: str, *, connection_id: str, known: bool) -> None:
        """Ask for a run's end; a stop may precede the run whose id it names, unless that must be `known`.

        One read and one write. Raises NotFound, NotStoppable, or Disconnect for a connection that may do nothing.
        """
        wanted = self._connections.admission(connection_id)
        *admission, item = self._table.get_many(*wanted, keys.run(self._user_id, run_id))
        self._connections.admit(admission)
        if item is None and known:
            raise NotFound("no such run", field="run_id")
        if item is not None and Run.of(item).terminal:
            raise NotStoppable(f"the run has already ended ({item['state']}): there is nothing to stop")
        lifetime = self._limits.early_stop_row_s if item is None else self._limits.stop_row_s
        self._table.write(put({**keys.stop(self._user_id, run_id), "expires_at": self._expiry(lifetime)}))

    def _admit(self, message: NewMessage) -> tuple[Connection, Thread | None]:
        """The sender's connection, which may still speak, and the thread, in one read."""
        wanted = self._connections.admission(message.connection_id)
        of_thread = [] if message.thread_id is None else [keys.thread(self._user_id, message.thread_id)]
        rows = self._table.get_many(*wanted, *of_thread)
        sender = self._connections.admit(rows[: len(wanted)])
        return sender, None if message.thread_id is None else self._threads.of(rows[-1])

    def _written(self, operations: list[Operation]) -> bool:
        try:
            if len(operations) == 1:
                self._table.write(operations[0])
            else:
                self._table.transact(*operations)
        except (ConditionFailed, TransactionCancelled):
            return False
        return True

    def _accepted_before(self, message: NewMessage, refused: Item) -> Accepted:
        """What an earlier request made of this message; `refused` is the row that found it in its way."""
        existing = self._table.get(keys.run(self._user_id, refused["run_id"]))
        if existing is None:
            raise Unavailable("a concurrent request used the same message_id; retry")
        run = Run.of(existing)
        accepted = Accepted(
            run, self._threads.get(run.thread_id), duplicate=existing["accept_id"] != refused["accept_id"]
        )
        if run.digest != message.digest or message.thread_id not in (None, run.thread_id):
            raise message_id_used()
        return accepted

    def _row(self, message: NewMessage, thread_id: str, sender: Connection) -> Item:
        long = self._contents(thread_id).is_long(message.content)
        run_id = self.id_of(message.message_id)
        return {
            **keys.run(self._user_id, run_id),
            "run_id": run_id,
            "accept_id": ids.new(self._table.now()),
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

    def _contents(self, thread_id: str) -> Contents:
        return Contents(self._table, keys.log(self._user_id, thread_id), limits=self._limits)

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)

    def _expiry(self, lifetime_s: int) -> int:
        return int(self._table.now()) + lifetime_s


def _title(content: str) -> str:
    """What a thread is called that begins with this message."""
    return content.strip().partition("\n")[0][:_TITLE_CHARACTERS]
