"""The issuer's signing keys as access tokens need them: known keys serve through an outage.

The client is `lambdakit.jwks`; here are this package's limits and errors. A cold authorizer starts with the deploy-time
copy, so it has keys while the auth service is down, and what cannot be fetched does not take known keys away.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt

from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.limits import Limits
from lambdakit import jwks


class Keys(jwks.Keys):
    """The keys of a JWKS: `inline` is its text, `url` its address; either may be empty. Raises SettingsError.

    `now` is in seconds since the epoch.
    """

    def __init__(self, inline: str, url: str, *, limits: Limits, now: Callable[[], float] = time.time) -> None:
        rules = jwks.Rules(
            timeout_s=limits.jwks_timeout_s,
            max_bytes=limits.jwks_max_bytes,
            max_keys=limits.jwks_max_keys,
            lifetime_s=limits.jwks_lifetime_s,
            cooldown_s=limits.jwks_cooldown_s,
            retry_s=limits.jwks_cooldown_s,
            fails_closed=False,
            names_keys=False,
        )
        try:
            super().__init__(inline, url, rules, now=now)
        except jwks.NotAKeySet as error:
            raise SettingsError(f"JWKS {error}; give the issuer's public keys as a JSON Web Key Set") from None

    def __call__(self, kid: str | None) -> jwt.PyJWK:
        """The key that a token names. Raises TokenRejected, or Unavailable as long as there are no keys at all."""
        try:
            return super().__call__(kid)
        except jwks.UnknownKey:
            raise TokenRejected("no key of the issuer has the token's kid") from None
        except jwks.KeysUnavailable as error:
            raise Unavailable("the issuer's keys cannot be fetched; retry", cause=str(error)) from error
