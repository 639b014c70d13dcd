"""Refresh tokens and their families: what a refresh token is good for, and what counts as revoked. Pure.

A family is one sign-in; its tokens carry its id as `sid`. Two tabs that refresh at once get a token each, and each goes
on from its own. A used token is theft when it comes back late, or after a successor of it was used: then whoever holds
the successor is not whoever sends the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from authservice.limits import Limits

Verdict = Literal["first use", "sibling", "theft"]


@dataclass(frozen=True, slots=True)
class Family:
    """One sign-in. `started` is the `iat` of its first token; times are in seconds since the epoch."""

    sid: str
    subject: str
    client_id: str
    scopes: frozenset[str]
    started: int
    revoked: bool
    notified: bool


@dataclass(frozen=True, slots=True)
class User:
    """What all tokens of a user share; 0 for never. `notified` is the last `not_before` that the control queue got."""

    key: str
    not_before: int = 0
    notified: int = 0
    last_iat: int = 0

    @property
    def is_logout_notified(self) -> bool:
        """Whether the control queue was notified of the last logout."""
        return self.notified == self.not_before


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token as it is stored, with its family and user. `used_ms` is 0 until it is used."""

    key: str
    parent: str
    used_ms: int
    successor_used: bool
    family: Family
    user: User


def classify_use(used_ms: int, successor_used: bool, *, now: float, limits: Limits) -> Verdict:
    """What the use of a refresh token at `now` is (security.md, Exchange and refresh)."""
    if not used_ms:
        return "first use"
    if successor_used or now * 1000 > used_ms + limits.sibling_s * 1000:
        return "theft"
    return "sibling"


def is_revoked(family: Family | None, user: User) -> bool:
    """Whether the tokens of a family are refused: it was revoked, or its user has logged out since it began."""
    return family is None or family.revoked or family.started <= user.not_before


def issue_time(user: User, now: float) -> int:
    """The `iat` of a new token: after the last logout, even within its second (delivery.md, Revoke)."""
    return max(int(now), user.not_before + 1)
