"""A user's rows in DynamoDB: connections, threads, runs (delivery.md, Rows and Accept). A thread's log: `threadlog.py`.

Storage opens for a `Principal`; after that no call can name another user. Every update of a connection's row demands
that the row exists, so that a late command cannot resurrect what `$disconnect` removed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from boto3.dynamodb.conditions import Attr, Key

from agentsocket import keys, texts
from agentsocket.errors import (
    BadRequest,
    ConditionFailed,
    Disconnect,
    IdempotencyConflict,
    NotFound,
    TransactionCancelled,
    Unavailable,
)
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.rows import Connection, Run, Thread
from agentsocket.table import ABSENT, PRESENT, Item, Operation, Table, delete, put, update
from agentsocket.threadlog import ThreadLog

_TITLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to accept. `thread_id` is None for a new thread; `context` is JSON text."""

    message_id: str
    content: str
    thread_id: str | None
    connection_id: str
    agent: str
    context: str

    @property
    def digest(self) -> str:
        """What makes two messages the same one."""
        return texts.sha256("\x00".join((self.content, self.agent, self.context)))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The run of a message; `duplicate` when the message had been accepted before."""

    run: Run
    thread: Thread
    duplicate: bool


class Storage:
    """The table before anyone is known. `generation` is the deployment's part of every epoch."""

    def __init__(self, table: Table, *, limits: Limits, generation: str = "") -> None:
        self._table = table
        self._limits = limits
        self._generation = generation

    def for_user(self, principal: Principal) -> UserStorage:
        """Open one user's rows. No method past this point takes a user, a key or a filter."""
        return UserStorage(self._table, principal.user, limits=self._limits, generation=self._generation)


class UserStorage:
    """One user's rows."""

    def __init__(self, table: Table, user: str, *, limits: Limits, generation: str) -> None:
        self._table = table
        self._user = user
        self._limits = limits
        self._generation = generation

    # Connections.

    def open_connection(self, connection_id: str, *, token_exp: int, token_iat: int) -> None:
        """Remember a socket that is being opened. It gets no pushes before `go_live`."""
        row = {
            **keys.connection(self._user, connection_id),
            "connection_id": connection_id,
            "state": "open",
            "token_exp": token_exp,
            "token_iat": token_iat,
            "subscriptions": {},
            "expires_at": self._expiry(self._limits.connection_row_s),
        }
        self._table.write(put(row))

    def go_live(self, connection_id: str, *, device: str) -> Connection:
        """From now on the socket gets pushes. Raises Disconnect when it has no row, or its token has expired."""
        return Connection.of(self._update_connection(connection_id, {"state": "live", "device": device}))

    def forget_connection(self, connection_id: str) -> None:
        """The socket is gone. Forgetting twice is no error."""
        self._table.write(delete(keys.connection(self._user, connection_id)))

    def subscribe(self, connection_id: str, thread_id: str, *, cursor: int) -> str:
        """Follow a thread, having seen it up to `cursor`; the answer is the subscription's generation."""
        generation = self.new_id()
        entry = {"cursor": cursor, "generation": generation}
        connection = self._update_connection(connection_id, {("subscriptions", thread_id): entry})
        if len(Connection.of(connection).subscriptions) > self._limits.max_subscriptions:
            self.unsubscribe(connection_id, thread_id)
            raise BadRequest(f"a connection follows {self._limits.max_subscriptions} threads at most: unsubscribe one")
        return generation

    def move_cursor(self, connection_id: str, thread_id: str, *, generation: str, cursor: int) -> None:
        """What was sent after `subscribe`. A newer subscription of the same thread keeps its own cursor."""
        path = ("subscriptions", thread_id)
        unchanged = PRESENT & Attr(f"subscriptions.{thread_id}.generation").eq(generation)
        try:
            self._table.write(
                update(keys.connection(self._user, connection_id), sets={(*path, "cursor"): cursor}, when=unchanged)
            )
        except ConditionFailed:
            return  # unsubscribed, resubscribed or disconnected meanwhile: this cursor is nobody's any more

    def unsubscribe(self, connection_id: str, thread_id: str) -> None:
        """Stop following a thread; not having followed it is no error."""
        self._update_connection(connection_id, {}, removes=[("subscriptions", thread_id)])

    def connections(self) -> list[Connection]:
        """The user's sockets, live or about to be."""
        page = self._table.query(keys.user(self._user), Key("SK").begins_with(keys.CONNECTION))
        return [Connection.of(item) for item in page.items]

    def _update_connection(self, connection_id: str, sets: dict[Any, Any], removes: list[Any] | None = None) -> Item:
        operation = update(keys.connection(self._user, connection_id), sets=sets, removes=removes or [], when=PRESENT)
        try:
            row = self._table.write(operation, returning="ALL_NEW")
        except ConditionFailed:
            raise _no_connection() from None
        self._require_fresh_token(row)
        return row

    def _require_fresh_token(self, connection: Item) -> None:
        if self._table.now() > connection["token_exp"] + self._limits.token_grace_s:
            raise Disconnect("token_expired", "the token has expired: refresh it and reconnect", reconnect=True)

    # Threads.

    def thread(self, thread_id: str) -> Thread:
        """Raises NotFound when there is none, it was deleted, or it is another user's."""
        return self._thread(thread_id, self._table.get(keys.thread(self._user, thread_id)))

    def renew_epoch(self, thread_id: str) -> Thread:
        """Begin a new epoch: the numbering before it is not to be trusted. Raises NotFound."""
        operation = update(keys.thread(self._user, thread_id), sets={"epoch": self.new_id()}, when=PRESENT)
        try:
            return self._thread(thread_id, self._table.write(operation, returning="ALL_NEW"))
        except ConditionFailed:
            raise _no_thread() from None

    def log(self, thread_id: str) -> ThreadLog:
        """The log and transcript of one of the user's threads."""
        return ThreadLog(self._table, self._user, thread_id, limits=self._limits)

    def _thread(self, thread_id: str, item: Item | None) -> Thread:
        if item is None or "deleted_at" in item:
            raise _no_thread()
        return Thread(thread_id, self._epoch(item))

    def _epoch(self, item: Item) -> str:
        return f"{self._generation}.{item['epoch']}"

    # Runs.

    def run(self, run_id: str) -> Run | None:
        """A run of the user, or None."""
        item = self._table.get(keys.run(self._user, run_id))
        return Run.of(item) if item else None

    def accept(self, message: NewMessage) -> Accepted:
        """Make the run of a message exist, once (delivery.md, Accept).

        One read and one write; for a message accepted before, two reads more. Raises NotFound, IdempotencyConflict,
        Unavailable, or Disconnect for an unknown or expired connection.
        """
        known = self._admit(message)
        fresh = self._thread_row(message)
        thread = known or Thread(fresh["thread_id"], self._epoch(fresh))
        row = self._run_row(message, thread.thread_id)
        operations = [put(row, when=ABSENT | Attr("expires_at").lte(int(self._table.now())))]
        if known is None:
            operations.append(put(fresh, when=ABSENT))
        if row["content"] != message.content:
            operations += self.log(thread.thread_id).content_operations(message.message_id, message.content)
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
        if run.digest != message.digest or message.thread_id not in (None, run.thread_id):
            raise IdempotencyConflict("this message_id was used for another message", field="payload.message_id")
        return Accepted(run, self.thread(run.thread_id), duplicate=existing["accept_id"] != mine["accept_id"])

    def _admit(self, message: NewMessage) -> Thread | None:
        """The sender's connection and the thread, in one read."""
        wanted = [keys.connection(self._user, message.connection_id)]
        if message.thread_id is not None:
            wanted.append(keys.thread(self._user, message.thread_id))
        connection, *threads = self._table.get_many(*wanted)
        if connection is None:
            raise _no_connection()
        self._require_fresh_token(connection)
        return self._thread(message.thread_id, threads[0]) if message.thread_id is not None else None

    def _run_row(self, message: NewMessage, thread_id: str) -> Item:
        inline = texts.encoded_bytes(message.content) <= self._limits.inline_content_bytes
        run_id = keys.run_id(self._user, message.message_id)
        return {
            **keys.run(self._user, run_id),
            "run_id": run_id,
            "accept_id": self.new_id(),
            "state": "accepted",
            "thread_id": thread_id,
            "message_id": message.message_id,
            "digest": message.digest,
            "content": message.content if inline else texts.preview(message.content, self._limits.preview_bytes),
            "content_bytes": len(message.content.encode()),
            "sha256": texts.sha256(message.content),
            "connection_id": message.connection_id,
            "agent": message.agent,
            "context": message.context,
            "attempts": 0,
            "accepted_at": self._now_ms(),
            "expires_at": self._expiry(self._limits.run_row_s),
        }

    def _thread_row(self, message: NewMessage) -> Item:
        thread_id = self.new_id()
        return {
            **keys.thread(self._user, thread_id),
            "thread_id": thread_id,
            "epoch": self.new_id(),
            "title": message.content.strip().partition("\n")[0][:_TITLE_CHARACTERS],
            "metadata": {},
            "created_at": self._now_ms(),
            "activity": self._now_ms(),
        }

    def new_id(self) -> str:
        """A ULID of this moment."""
        return keys.ulid(self._table.now(), os.urandom(10))

    def _now_ms(self) -> int:
        return int(self._table.now() * 1000)

    def _expiry(self, lifetime_s: int) -> int:
        return int(self._table.now()) + lifetime_s


def _no_connection() -> Disconnect:
    return Disconnect("no_connection", "this connection is not known any more: reconnect", reconnect=True)


def _no_thread() -> NotFound:
    return NotFound("no such thread", field="payload.thread_id")
