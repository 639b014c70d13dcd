"""ID tokens of the configured issuer (OpenID Connect Core 1.0, sections 2 and 3.1.3.7), and that issuer's keys."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError

import jwt

from authservice.errors import InvalidGrant, Unavailable
from authservice.limits import Limits
from authservice.service_clients import SUBJECT_PREFIX
from authservice.settings import Identity

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


class IssuerKeys(jwt.PyJWKClient):
    """The issuer's keys, cached; a `kid` not among them causes at most one fetch in `jwks_cooldown_s`.

    A fetch that fails is not tried again for `jwks_retry_s`, whoever asks: strangers must not keep us waiting.

    The address is trusted configuration; what it answers is not trusted to be small, quick, or where it said.
    """

    def __init__(self, url: str, *, limits: Limits, elapsed: Callable[[], float] = time.monotonic) -> None:
        """`elapsed` is a clock that only runs forward, in seconds."""
        super().__init__(
            url,
            timeout=limits.jwks_timeout_s,
            lifespan=limits.jwks_lifetime_s,
            cooldown_duration=limits.jwks_cooldown_s,
        )
        self._limits = limits
        self._elapsed = elapsed
        self._failed_at: float | None = None

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names; without a name, the only one. Raises InvalidGrant, Unavailable."""
        try:
            keys = self.get_signing_keys()
            return self.get_signing_key(kid) if kid is not None else _only(keys)
        except (jwt.PyJWKClientConnectionError, jwt.PyJWKSetError):
            raise Unavailable("the keys of the identity issuer cannot be fetched") from None
        except jwt.PyJWKClientError:
            raise InvalidGrant("no key of the identity issuer has the kid of the ID token") from None

    def fetch_data(self) -> Any:
        """One bounded fetch: the override that PyJWT's client provides for; it caches the result."""
        if self._failed_at is not None and self._elapsed() - self._failed_at < self._limits.jwks_retry_s:
            raise jwt.PyJWKClientConnectionError("the JWKS could not be fetched a moment ago")
        try:
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(self.uri, timeout=self.timeout) as response:
                return _bounded(self._read(response), self._limits)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            if isinstance(error, HTTPError):
                error.close()
            self._failed_at = self._elapsed()
            raise jwt.PyJWKClientConnectionError("the JWKS cannot be fetched") from error

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        """The body, as far as it may be long and in the time that it may take. Raises TimeoutError.

        The socket's own time-out bounds each wait, and not their sum.
        """
        begun, read = self._elapsed(), b""
        while len(read) <= self._limits.jwks_max_bytes and (more := response.read1(self._limits.jwks_max_bytes + 1)):
            read += more
            if self._elapsed() - begun > self._limits.jwks_timeout_s:
                raise TimeoutError
        return read


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def _bounded(raw: bytes, limits: Limits) -> dict[str, Any]:
    """The set as a dict. Raises ValueError when it is too large or no set."""
    if len(raw) > limits.jwks_max_bytes:
        raise ValueError("the JWKS is too large")
    document = json.loads(raw)
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS")
    if len(document["keys"]) > limits.jwks_max_keys:
        raise ValueError("the JWKS has too many keys")
    return document


def _only(keys: list[jwt.PyJWK]) -> jwt.PyJWK:
    if len(keys) != 1:
        raise jwt.PyJWKClientError("the token names no key and there are several")
    return keys[0]
