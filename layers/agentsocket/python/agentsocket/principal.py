"""Who is asking. The only file that constructs a `Principal`.

Storage opens for a Principal and for nothing else, so whoever makes one decides whose rows are read. Each source has
one function: verified claims, the authorizer's context, and what is taken from our own queues.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


class Principal(Struct, frozen=True):
    """An authenticated user. `issued_at` and `expires_at` are the token's, in seconds since the epoch.

    `auth_mode` says whether the auth service was asked about revocation: `local` (not demanded), `live` (it was), or
    `degraded` (it did not answer).
    `ticket` is the id of the single-use ticket that stood for the token, still to be spent; empty without one.
    """

    user: str
    subject: str = ""
    issuer: str = ""
    session: str = ""
    scopes: frozenset[str] = frozenset()
    issued_at: int = 0
    expires_at: int = 0
    auth_mode: str = "local"
    ticket: str = ""

    def context(self) -> dict[str, str]:
        """The authorizer's context: API Gateway hands these strings to every later event of the connection."""
        return {
            "user": self.user,
            "subject": self.subject,
            "issuer": self.issuer,
            "session": self.session,
            "scope": " ".join(sorted(self.scopes)),
            "issued_at": str(self.issued_at),
            "expires_at": str(self.expires_at),
            "auth_mode": self.auth_mode,
            "ticket": self.ticket,
        }


def user_id(issuer: str, subject: str) -> str:
    """The user in every key, queue group and session tag: 32 characters of a-z2-7 (data-model.md, Who is who).

    The hash makes any `sub` safe, and the issuer in it keeps two issuers' users apart.
    """
    digest = hashlib.sha256(issuer.encode() + b"\x00" + subject.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:32]


def of_claims(claims: Mapping[str, Any]) -> Principal:
    """The principal of an access token whose signature and claims have been verified (`tokens.verify`)."""
    return Principal(
        user=user_id(claims["iss"], claims["sub"]),
        subject=claims["sub"],
        issuer=claims["iss"],
        session=claims.get("sid", ""),
        scopes=frozenset(claims.get("scope", "").split()),
        issued_at=claims["iat"],
        expires_at=claims["exp"],
    )


def of_ticket(claims: Mapping[str, Any]) -> Principal:
    """The principal of a verified ticket (`tokens.verify_ticket`): it ends with the access token behind the ticket."""
    return replace(of_claims(claims), expires_at=claims["access_exp"], ticket=claims["jti"])


def checked(who: Principal, auth_mode: str) -> Principal:
    """The same principal, after the auth service was asked about it or could not be (`introspection.py`)."""
    return replace(who, auth_mode=auth_mode)


def of_context(context: Mapping[str, str]) -> Principal:
    """The principal in the authorizer's context. Raises KeyError or ValueError if there is none."""
    return Principal(
        user=context["user"],
        subject=context["subject"],
        issuer=context["issuer"],
        session=context["session"],
        scopes=frozenset(context["scope"].split()),
        issued_at=int(context["issued_at"]),
        expires_at=int(context["expires_at"]),
        auth_mode=context["auth_mode"],
        ticket=context["ticket"],
    )


def of_queued(user: str) -> Principal:
    """The owner of what was taken from a queue of ours: a run, or a connection to look at.

    Only our own functions may send there, and they write their own principal's user.
    """
    return Principal(user=user)


def of_revocation(issuer: str, subject: str) -> Principal:
    """The user whose tokens the auth service declares dead, by the claims that its tokens have."""
    return Principal(user=user_id(issuer, subject))
