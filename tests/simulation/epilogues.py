"""What must come to pass after a story, when nobody does anything more: nobody stays who may not be there any more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from agentsocket.storage import keys
from lambdakit.dynamodb import serialize
from tests.simulation.apigateway import Socket
from tests.simulation.deployment import Deployment
from tests.simulation.playing import Play

SHORT_LIFE_S = 90
_REVOKED_S = 26.0  # the SDK's three attempts at what was under way
_CARRIED_OUT_S = 120.0  # an order that failed comes back after 30 s
_SLACK_S = 60.0


async def revoked(deployment: Deployment) -> list[str]:
    """Sockets that are open though their token was revoked, and sign-outs that nobody has carried out."""
    if not deployment.leaving:
        return []
    for _ in range(int(_CARRIED_OUT_S)):
        if not deployment.unrevoked():
            break
        await asyncio.sleep(1.0)
    await asyncio.sleep(_REVOKED_S)
    undone = [f"the sign-out of {user} was not carried out" for user in deployment.unrevoked()]
    return [*undone, *overstaying(deployment)]


def overstaying(deployment: Deployment) -> Iterator[str]:
    """Open sockets whose token is revoked: the one of the connection's row, or else that of the upgrade."""
    for socket in deployment.sockets.sockets.values():
        row = deployment.database.at(serialize(keys.connection(socket.who.user, socket.connection_id)))
        issued_at = int(row["token_iat"]["N"]) if row is not None else socket.who.issued_at
        if socket.server_open and issued_at <= deployment.signed_out.get(socket.who.user, (-1, 0.0))[0]:
            yield f"{socket.connection_id} is open, and its token was revoked"


async def expired(acting: Play, deployment: Deployment) -> list[str]:
    """All devices vanish without a word; sockets that the server keeps open longer than their tokens allow."""
    if deployment.token_life_s > SHORT_LIFE_S:
        return []
    for device in acting.devices.values():
        device.signed_in = False
    there = [socket for socket in deployment.sockets.sockets.values() if socket.server_open]
    for socket in there:
        vanish(socket)
    await asyncio.sleep(deployment.token_life_s + deployment.limits.token_grace_s + _SLACK_S)
    return [f"{socket.connection_id} is open, and its token has expired" for socket in there if socket.server_open]


def vanish(socket: Socket) -> None:
    """The client is gone, and the server does not notice."""
    socket.client_open = False
    socket.inbox.put_nowait(None)
