"""A user's sockets in DynamoDB (delivery.md, Connections). Which tokens are dead: `revocations.py`.

Every update of a connection's row demands that the row exists, so that a late command cannot resurrect what
`$disconnect` removed.
"""

from __future__ import annotations

from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase, Key

from agentsocket import ids
from agentsocket.errors import BadRequest, ConditionFailed, Disconnect, TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.storage import keys
from agentsocket.storage.revocations import Revocations
from agentsocket.storage.rows import Connection, RevokedTokens, UserActivity
from agentsocket.storage.table import ABSENT, PRESENT, Item, Path, Table, delete, put, update

_DEGRADED = "degraded"


class Connections:
    """One user's sockets, as seen by a principal of theirs."""

    def __init__(self, table: Table, principal: Principal, *, revocations: Revocations, limits: Limits) -> None:
        self._table = table
        self._principal = principal
        self._user_id = principal.user
        self._revocations = revocations
        self._limits = limits

    def open(self, connection_id: str) -> Connection:
        """Remember a socket that is being opened. It gets no pushes before `go_live`.

        Raises TokenRejected when the principal's ticket was used before, or its token was revoked.
        """
        principal, now = self._principal, int(self._table.now())
        if principal.ticket:
            self._use_ticket(principal.ticket, connection_id)
        degraded = principal.auth_mode == _DEGRADED
        row = {
            **self._key(connection_id),
            "connection_id": connection_id,
            "state": "open",
            "token_exp": min(principal.expires_at, now + self._limits.degraded_s) if degraded else principal.expires_at,
            "token_iat": principal.issued_at,
            "session": principal.session,
            "opened_at": now,
            "checks": 0,
            "subscriptions": {},
            "expires_at": now + self._limits.connection_row_s,
        }
        self._table.write(put(row))
        if self._revocations.of_session(principal.session).covers(principal.session, principal.issued_at):
            self.remove(connection_id)
            raise TokenRejected("the token has been revoked")
        return Connection.of(row)

    def go_live(self, connection_id: str, *, device: str) -> tuple[Connection, list[Connection]]:
        """From now on the socket gets pushes. Also returns which others have to go, beyond what a user may have.

        Raises Disconnect when it has no row, or its token is dead.
        """
        row = self._write(connection_id, {"state": "live", "device": device})
        self._require_fresh(row)
        activity = self.activity()
        _require_not_revoked(row, activity.revocations)
        return Connection.of(row), activity.surplus(connection_id, at_most=self._limits.max_connections)

    def remove(self, connection_id: str) -> None:
        """The socket is gone. Removing it twice is no error."""
        self._table.write(delete(self._key(connection_id)))

    def refresh(self, connection_id: str, *, token_exp: int, token_iat: int, session: str) -> None:
        """The socket's token is a newer one from now on.

        Raises BadRequest when it ends no later than the one before, or when it may have been revoked unseen: issued
        before a connection was admitted that the auth service was not asked about. And Disconnect as `go_live` does.
        """
        sets = {"token_exp": token_exp, "token_iat": token_iat, "session": session}
        in_time = Attr("token_exp").gte(int(self._table.now()) - self._limits.token_grace_s)
        allowed: ConditionBase = PRESENT & in_time & Attr("token_exp").lt(token_exp)
        if self._principal.auth_mode == _DEGRADED:
            allowed &= Attr("opened_at").lte(
                token_iat
            )  # an earlier one may be revoked: the auth service could not be asked
        try:
            row = self._table.write(
                update(self._key(connection_id), sets=sets, when=allowed),
                returning="ALL_NEW",
            )
        except ConditionFailed as failed:
            self.require_valid(failed.row)
            if failed.row is not None and sets.items() <= failed.row.items():
                return  # an answer was lost, and the SDK or the client tried again
            raise BadRequest(
                "the new token must be issued after the connection was admitted and expire later than the current one",
                field="token",
            ) from None
        self.require_valid(row)

    def subscribe(self, connection_id: str, thread_id: str, *, cursor: int, only: bool = False) -> str:
        """Follow a thread, having seen it up to `cursor`, or this one `only`; returns the subscription's generation."""
        generation = ids.new(self._table.now())
        entry = {"cursor": cursor, "generation": generation}
        sets = {"subscriptions": {thread_id: entry}} if only else {("subscriptions", thread_id): entry}
        connection = self._update(connection_id, sets)
        if len(connection.subscriptions) > self._limits.max_subscriptions:
            self.unsubscribe(connection_id, thread_id)
            most = self._limits.max_subscriptions
            raise BadRequest(
                f"the connection already follows {most} threads; the limit is {most}: unsubscribe from one"
            )
        return generation

    def move_cursor(self, connection_id: str, thread_id: str, *, generation: str, cursor: int) -> None:
        """What was sent after `subscribe`. A newer subscription of the same thread keeps its own cursor."""
        path = ("subscriptions", thread_id)
        unchanged = PRESENT & Attr(f"subscriptions.{thread_id}.generation").eq(generation)
        try:
            self._table.write(update(self._key(connection_id), sets={(*path, "cursor"): cursor}, when=unchanged))
        except ConditionFailed:
            return  # unsubscribed, resubscribed or disconnected meanwhile: this cursor is nobody's any more

    def unsubscribe(self, connection_id: str, thread_id: str) -> None:
        """Stop following a thread; not having followed it is no error."""
        self._update(connection_id, {}, removes=[("subscriptions", thread_id)])

    def activity(self) -> UserActivity:
        """What goes on for the user just now: every row of it, read consistently."""
        return UserActivity.of(self._table.query_all(keys.user(self._user_id), Key("SK").begins_with(keys.LIVE)))

    def notifiable(self) -> list[Connection]:
        """The live connections that may be notified: their tokens are good."""
        activity = self.activity()
        entitled = (each for each in activity.connections if each.live and not activity.revoked(each))
        return [each for each in entitled if not self._expired(each.token_exp)]

    def count_check(self, connection_id: str, number: int) -> None:
        """The check before `number` is done, and `number` is queued. A row that is gone stays gone."""
        try:
            self._table.write(update(self._key(connection_id), sets={"checks": number}, when=PRESENT))
        except ConditionFailed:
            return

    def require_authorized(self, connection_id: str) -> None:
        """Raises Disconnect when the socket's token has expired and was not refreshed.

        Reads nothing as long as the token that the socket was opened with is good.
        """
        principal = self._principal
        if principal.auth_mode != _DEGRADED and not self._expired(principal.expires_at):
            return
        row = self._table.get(self._key(connection_id))
        if row is None:
            raise Disconnect("no_connection")
        self._require_fresh(row)

    def admission(self, connection_id: str) -> list[keys.Key]:
        """The rows that `admit` needs, for a caller who reads others with them."""
        session = self._principal.session
        return [self._key(connection_id), *self._revocations.rows_of(session)]

    def admit(self, rows: list[Item | None]) -> Connection:
        """The connection among the rows of `admission`. Raises Disconnect when it may do nothing (any more)."""
        row, *revoked = rows
        if row is None:
            raise Disconnect("no_connection")
        if row["session"] != self._principal.session:  # refreshed by a token of another session
            self.require_valid(row)
        else:
            self._require_fresh(row)
            _require_not_revoked(row, RevokedTokens.of(revoked))
        return Connection.of(row)

    def require_admitted(self, connection_id: str) -> None:
        """Raises Disconnect when the connection may do nothing (any more): one read."""
        self.admit(self._table.get_many(*self.admission(connection_id)))

    def require_valid(self, row: Item | None) -> None:
        """Raises Disconnect unless there is a row, with a token that has neither expired nor been revoked."""
        if row is None:
            raise Disconnect("no_connection")
        self._require_fresh(row)
        _require_not_revoked(row, self._revocations.of_session(row["session"]))

    def _update(self, connection_id: str, sets: dict[Any, Any], removes: list[Path] | None = None) -> Connection:
        row = self._write(connection_id, sets, removes)
        self.require_valid(row)
        return Connection.of(row)

    def _write(self, connection_id: str, sets: dict[Any, Any], removes: list[Path] | None = None) -> Item:
        operation = update(self._key(connection_id), sets=sets, removes=removes or [], when=PRESENT)
        try:
            return self._table.write(operation, returning="ALL_NEW")
        except ConditionFailed:
            raise Disconnect("no_connection") from None

    def _key(self, connection_id: str) -> keys.Key:
        return keys.connection(self._user_id, connection_id)

    def _use_ticket(self, ticket: str, connection_id: str) -> None:
        """A ticket opens one connection; the SDK may write the same twice."""
        row = {
            **keys.ticket(self._user_id, ticket),
            "connection_id": connection_id,
            "expires_at": int(self._table.now()) + self._limits.ticket_row_s,
        }
        try:
            self._table.write(put(row, when=ABSENT))
        except ConditionFailed as failed:
            if failed.row is None or failed.row["connection_id"] != connection_id:
                raise TokenRejected("the ticket has already been used") from None

    def _require_fresh(self, row: Item) -> None:
        if self._expired(row["token_exp"]):
            raise Disconnect("token_expired")

    def _expired(self, token_exp: int) -> bool:
        return self._table.now() > token_exp + self._limits.token_grace_s


def _require_not_revoked(row: Item, revoked: RevokedTokens) -> None:
    if revoked.covers(row["session"], row["token_iat"]):
        raise Disconnect("revoked")
