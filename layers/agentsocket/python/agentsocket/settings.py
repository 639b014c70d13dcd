"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs, and a test holds their names against the template.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from agentsocket.errors import SettingsError
from agentsocket.limits import Limits

if TYPE_CHECKING:
    from agentsocket.introspection import Demand

Environment = Mapping[str, str]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are accepted. `jwks` is a key set as text, `jwks_url` where newer ones come from: one or both."""

    issuer: str
    audience: str
    jwks: str
    jwks_url: str


@dataclass(frozen=True, slots=True)
class Introspection:
    """Which tokens the auth service is asked about (none, those with a privileged scope, all), where, and as whom."""

    demand: Demand
    privileged: frozenset[str]
    url: str
    client: str
    secret: str = field(repr=False)


def limits(environment: Environment = os.environ) -> Limits:
    """The numbers of this deployment. Raises SettingsError."""
    return Limits.from_json(environment.get("LIMITS") or "{}")


def trust(environment: Environment = os.environ) -> Trust:
    """Raises SettingsError naming what is missing."""
    jwks, jwks_url = environment.get("JWKS", ""), environment.get("JWKS_URL", "")
    if not jwks and not jwks_url:
        raise SettingsError("give JWKS (the key set itself), JWKS_URL (its address), or both")
    if jwks_url:
        _require_secure("JWKS_URL", jwks_url)
    issuer = _required(environment, "ISSUER")
    _require_secure("ISSUER", issuer)
    return Trust(issuer, _required(environment, "AUDIENCE"), jwks, jwks_url)


def origins(environment: Environment = os.environ) -> frozenset[str]:
    """The web origins that may ask: none by default. Raises SettingsError."""
    listed = frozenset(filter(None, (origin.strip() for origin in environment.get("ALLOWED_ORIGINS", "").split(","))))
    if not listed.isdisjoint({"*", "null"}):
        raise SettingsError("ALLOWED_ORIGINS lists origins such as https://app.example.com; * and null are not allowed")
    return listed


def token_in_query(environment: Environment = os.environ) -> bool:
    """Whether an access token may come as `?token=`, which ends up in logs: not by default. Raises SettingsError."""
    return _one_of(environment, "TOKEN_IN_QUERY", ("false", "true")) == "true"


def introspection(environment: Environment = os.environ) -> Introspection:
    """Raises SettingsError naming what is missing where tokens are to be asked about."""
    demand = cast("Demand", _one_of(environment, "INTROSPECTION", ("none", "privileged", "all")))
    privileged = frozenset(environment.get("PRIVILEGED_SCOPES", "").split())
    names = ("INTROSPECTION_URL", "INTROSPECTION_CLIENT", "INTROSPECTION_SECRET")
    url, client, secret = (environment.get(name, "") for name in names)
    if demand != "none":
        for name in names:
            _required(environment, name)
        _require_secure("INTROSPECTION_URL", url)
    return Introspection(demand, privileged, url, client, secret)


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


def control_queue(environment: Environment = os.environ) -> str:
    """The address of the queue of what is due later. Raises SettingsError."""
    return _required(environment, "CONTROL_QUEUE_URL")


def management_endpoint(environment: Environment = os.environ) -> str:
    """The @connections address. botocore reads it by itself; asking here makes its absence an error at start."""
    return _required(environment, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI")


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _one_of(environment: Environment, name: str, choices: Sequence[str]) -> str:
    """The variable, or the first choice when it is not set."""
    value = environment.get(name) or choices[0]
    if value not in choices:
        raise SettingsError(f"{name} must be {' or '.join(choices)}, not {value!r}")
    return value


def _require_secure(name: str, address: str) -> None:
    """https, or http to loopback: inside Lambda loopback reaches nothing (security.md, Tokens)."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise SettingsError(f"{name} is not an address") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise SettingsError(f"{name} must be an https address (http only for localhost)")
