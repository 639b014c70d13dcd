"""ID tokens of the configured issuer (OpenID Connect Core 1.0, sections 2 and 3.1.3.7), and that issuer's keys."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from authservice.errors import InvalidGrant, Unavailable
from authservice.limits import Limits
from authservice.service_clients import SUBJECT_PREFIX
from authservice.settings import Identity
from lambdakit import jwks

ALGORITHMS = ("RS256", "ES256", "EdDSA")

# An access token, a logout token or one of another profile is not an ID token, whatever its claims.
_TYPES = frozenset({"", "jwt", "application/jwt"})
_JWS = jwt.PyJWS(algorithms=list(ALGORITHMS), options={"verify_signature": True, "enforce_minimum_key_length": True})

Claims = Mapping[str, Any]
KeyFinder = Callable[[str | None], jwt.PyJWK]


@dataclass(frozen=True, slots=True)
class IdToken:
    """Who signed in: `digest` is of what was signed, so that a re-encoded signature makes no second token."""

    subject: str
    digest: str
    claims: Claims


def verify(token: str, *, keys: KeyFinder, identity: Identity, now: float, limits: Limits) -> IdToken:
    """Check an ID token at `now`, in seconds since the epoch. Raises InvalidGrant, or Unavailable without its keys."""
    claims = _signed_claims(token, keys)
    if claims.get("iss") != identity.issuer:
        raise InvalidGrant("iss of the ID token is not the issuer that this deployment trusts")
    _check_audience(claims, identity.client_id)
    _check_times(claims, now, limits)
    subject = _subject(claims, limits)
    signing_input = token.rpartition(".")[0]
    return IdToken(subject, hashlib.sha256(signing_input.encode()).hexdigest(), claims)


def groups(claims: Claims, name: str) -> frozenset[str]:
    """The members of the claim `name`: a list of strings, or a string with spaces. Anything else has none."""
    value = claims.get(name)
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(member for member in value if isinstance(member, str)) if isinstance(value, list) else frozenset()


def _signed_claims(token: str, keys: KeyFinder) -> Claims:
    try:
        header = jwt.get_unverified_header(token)
        typ, algorithm = header.get("typ", ""), header.get("alg")
        if not isinstance(typ, str) or typ.lower() not in _TYPES or algorithm not in ALGORITHMS:
            raise InvalidGrant(f"the ID token is of another kind, or its alg is none of {' '.join(ALGORITHMS)}")
        payload: bytes = _JWS.decode(token, keys(header.get("kid")), algorithms=[str(algorithm)])
        claims = json.loads(payload)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise InvalidGrant("the ID token is malformed or its signature does not verify") from None
    if not isinstance(claims, dict):
        raise InvalidGrant("the claims of the ID token must be a JSON object")
    return claims


def _check_audience(claims: Claims, client_id: str) -> None:
    """Ours exactly, in either form: a token that is also for somebody else may have come from there."""
    if claims.get("aud") not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise InvalidGrant("aud of the ID token must be the client of this deployment alone")


def _check_times(claims: Claims, now: float, limits: Limits) -> None:
    issued, expires, not_before = _time(claims.get("iat")), _time(claims.get("exp")), _time(claims.get("nbf", 0))
    if expires + limits.token_leeway_s <= now:
        raise InvalidGrant("the ID token has expired; sign in again")
    if issued + limits.id_token_age_s < now:
        raise InvalidGrant(f"the ID token was issued more than {limits.id_token_age_s:,} s ago; sign in again")
    if max(issued, not_before) - limits.token_leeway_s > now:
        raise InvalidGrant("the ID token is not valid yet; check the clock of the identity provider")


def _time(value: object) -> float:
    """A NumericDate (RFC 7519, section 2), which may have a fraction."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise InvalidGrant("iat, exp and nbf of the ID token must be numbers of seconds")
    return value


def _subject(claims: Claims, limits: Limits) -> str:
    subject = claims.get("sub")
    try:
        acceptable = isinstance(subject, str) and 0 < len(subject.encode()) <= limits.max_subject_bytes
    except UnicodeEncodeError:
        acceptable = False
    if not acceptable or str(subject).startswith(SUBJECT_PREFIX):
        raise InvalidGrant(
            f"sub of the ID token must be 1 to {limits.max_subject_bytes} bytes and not begin with {SUBJECT_PREFIX}"
        )
    return str(subject)


class IssuerKeys(jwks.Keys):
    """The keys of the identity issuer, which fail closed: old ones serve nobody, and an outage is no user's fault.

    `now` is in seconds since the epoch; `elapsed` only runs forward, and times a fetch.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        rules = jwks.Rules(
            timeout_s=limits.jwks_timeout_s,
            max_bytes=limits.jwks_max_bytes,
            max_keys=limits.jwks_max_keys,
            lifetime_s=limits.jwks_lifetime_s,
            cooldown_s=limits.jwks_cooldown_s,
            retry_s=limits.jwks_retry_s,
            fails_closed=True,
            names_keys=True,
        )
        super().__init__("", url, rules, now=now, elapsed=elapsed)

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names; without a name, the only one. Raises InvalidGrant, Unavailable."""
        try:
            return super().__call__(kid)
        except jwks.UnknownKey:
            raise InvalidGrant("no key of the identity issuer has the kid of the ID token") from None
        except jwks.KeysUnavailable as error:
            text = "the keys of the identity issuer cannot be fetched; send the request again"
            raise Unavailable(text, cause=str(error)) from error
