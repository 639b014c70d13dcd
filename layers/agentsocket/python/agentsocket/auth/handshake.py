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


def admit(
    upgrade: Upgrade, *, verify: Verify, verify_ticket: Verify, origins: Collection[str], token_in_query: bool
) -> Principal:
    """The principal of an upgrade. Raises NoToken (401), or TokenRejected (403) for a bad token or a foreign Origin.

    `token_in_query`: this deployment takes an access token as `?token=`, although addresses end up in logs.
    """
    _check_origin(upgrade, origins)
    carriers = [
        *((verify, token) for token in _subprotocol_tokens(upgrade)),
        *((verify, token) for token in _authorization_tokens(upgrade)),
        *((verify_ticket, ticket) for ticket in upgrade.query.get("ticket", ())),
        *((verify, token) for token in _query_tokens(upgrade, allowed=token_in_query)),
    ]
    if not carriers:
        raise NoToken("no token in Sec-WebSocket-Protocol, Authorization or ?ticket=")
    if len(carriers) > 1:
        raise TokenRejected("more than one token")
    [(check, token)] = carriers
    return check(token)


def answered_subprotocol(upgrade: Upgrade) -> str | None:
    """What the handshake's answer names: ours if offered, and never the one that carries the token."""
    return SUBPROTOCOL if SUBPROTOCOL in upgrade.subprotocols() else None


def _check_origin(upgrade: Upgrade, origins: Collection[str]) -> None:
    """Browsers send Origin always, programs never: a listed one or none (RFC 6455, section 10.2)."""
    if any(origin not in origins for origin in upgrade.headers.get("origin", ())):
        raise TokenRejected("the Origin is not allowed")


def _subprotocol_tokens(upgrade: Upgrade) -> list[str]:
    return [name.removeprefix(_BEARER) for name in upgrade.subprotocols() if name.startswith(_BEARER)]


def _authorization_tokens(upgrade: Upgrade) -> list[str]:
    """Other schemes than Bearer carry no token of ours: a proxy's Basic credentials may stand beside one."""
    authorizations = [value.partition(" ") for value in upgrade.headers.get("authorization", ())]
    return [token.strip() for scheme, _, token in authorizations if scheme.lower() == "bearer"]


def _query_tokens(upgrade: Upgrade, *, allowed: bool) -> list[str]:
    tokens = list(upgrade.query.get("token", ()))
    if tokens and not allowed:
        raise TokenRejected("this deployment takes no token in the query")
    return tokens
