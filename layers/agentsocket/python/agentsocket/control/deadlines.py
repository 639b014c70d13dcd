"""What is due on a socket, and when to look again (delivery.md, Control). Pure; times are in seconds.

A Lambda function cannot wait and a quiet socket wakes nobody, so `connection_checks.py` looks at each now and
then.
"""

from __future__ import annotations

import math

from msgspec import Struct

from agentsocket.errors import Disconnect
from agentsocket.limits import Limits
from agentsocket.storage.rows import Connection

Moment = float


class ConnectionAction(Struct, frozen=True):
    """`ends`: why the socket must close; `expiring`: its client is to be told to refresh; `again_at`: the next look."""

    ends: Disconnect | None = None
    expiring: bool = False
    again_at: Moment = 0.0


def of(connection: Connection, *, is_revoked: bool, now: Moment, limits: Limits) -> ConnectionAction:
    """What to do about a connection now."""
    expires = connection.token_exp + limits.token_grace_s
    too_old = connection.opened_at + limits.connection_age_s
    too_late = connection.opened_at + limits.handshake_s
    if is_revoked:
        return ConnectionAction(ends=Disconnect("revoked"))
    if now > expires:
        return ConnectionAction(ends=Disconnect("token_expired"))
    if now >= too_old:
        return ConnectionAction(ends=Disconnect("connection_age"))
    if not connection.live and now >= too_late:
        return ConnectionAction(ends=Disconnect("bad_request"))
    notice = connection.token_exp - limits.expiring_notice_s
    ahead: list[Moment] = [expires + 1, too_old, *([] if connection.live else [too_late])]
    if now < notice:
        ahead.append(notice)
    elif not connection.live:
        ahead.append(now + limits.recheck_s)  # nothing can be said to it before its hello
    return ConnectionAction(expiring=connection.live and now >= notice, again_at=min(ahead))


def delay_s(again_at: Moment, now: Moment, limits: Limits) -> int:
    """How long a look may be put off: whole seconds, and no more than the queue can."""
    return max(1, min(math.ceil(again_at - now), limits.check_every_s))


def first_check_s(connection: Connection, limits: Limits) -> int:
    """When to look at a socket that has just been opened: seconds from now."""
    opened = connection.opened_at
    return delay_s(of(connection, is_revoked=False, now=opened, limits=limits).again_at, opened, limits)
