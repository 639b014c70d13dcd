"""An issuer's signing keys (RFC 7517): from an address, a copy as text, or both; and how long either is believed.

The copy serves until it grows old, so a cold start has keys while the issuer is down. Keys are fetched when they have
grown old or a token names an unknown one, and then not again for a while, whoever asks: strangers must not make us ask.
A fetch that fails changes nothing of what is known; whether old keys still serve then is a rule of the caller's.
The address is trusted; what it responds is not trusted to be small, quick, or a key set.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from lambdakit import http_client
from lambdakit.http_client import NoResponse

_logger = logging.getLogger("lambdakit.jwks")

Cause = Literal["expired", "unknown kid"]

_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3
# One algorithm for each kind of key (RFC 8725, section 3.1): what a token says of itself decides nothing.
_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_ACCEPT = {"Accept": "application/jwk-set+json, application/json"}


class NotAKeySet(ValueError):
    """The text is no set of public keys, or one beyond the limits; the message says which."""


class UnknownKey(Exception):
    """No key, or more than one, has the kid that was asked for."""


class KeysUnavailable(Exception):
    """Which keys there are cannot be known now. The text says why: it is for the log, where it stands already."""


class Rules(NamedTuple):
    """What is fetched, and how long it is believed.

    `fails_closed`: keys older than `lifetime_s` serve nobody, and a fetch that failed is an outage for an unknown kid,
    too. Otherwise known keys serve until others are fetched, and an unknown kid is unknown. `names_keys`: a key without
    a kid is ignored.
    """

    timeout_s: float
    max_bytes: int
    max_keys: int
    lifetime_s: float
    cooldown_s: float  # an unknown kid causes at most one fetch in this time
    retry_s: float  # after a fetch that failed
    fails_closed: bool
    names_keys: bool


class _Attempt(NamedTuple):
    at: float
    failed: bool


class _KeySet(NamedTuple):
    """The usable keys, and whether any key of a kind that we verify is listed, usable or not."""

    keys: list[jwt.PyJWK]
    has_our_kinds: bool


class Keys:
    """The keys of a JWKS: `inline` is its text, `url` its address; either may be empty. Raises NotAKeySet.

    The text is checked at once and believed for `lifetime_s` like anything fetched, or for ever without a `url`.
    `now` is in seconds since the epoch; `elapsed` only runs forward, and times a fetch.
    """

    def __init__(
        self,
        inline: str,
        url: str,
        rules: Rules,
        *,
        now: Callable[[], float] = time.time,
        elapsed: http_client.Elapsed = time.monotonic,
    ) -> None:
        self._url = url
        self._rules = rules
        self._now = now
        self._elapsed = elapsed
        self._keys: list[jwt.PyJWK] | None = _copied(inline, rules) if inline else None
        self._known_since: float | None = now()
        self._attempts: dict[Cause, _Attempt] = {}
        self._failure = "they were not fetched yet"
        self._lock = threading.Lock()

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names; without a name, the only one. Raises UnknownKey, KeysUnavailable."""
        with self._lock:
            cause = self._cause(kid)
            if cause and self._may_fetch(cause):
                self._attempt(cause)
            keys = self._keys
            if keys is None or (self._rules.fails_closed and self._is_outage(kid)):
                raise KeysUnavailable(self._failure)
        return _select(keys, kid)

    def _cause(self, kid: str | None) -> Cause | None:
        """Why the keys should be fetched."""
        if not self._url:
            return None
        if self._keys is None or not self._within(self._rules.lifetime_s, self._known_since):
            return "expired"
        known = kid is None or any(key.key_id == kid for key in self._keys)
        return None if known else "unknown kid"

    def _may_fetch(self, cause: Cause) -> bool:
        """Each cause may once in a while, whatever came of it; after a failure `fails_closed` spares other causes."""
        of_others = self._attempts.values() if self._rules.fails_closed else ()
        if any(attempt.failed and self._within(self._rules.retry_s, attempt.at) for attempt in of_others):
            return False
        last = self._attempts.get(cause)
        if last is None or (cause == "expired" and self._rules.fails_closed and not last.failed):
            return True  # outdated keys are of no use to who fails closed: only a failure may keep it from asking
        return not self._within(self._rules.retry_s if last.failed else self._rules.cooldown_s, last.at)

    def _is_outage(self, kid: str | None) -> bool:
        """Whether the keys are too old, or the last fetch for an unknown kid failed."""
        cause = self._cause(kid)
        last = self._attempts.get("unknown kid")
        return cause == "expired" or (cause == "unknown kid" and last is not None and last.failed)

    def _within(self, seconds: float, since: float | None) -> bool:
        """A clock that was set back makes anything old: a cooldown must end."""
        return since is not None and 0 <= self._now() - since < seconds

    def _attempt(self, cause: Cause) -> None:
        """Fetch, and remember how it went. An issuer that withdraws all keys is believed, and soon asked again."""
        begun = self._now()
        try:
            self._keys, succeeded = self._fetched()
        except (NoResponse, NotAKeySet) as error:
            self._failure, succeeded = str(error), False
            _logger.warning("keys_fetch_failed", extra={"reason": self._failure})
        else:
            self._failure = "" if succeeded else f"{http_client.host(self._url)} lists no key for signatures"
            self._known_since = self._now() if succeeded else None
        self._attempts[cause] = _Attempt(begun, failed=not succeeded)

    def _fetched(self) -> _KeySet:
        """The keys at the address. Raises NoResponse, NotAKeySet."""
        rules = self._rules
        response = http_client.request(
            "GET",
            self._url,
            headers=_ACCEPT,
            timeout_s=rules.timeout_s,
            max_bytes=rules.max_bytes,
            elapsed=self._elapsed,
        )
        if response.status != 200:  # a redirect leads to an address that nobody has vouched for
            raise NoResponse(f"{http_client.host(self._url)} responded with status {response.status}, not 200")
        try:
            return _parsed(response.body, rules)
        except NotAKeySet as error:
            raise NotAKeySet(f"what {http_client.host(self._url)} responded {error}") from None


def _copied(text: str, rules: Rules) -> list[jwt.PyJWK]:
    """The usable keys of a text, of which there must be one: a copy that opens nothing is a mistake."""
    keys, _ = _parsed(text.encode(), rules)
    if not keys:
        raise NotAKeySet("holds no public RSA (2048 bits), P-256 or Ed25519 key")
    return keys


def _parsed(raw: bytes, rules: Rules) -> _KeySet:
    """The keys of a set. Raises NotAKeySet with the text that follows the name of what was parsed."""
    if len(raw) > rules.max_bytes:
        raise NotAKeySet(f"is {len(raw):,} bytes; the limit is {rules.max_bytes:,}")
    try:
        document = json.loads(raw.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise NotAKeySet("is not JSON that every reader understands alike") from None
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise NotAKeySet("is not a JSON Web Key Set: an object with a list `keys`")
    if len(members) > rules.max_keys:
        raise NotAKeySet(f"lists {len(members)} keys; the limit is {rules.max_keys}")
    ours = [(member, algorithm) for member in members if (algorithm := _algorithm(member, rules))]
    keys = [key for member, algorithm in ours if (key := _usable(member, algorithm))]
    return _KeySet(keys, has_our_kinds=bool(ours))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers would take different ones of two members with one name."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same name twice")
    return result


def _algorithm(member: Any, rules: Rules) -> str | None:
    """The algorithm that a public key for signatures is bound to; None for any other, which may stand beside."""
    if not isinstance(member, dict) or "d" in member or (rules.names_keys and not member.get("kid")):
        return None
    kind = (member.get("kty"), member.get("crv"))
    algorithm = next((name for known, name in _ALGORITHMS.items() if known == kind), None)
    is_for_it = member.get("alg", algorithm) == algorithm and member.get("use", "sig") == "sig"
    return algorithm if is_for_it else None


def _usable(member: dict[str, Any], algorithm: str) -> jwt.PyJWK | None:
    """The key, or None for one that is malformed or too short."""
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
        raise UnknownKey("no key, or more than one, has the kid of the token")
    return matching[0]
