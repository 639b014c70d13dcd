"""Quiet sockets: their time runs out, or their user's tokens are revoked (delivery.md, Control and Revoke).

A check looks at one socket, does what is due, and arranges the next look. A queue may deliver the same check twice: the
row counts the looks, and a check that is behind the row is dropped, so that two chains of checks become one again.
"""

from __future__ import annotations

from agentsocket import ids, principal
from agentsocket.aws.control_queue import ControlQueue
from agentsocket.aws.management_api import ManagementApi, disconnect
from agentsocket.control import deadlines
from agentsocket.errors import Disconnect, Unavailable
from agentsocket.inputs import Check, Revocation
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.storage.rows import Connection
from agentsocket.storage.table import Clock
from agentsocket.storage.user import Storage, UserStorage


class ConnectionChecks:
    """Carries out what the control queue brings. Safe to repeat; raises Unavailable when an order must come again."""

    def __init__(
        self,
        *,
        storage: Storage,
        control_queue: ControlQueue,
        management_api: ManagementApi,
        limits: Limits,
        now: Clock,
    ) -> None:
        self._storage = storage
        self._control_queue = control_queue
        self._management_api = management_api
        self._limits = limits
        self._now = now

    def act(self, order: Check | Revocation) -> None:
        """Look at a socket, or at all of a user whose tokens have been declared dead."""
        if isinstance(order, Revocation):
            self._revoke(order)
        else:
            self._check(order)

    def _check(self, order: Check) -> None:
        who = principal.of_queued(order.user)
        user = self._storage.for_user(who)
        live = user.connections.activity()
        for connection in live.connections:
            if connection.connection_id == order.connection_id and order.number >= connection.checks:
                self._settle(who, user, connection, is_revoked=live.revoked(connection))

    def _revoke(self, order: Revocation) -> None:
        who = principal.of_revocation(order.issuer, order.subject)
        user = self._storage.for_user(who)
        # Written before the sockets are read: one that is being opened reads it after it has written its row.
        user.revocations.revoke(session=order.session, not_before=order.not_before)
        live = user.connections.activity()
        failed: Unavailable | None = None
        for connection in live.connections:
            if live.revoked(connection):
                try:
                    self._settle(who, user, connection, is_revoked=True)
                except Unavailable as error:
                    failed = error  # the others must not wait for the order to come again
        if failed:
            raise failed

    def _settle(self, who: Principal, user: UserStorage, connection: Connection, *, is_revoked: bool) -> None:
        """Do what is due on a socket, and arrange the next look, unless it is gone."""
        found = deadlines.of(connection, is_revoked=is_revoked, now=self._now(), limits=self._limits)
        if found.ends:
            again_at = self._end(user, connection, found.ends)
        else:
            again_at = found.again_at
            if found.expiring:
                self._notify(connection)
        if again_at:
            following = Check(who.user, connection.connection_id, connection.checks + 1)
            self._control_queue.check(following, delay_s=deadlines.delay_s(again_at, self._now(), self._limits))
            user.connections.count_check(connection.connection_id, following.number)

    def _end(self, user: UserStorage, connection: Connection, why: Disconnect) -> deadlines.Moment | None:
        """Say why, close, forget. Returns when to try again if that is not possible now."""
        delivery = disconnect(self._management_api, connection.connection_id, why, now=self._now())
        being_opened = not connection.live and self._now() < connection.opened_at + self._limits.handshake_s
        if delivery == "throttled" or (delivery == "gone" and being_opened):
            # Nothing reaches a socket before its $connect has returned; forgotten now, it would stay open unwatched.
            return self._now() + self._limits.recheck_s
        user.connections.remove(connection.connection_id)
        return None

    def _notify(self, connection: Connection) -> None:
        now = self._now()
        notice = protocol.TokenExpiring(expires_at=connection.token_exp)
        frame = frames.frame(notice, frame_id=ids.new(now), now=now)
        self._management_api.post(connection.connection_id, frame.encode())
