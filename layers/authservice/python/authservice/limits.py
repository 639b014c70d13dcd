"""Every number of the auth service, with its unit in its name and its reason beside it.

The template's `AuthLimits` parameter (a JSON object) overrides any of them by name; tests make tokens live for seconds
so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from authservice.errors import SettingsError
from lambdakit.limits import overrides

KB = 1024
MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits; the defaults are what a deployment gets that says nothing."""

    # Requests.
    max_body_bytes: int = 16 * KB
    max_form_fields: int = 32
    jwks_max_age_s: int = 5 * MINUTE_S  # how long a cache may keep the keys and the metadata
    preflight_max_age_s: int = 10 * MINUTE_S

    # Tokens.
    access_token_s: int = 15 * MINUTE_S
    refresh_token_s: int = 7 * DAY_S
    family_s: int = 30 * DAY_S  # refreshing goes on for that long at most, then one signs in again
    ticket_s: int = MINUTE_S
    token_leeway_s: int = 30  # clocks of two services
    sibling_s: int = 10  # two tabs at once, or a lost answer: an old refresh token is good for that long

    # ID tokens and the keys of their issuer.
    id_token_age_s: int = 10 * MINUTE_S
    max_subject_bytes: int = 255  # OpenID Connect Core 1.0, section 2: sub must not exceed 255 characters
    jwks_max_bytes: int = 64 * KB
    jwks_max_keys: int = 20
    jwks_timeout_s: int = 2
    jwks_lifetime_s: int = 5 * MINUTE_S
    jwks_cooldown_s: int = MINUTE_S  # an unknown kid causes at most one fetch in this time
    jwks_retry_s: int = 5  # after a fetch that failed

    # Rows and their writes.
    row_slack_s: int = DAY_S  # a row outlives what it speaks of, whatever the clocks
    write_attempts: int = 6  # two requests of one family at once cancel each other's transactions
    write_backoff_ms: int = 40  # the first wait at most, doubled each time

    # What no deployment may raise further: beyond it the number would undo what it is there for.
    AT_MOST: ClassVar[Mapping[str, int]] = {
        "access_token_s": 60 * MINUTE_S,
        "refresh_token_s": 90 * DAY_S,
        "family_s": 365 * DAY_S,
        "ticket_s": MINUTE_S,
        "token_leeway_s": 5 * MINUTE_S,
        "sibling_s": MINUTE_S,
        "id_token_age_s": 60 * MINUTE_S,
    }

    @classmethod
    def from_json(cls, text: str) -> Limits:
        """The defaults with the overrides of `text`, a JSON object of positive integers. Raises SettingsError."""
        defaults = asdict(cls())
        return cls(
            **overrides(text, variable="AUTH_LIMITS", defaults=defaults, at_most=cls.AT_MOST, error=SettingsError)
        )
