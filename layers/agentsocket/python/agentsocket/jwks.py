"""Signing keys: an inline JWKS, or PyJWT's client for an address with bounds on size, time, redirects and fetches.

A JWKS address is trusted configuration; what it answers is not trusted to be small, quick, or where it said.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.limits import Limits

_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3


class InlineKeys:
    """The keys of a JWKS given as text. Raises SettingsError when it is none."""

    def __init__(self, text: str, *, limits: Limits) -> None:
        try:
            self._keys = jwt.PyJWKSet.from_dict(_bounded(text.encode(), limits)).keys
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise SettingsError("JWKS is not a JSON Web Key Set with a usable signing key") from None

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names. Raises TokenRejected."""
        return _select(self._keys, kid)


class FetchedKeys(jwt.PyJWKClient):
    """The keys at an address, cached; a `kid` not among them causes at most one fetch in `jwks_cooldown_s`."""

    def __init__(self, url: str, *, limits: Limits) -> None:
        super().__init__(
            url,
            timeout=limits.jwks_timeout_s,
            lifespan=limits.jwks_lifetime_s,
            cooldown_duration=limits.jwks_cooldown_s,
        )
        self._limits = limits

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names. Raises TokenRejected, or Unavailable when the address does not answer."""
        try:
            keys = self.get_signing_keys() if kid is None else [self.get_signing_key(kid)]
        except jwt.PyJWKClientConnectionError:
            raise Unavailable("the issuer's keys cannot be fetched") from None
        except (jwt.PyJWTError, TypeError, AttributeError):
            raise TokenRejected("no key of the issuer has the token's kid") from None
        return _select(keys, kid)

    def fetch_data(self) -> Any:
        """One bounded fetch: the override that PyJWT's client provides for; it caches the result."""
        try:
            opener = urllib.request.build_opener(_NoRedirects)
            with opener.open(self.uri, timeout=self.timeout) as response:
                return _bounded(response.read(self._limits.jwks_max_bytes + 1), self._limits)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise jwt.PyJWKClientConnectionError("the JWKS cannot be fetched") from error


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


def _select(keys: Sequence[jwt.PyJWK], kid: str | None) -> jwt.PyJWK:
    """The key with that kid; a token without one is acceptable only where there is no choice."""
    matching = [key for key in keys if kid is None or key.key_id == kid]
    if len(matching) != 1:
        raise TokenRejected("no key of the issuer has the token's kid")
    key = matching[0].key
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        raise TokenRejected("the issuer's RSA key is too short")
    return matching[0]
