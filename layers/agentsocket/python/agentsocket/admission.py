"""Who may open a connection: the token's carriers and the `Origin` check of `$connect` (protocol.md, Connecting).

Pure. Needs stdlib only: the authorizer imports this, and its cold start is everybody's first impression.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from agentsocket.errors import NoToken, TokenRejected
from agentsocket.inputs import Upgrade
from agentsocket.principal import Principal

SUBPROTOCOL = "agentsocket.v1"
_BEARER = "bearer."

Verify = Callable[[str], Principal]


def admit(upgrade: Upgrade, *, verify: Verify, origins: Collection[str]) -> Principal:
    """The principal of an upgrade. Raises NoToken (401), or TokenRejected (403) for a bad token or a foreign Origin."""
    _check_origin(upgrade, origins)
    return verify(_token(upgrade))


def answered_subprotocol(upgrade: Upgrade) -> str | None:
    """What the handshake's answer names: ours if offered, and never the one that carries the token."""
    return SUBPROTOCOL if SUBPROTOCOL in upgrade.subprotocols() else None


def _check_origin(upgrade: Upgrade, origins: Collection[str]) -> None:
    """Browsers send Origin always, programs never: a listed one or none (RFC 6455, section 10.2)."""
    if any(origin not in origins for origin in upgrade.headers.get("origin", ())):
        raise TokenRejected("the Origin is not allowed")


def _token(upgrade: Upgrade) -> str:
    offered = [name for name in upgrade.subprotocols() if name.startswith(_BEARER)]
    authorizations = upgrade.headers.get("authorization", ())
    if len(offered) > 1 or len(authorizations) > 1:
        raise TokenRejected("more than one token")
    if offered:
        return offered[0].removeprefix(_BEARER)
    if not authorizations:
        raise NoToken("no token in Sec-WebSocket-Protocol or Authorization")
    scheme, _, token = authorizations[0].partition(" ")
    if scheme.lower() != "bearer":
        raise NoToken("the Authorization scheme is not Bearer")
    return token.strip()
