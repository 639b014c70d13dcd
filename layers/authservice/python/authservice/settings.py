"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from authservice.errors import SettingsError
from authservice.limits import Limits

Environment = Mapping[str, str]
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's own rule
_ADDRESS = re.compile(r"https?://[^/\s]+/\S+")  # plain http is for laptops
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Issuing:
    """What our tokens say: who issues them (also the service's public address), and for whom.

    `scopes` has every user; those of `privileged` have whoever's ID token names them in the claim `groups_claim`.
    """

    issuer: str
    audience: str
    scopes: frozenset[str]
    privileged: frozenset[str]
    groups_claim: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose ID tokens are exchanged: an OIDC issuer, our client id there, and the address of its keys."""

    issuer: str
    client_id: str
    jwks_url: str


@dataclass(frozen=True, slots=True)
class Introspector:
    """The client that may introspect without being registered: the rest of the deployment. Empty for none."""

    client_id: str
    secret: str = field(repr=False)


def limits(environment: Environment = os.environ) -> Limits:
    """The numbers of this deployment. Raises SettingsError."""
    return Limits.from_json(environment.get("AUTH_LIMITS") or "{}")


def issuing(environment: Environment = os.environ) -> Issuing:
    """Raises SettingsError naming what is missing."""
    issuer = _secure(environment, "ISSUER")
    scopes = frozenset(_required(environment, "SCOPES").split())
    privileged = frozenset(environment.get("PRIVILEGED_SCOPES", "").split())
    audience = _required(environment, "AUDIENCE")
    if audience == issuer:
        raise SettingsError("AUDIENCE must not be ISSUER: that is the audience of service tokens, which no user has")
    return Issuing(issuer, audience, scopes, privileged, environment.get("GROUPS_CLAIM", ""))


def identity(environment: Environment = os.environ) -> Identity:
    """Raises SettingsError naming what is missing."""
    return Identity(
        _secure(environment, "IDENTITY_ISSUER"),
        _required(environment, "IDENTITY_CLIENT_ID"),
        _secure(environment, "IDENTITY_JWKS_URL"),
    )


def introspector(environment: Environment = os.environ) -> Introspector:
    """Raises SettingsError when only half of it is given."""
    found = Introspector(environment.get("INTROSPECTION_CLIENT", ""), environment.get("INTROSPECTION_SECRET", ""))
    if bool(found.client_id) != bool(found.secret):
        raise SettingsError("give both INTROSPECTION_CLIENT and INTROSPECTION_SECRET, or neither")
    return found


def origins(environment: Environment = os.environ) -> frozenset[str]:
    """The web origins that may read answers. Raises SettingsError for `*` and `null`, which would be everybody."""
    listed = environment.get("ALLOWED_ORIGINS", "").split(",")
    allowed = frozenset(filter(None, (origin.strip() for origin in listed)))
    if not allowed.isdisjoint({"*", "null"}):
        raise SettingsError("ALLOWED_ORIGINS lists origins such as https://app.example.com; * and null are not allowed")
    return allowed


def table(environment: Environment = os.environ) -> str:
    """The auth table's name. Raises SettingsError."""
    name = _required(environment, "TABLE_NAME")
    if not _TABLE.fullmatch(name):
        raise SettingsError(f"TABLE_NAME must be the name of a DynamoDB table, not {name!r}")
    return name


def control_queue(environment: Environment = os.environ) -> str:
    """The address of the queue that revocations go to. Raises SettingsError."""
    address = _required(environment, "CONTROL_QUEUE_URL")
    if not _ADDRESS.fullmatch(address):
        raise SettingsError(f"CONTROL_QUEUE_URL must be an https address, not {address!r}")
    return address


def signing_key(environment: Environment = os.environ) -> str:
    """The KMS key that signs. Raises SettingsError."""
    return _required(environment, "SIGNING_KEY")


def jwks(environment: Environment = os.environ) -> str:
    """The published key set as text, its first key being the signing one. Raises SettingsError."""
    return _required(environment, "JWKS")


def bucket(environment: Environment = os.environ) -> str:
    """Where the key set is published. Raises SettingsError."""
    return _required(environment, "BUCKET")


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _secure(environment: Environment, name: str) -> str:
    """An https address, or http to loopback: inside Lambda loopback reaches nothing (security.md, Tokens)."""
    address = _required(environment, name)
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise SettingsError(f"{name} is not an address") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise SettingsError(f"{name} must be an https address (http only for localhost)")
    return address
