"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs, and a test holds their names against the template.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agentsocket.errors import SettingsError
from agentsocket.limits import Limits

Environment = Mapping[str, str]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are accepted, and from which browser origins. Exactly one of `jwks` and `jwks_url` is given."""

    issuer: str
    audience: str
    jwks: str
    jwks_url: str
    origins: frozenset[str]


def limits(environment: Environment = os.environ) -> Limits:
    """The numbers of this deployment. Raises SettingsError."""
    return Limits.from_json(environment.get("LIMITS") or "{}")


def trust(environment: Environment = os.environ) -> Trust:
    """Raises SettingsError naming what is missing or contradictory."""
    jwks, jwks_url = environment.get("JWKS", ""), environment.get("JWKS_URL", "")
    if bool(jwks) == bool(jwks_url):
        raise SettingsError("give either JWKS (the key set itself) or JWKS_URL (its address), not both and not neither")
    if jwks_url:
        _require_secure("JWKS_URL", jwks_url)
    issuer = _required(environment, "ISSUER")
    _require_secure("ISSUER", issuer)
    origins = frozenset(filter(None, (origin.strip() for origin in environment.get("ALLOWED_ORIGINS", "").split(","))))
    if not origins.isdisjoint({"*", "null"}):
        raise SettingsError("ALLOWED_ORIGINS lists origins such as https://app.example.com; * and null are not allowed")
    return Trust(issuer, _required(environment, "AUDIENCE"), jwks, jwks_url, origins)


def table(environment: Environment = os.environ) -> str:
    """The table's name. Raises SettingsError."""
    return _required(environment, "TABLE_NAME")


def generation(environment: Environment = os.environ) -> str:
    """The part of every epoch that the operator changes after restoring the table. Raises SettingsError."""
    return _required(environment, "GENERATION")


def run_queue(environment: Environment = os.environ) -> str:
    """The address of the queue that accepted runs go through. Raises SettingsError."""
    return _required(environment, "QUEUE_URL")


def dead_letter_queue(environment: Environment = os.environ) -> str:
    """The address of the queue for runs that failed for good. Raises SettingsError."""
    return _required(environment, "DEAD_LETTER_QUEUE_URL")


def management_endpoint(environment: Environment = os.environ) -> str:
    """The @connections address. botocore reads it by itself; asking here makes its absence an error at start."""
    return _required(environment, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI")


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _require_secure(name: str, address: str) -> None:
    """https, or http to loopback: inside Lambda loopback reaches nothing (security.md, Tokens)."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SettingsError(f"{name} must be an https address (http only for localhost)")
