"""A user's sockets in DynamoDB, and which tokens are dead (delivery.md, Connections and Control).

Every update of a connection's row demands that the row exists, so that a late command cannot resurrect what
`$disconnect` removed. Whoever admits a token writes the connection's row first and reads the revocations then; whoever
revokes writes the revocation first and reads the connections then: one of the two sees the other.
"""

from __future__ import annotations

import os
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from agentsocket.errors import BadRequest, ConditionFailed, Disconnect, TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.rows import Connection, Revocations, UserActivity
from agentsocket.storage.table import ABSENT, PRESENT, Item, Path, Table, delete, put, update

_DEGRADED = "degraded"


class Connections:
    """One user's sockets, as seen by a principal of theirs."""

    def __init__(self, table: Table, principal: Principal, *, limits: Limits) -> None:
        self._table = table
        self._principal = principal
        self._user = principal.user
        self._limits = limits

    def open(self, connection_id: str) -> Connection:
        """Remember a socket that is being opened. It gets no pushes before `go_live`.

        Raises TokenRejected when the principal's ticket was used before, or its token was revoked.
        """
        who, now = self._principal, int(self._table.now())
        if who.ticket:
            self._spend(who.ticket, connection_id)
        degraded = who.auth_mode == _DEGRADED
        row = {
            **keys.connection(self._user, connection_id),
            "connection_id": connection_id,
            "state": "open",
            "token_exp": min(who.expires_at, now + self._limits.degraded_s) if degraded else who.expires_at,
            "token_iat": who.issued_at,
            "session": who.session,
            "opened_at": now,
            "checks": 0,
            "subscriptions": {},
            "expires_at": now + self._limits.connection_row_s,
        }
        self._table.write(put(row))
        if self._revocations(who.session).cover(who.session, who.issued_at):
            self.forget(connection_id)
            raise TokenRejected("revoked")
        return Connection.of(row)

    def go_live(self, connection_id: str, *, device: str) -> tuple[Connection, list[Connection]]:
        """From now on the socket gets pushes. Also returns which others have to go, beyond what a user may have.

        Raises Disconnect when it has no row, or its token is dead.
        """
        row = self._write(connection_id, {"state": "live", "device": device})
        self._require_fresh(row)
        live = self.live()
        _require_not_revoked(row, live.revocations)
        return Connection.of(row), live.surplus(connection_id, at_most=self._limits.max_connections)

    def forget(self, connection_id: str) -> None:
        """The socket is gone. Forgetting twice is no error."""
        self._table.write(delete(keys.connection(self._user, connection_id)))

    def refresh(self, connection_id: str, *, token_exp: int, token_iat: int, session: str) -> None:
        """The socket's token is a newer one from now on.

        Raises BadRequest when it ends no later than the one before, or is none of since then where that is asked for;
        and Disconnect as `go_live` does.
        """
        sets = {"token_exp": token_exp, "token_iat": token_iat, "session": session}
        in_time = Attr("token_exp").gte(int(self._table.now()) - self._limits.token_grace_s)
        allowed: ConditionBase = PRESENT & in_time & Attr("token_exp").lt(token_exp)
        if self._principal.auth_mode == _DEGRADED:
            allowed &= Attr("opened_at").lte(token_iat)  # one of before may be revoked: nobody could be asked
        try:
            row = self._table.write(
                update(keys.connection(self._user, connection_id), sets=sets, when=allowed),
                returning="ALL_NEW",
            )
        except ConditionFailed as failed:
            self.require_valid(failed.row)
            if failed.row is not None and sets.items() <= failed.row.items():
                return  # an answer was lost, and the SDK or the client tried again
            raise BadRequest("the new token must be issued since, and end later", field="payload.token") from None
        self.require_valid(row)

    def subscribe(self, connection_id: str, thread_id: str, *, cursor: int, only: bool = False) -> str:
        """Follow a thread, having seen it up to `cursor`, or this one `only`; returns the subscription's generation."""
        generation = keys.ulid(self._table.now(), os.urandom(10))
        entry = {"cursor": cursor, "generation": generation}
        sets = {"subscriptions": {thread_id: entry}} if only else {("subscriptions", thread_id): entry}
        connection = self._update(connection_id, sets)
        if len(connection.subscriptions) > self._limits.max_subscriptions:
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
        self._update(connection_id, {}, removes=[("subscriptions", thread_id)])

    def live(self) -> UserActivity:
        """What goes on for the user just now: every row of it, read consistently."""
        return UserActivity.of(self._table.query_all(keys.user(self._user), Key("SK").begins_with(keys.LIVE)))

    def listening(self) -> list[Connection]:
        """Who may be told something just now."""
        live = self.live()
        entitled = (each for each in live.connections if each.live and not live.revoked(each))
        return [each for each in entitled if not self._expired(each.token_exp)]

    def count_check(self, connection_id: str, number: int) -> None:
        """The look at a socket before `number` has been taken, and `number` arranged. A row that is gone stays gone."""
        try:
            self._table.write(update(keys.connection(self._user, connection_id), sets={"checks": number}, when=PRESENT))
        except ConditionFailed:
            return

    # Dead tokens.

    def revoke(self, *, session: str, not_before: int) -> None:
        """Tokens issued up to `not_before` (seconds) are dead: those of a session, or with none named, all."""
        lifetime = self._limits.max_token_lifetime_s + self._limits.revocation_slack_s
        row = {
            **keys.revoked(self._user, session),
            "not_before": not_before,
            "expires_at": int(self._table.now()) + lifetime,
        }
        try:
            self._table.write(put(row, when=ABSENT | Attr("not_before").lte(not_before)))
        except ConditionFailed:
            return  # a later revocation stands there, which covers this one

    def require_token(self) -> None:
        """Raises TokenRejected when the principal's own token was revoked. For requests without a connection."""
        who = self._principal
        if self._revocations(who.session).cover(who.session, who.issued_at):
            raise TokenRejected("revoked")

    def require_authorized(self, connection_id: str) -> None:
        """Raises Disconnect when the socket's token has expired and was not refreshed.

        Reads nothing as long as the token that the socket was opened with is good.
        """
        who = self._principal
        if who.auth_mode != _DEGRADED and not self._expired(who.expires_at):
            return
        row = self._table.get(keys.connection(self._user, connection_id))
        if row is None:
            raise Disconnect("no_connection")
        self._require_fresh(row)

    def admission(self, connection_id: str) -> list[keys.Key]:
        """The rows that `admit` needs, for a caller who reads others with them."""
        session = self._principal.session
        return [keys.connection(self._user, connection_id), *self._revocation_keys(session)]

    def admit(self, rows: list[Item | None]) -> Connection:
        """The connection among the rows of `admission`. Raises Disconnect when it may do nothing (any more)."""
        row, *revoked = rows
        if row is None:
            raise Disconnect("no_connection")
        if row["session"] != self._principal.session:  # refreshed by a token of another session
            self.require_valid(row)
        else:
            self._require_fresh(row)
            _require_not_revoked(row, Revocations.of(revoked))
        return Connection.of(row)

    def require_admitted(self, connection_id: str) -> None:
        """Raises Disconnect when the connection may do nothing (any more): one read."""
        self.admit(self._table.get_many(*self.admission(connection_id)))

    def require_valid(self, row: Item | None) -> None:
        """Raises Disconnect unless there is a row, with a token that has neither expired nor been revoked."""
        if row is None:
            raise Disconnect("no_connection")
        self._require_fresh(row)
        _require_not_revoked(row, self._revocations(row["session"]))

    def _update(self, connection_id: str, sets: dict[Any, Any], removes: list[Path] | None = None) -> Connection:
        row = self._write(connection_id, sets, removes)
        self.require_valid(row)
        return Connection.of(row)

    def _write(self, connection_id: str, sets: dict[Any, Any], removes: list[Path] | None = None) -> Item:
        operation = update(keys.connection(self._user, connection_id), sets=sets, removes=removes or [], when=PRESENT)
        try:
            return self._table.write(operation, returning="ALL_NEW")
        except ConditionFailed:
            raise Disconnect("no_connection") from None

    def _spend(self, ticket: str, connection_id: str) -> None:
        """A ticket opens one connection; the SDK may write the same twice."""
        row = {
            **keys.ticket(self._user, ticket),
            "connection_id": connection_id,
            "expires_at": int(self._table.now()) + self._limits.ticket_row_s,
        }
        try:
            self._table.write(put(row, when=ABSENT))
        except ConditionFailed as failed:
            if failed.row is None or failed.row["connection_id"] != connection_id:
                raise TokenRejected("the ticket was used before") from None

    def _revocations(self, session: str) -> Revocations:
        return Revocations.of(self._table.get_many(*self._revocation_keys(session)))

    def _revocation_keys(self, session: str) -> list[keys.Key]:
        return [keys.revoked(self._user), *([keys.revoked(self._user, session)] if session else [])]

    def _require_fresh(self, row: Item) -> None:
        if self._expired(row["token_exp"]):
            raise Disconnect("token_expired")

    def _expired(self, token_exp: int) -> bool:
        return self._table.now() > token_exp + self._limits.token_grace_s


def _require_not_revoked(row: Item, revocations: Revocations) -> None:
    if revocations.cover(row["session"], row["token_iat"]):
        raise Disconnect("revoked")
