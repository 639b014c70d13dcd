"""Signing keys: the deploy-time copy, the address that newer ones come from, and how long either is believed.

A cold authorizer starts with the copy, so it has keys while the auth service is down; it fetches when what it has grows
old or a token names a key it does not know. What cannot be fetched does not take known keys away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from agentsocket.auth import http_client
from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.limits import Limits
from agentsocket.protocol import strict_json

Cause = Literal["expired", "unknown kid"]

_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3
_MAX_NESTING = 8
# One algorithm for each kind of key (RFC 8725, section 3.1): what a token says of itself decides nothing.
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}


class Keys:
    """The keys of a JWKS: `inline` is its text, `url` its address; either may be empty. Raises SettingsError.

    The text is checked at once and believed for `jwks_lifetime_s` like anything fetched, or for ever without a `url`.
    `now` is in seconds since the epoch.
    """

    def __init__(self, inline: str, url: str, *, limits: Limits, now: Callable[[], float] = time.time) -> None:
        self._url = url
        self._limits = limits
        self._now = now
        self._keys: list[jwt.PyJWK] | None = None
        self._known_since = now()
        self._tried: dict[Cause, float] = {}
        if inline:
            self._keys = _inline(inline, limits)

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names. Raises TokenRejected, or Unavailable as long as there are no keys at all."""
        cause = self._cause(kid)
        if cause and not self._within(self._limits.jwks_cooldown_s, self._tried.get(cause)):
            self._tried[cause] = self._now()
            self._fetch()
        if self._keys is None:
            raise Unavailable("the issuer's keys cannot be fetched")
        return _select(self._keys, kid)

    def _cause(self, kid: str | None) -> Cause | None:
        """Why the keys should be fetched. Each cause may do so once in `jwks_cooldown_s`, whatever came of it."""
        if not self._url:
            return None
        if self._keys is None or not self._within(self._limits.jwks_lifetime_s, self._known_since):
            return "expired"
        known = kid is None or any(key.key_id == kid for key in self._keys)
        return None if known else "unknown kid"

    def _within(self, seconds: int, since: float | None) -> bool:
        """A clock that was set back makes anything old: a cooldown must end."""
        return since is not None and 0 <= self._now() - since < seconds

    def _fetch(self) -> None:
        limits = self._limits
        headers = {"Accept": "application/jwk-set+json, application/json"}
        try:
            answer = http_client.request(
                "GET", self._url, headers=headers, timeout_s=limits.jwks_timeout_s, max_bytes=limits.jwks_max_bytes
            )
            if answer.status != 200:
                return
            self._keys = _parsed(answer.body, limits)
        except (Unavailable, ValueError):
            return
        self._known_since = self._now()


def _inline(text: str, limits: Limits) -> list[jwt.PyJWK]:
    try:
        keys = _parsed(text.encode(), limits)
    except ValueError:
        keys = []
    if not keys:
        raise SettingsError("JWKS is not a JSON Web Key Set with a public RSA (2048 bits), P-256 or Ed25519 key")
    return keys


def _parsed(raw: bytes, limits: Limits) -> list[jwt.PyJWK]:
    """The usable keys of a set. Raises ValueError when it is too large or no set."""
    if len(raw) > limits.jwks_max_bytes:
        raise ValueError("the JWKS is too large")
    document = strict_json.loads(raw.decode(), max_nesting=_MAX_NESTING)
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list) or len(members) > limits.jwks_max_keys:
        raise ValueError("not a JWKS, or one with too many keys")
    return [key for key in map(_usable, members) if key]


def _usable(member: Any) -> jwt.PyJWK | None:
    """The key if it is a public one for signatures that we verify, bound to its algorithm; others may stand beside."""
    if not isinstance(member, dict) or "d" in member:
        return None
    kind = (member.get("kty"), member.get("crv"))
    algorithm = next((name for known, name in _ALGORITHMS.items() if known == kind), None)
    if algorithm is None or member.get("alg", algorithm) != algorithm or member.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(member, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    too_short = isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS
    return None if too_short else key


def _select(keys: Sequence[jwt.PyJWK], kid: str | None) -> jwt.PyJWK:
    """The key with that kid; a token without one is acceptable only where there is no choice."""
    matching = [key for key in keys if kid is None or key.key_id == kid]
    if len(matching) != 1:
        raise TokenRejected("no key of the issuer has the token's kid")
    return matching[0]
