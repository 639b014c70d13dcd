"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs, and a test holds their names against the template.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from msgspec import Struct

from agentsocket.errors import SettingsError
from agentsocket.limits import Limits

if TYPE_CHECKING:
    from agentsocket.auth.introspection import Demand
    from agentsocket.contexts.contract import Store

Environment = Mapping[str, str]
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")  # DynamoDB's own rule
_GENERATION = re.compile(r"[A-Za-z0-9]{1,16}")  # no dot: it is the first part of an epoch
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Trust(Struct, frozen=True):
    """Whose tokens are accepted. `jwks` is a key set as text, `jwks_url` where newer ones come from: one or both."""

    issuer: str
    audience: str
    jwks: str
    jwks_url: str


class Introspection(Struct, frozen=True):
    """Which tokens the auth service is asked about (none, those with a privileged scope, all), where, and as whom."""

    demand: Demand
    privileged: frozenset[str]
    url: str
    client: str
    secret: str

    def __repr__(self) -> str:
        return f"Introspection({self.demand!r}, {self.url!r})"  # never the secret


class RedisAddress(Struct, frozen=True):
    """Where Redis is, and as whom it is asked; without a name as its default user."""

    host: str
    port: int
    tls: bool
    cluster: bool
    username: str
    password: str

    def __repr__(self) -> str:
        return f"RedisAddress({self.host!r}, {self.port!r})"  # never the password


class ContextSettings(Struct, frozen=True):
    """Where contexts are kept. There is an address of Redis unless `store` is `dynamodb`."""

    store: Store
    redis: RedisAddress | None


def limits(environment: Environment = os.environ) -> Limits:
    """The numbers of this deployment. Raises SettingsError."""
    return Limits.from_json(environment.get("LIMITS") or "{}")


def trust(environment: Environment = os.environ) -> Trust:
    """Raises SettingsError naming what is missing."""
    jwks, jwks_url = environment.get("JWKS", ""), environment.get("JWKS_URL", "")
    if not jwks and not jwks_url:
        raise SettingsError("give JWKS (the key set itself), JWKS_URL (its address), or both")
    if jwks:
        _require_key_set(jwks)
    if jwks_url:
        _require_secure("JWKS_URL", jwks_url)
    _require_all(environment, ("ISSUER", "AUDIENCE"))
    _require_secure("ISSUER", environment["ISSUER"])
    return Trust(environment["ISSUER"], environment["AUDIENCE"], jwks, jwks_url)


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
        _require_all(environment, names)
        _require_secure("INTROSPECTION_URL", url)
    return Introspection(demand, privileged, url, client, secret)


def table(environment: Environment = os.environ) -> str:
    """The table's name. Raises SettingsError."""
    return _spelled(environment, "TABLE_NAME", _TABLE, "the name of a DynamoDB table")


def tenant_role(environment: Environment = os.environ) -> str:
    """The role to assume for each user; empty where the function's own reaches the table. Raises SettingsError."""
    role = environment.get("TENANT_ROLE", "")
    if role and not _ROLE.fullmatch(role):
        raise SettingsError("TENANT_ROLE must be the ARN of an IAM role, or empty")
    return role


def generation(environment: Environment = os.environ) -> str:
    """The part of every epoch that the operator changes after restoring the table. Raises SettingsError."""
    return _spelled(environment, "GENERATION", _GENERATION, "1 to 16 letters and digits")


def run_queue(environment: Environment = os.environ) -> str:
    """The address of the queue that accepted runs go through. Raises SettingsError."""
    return _fifo(environment, "QUEUE_URL")


def dead_letter_queue(environment: Environment = os.environ) -> str:
    """The address of the queue for runs that failed for good. Raises SettingsError."""
    return _fifo(environment, "DEAD_LETTER_QUEUE_URL")


def control_queue(environment: Environment = os.environ) -> str:
    """The address of the queue of what is due later. Raises SettingsError."""
    return _address(environment, "CONTROL_QUEUE_URL")


def management_endpoint(environment: Environment = os.environ) -> str:
    """The @connections address. botocore reads it by itself; asking here makes its absence an error at start."""
    return _address(environment, "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI")


def contexts(environment: Environment = os.environ) -> ContextSettings:
    """Raises SettingsError naming what is missing, or what contradicts another."""
    store = cast("Store", _one_of(environment, "CONTEXT_STORE", ("dynamodb", "redis", "tiered")))
    cluster = _one_of(environment, "REDIS_CLUSTER", ("false", "true")) == "true"
    names = ("REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD")
    url, username, password = (environment.get(name, "") for name in names)
    if store == "dynamodb":
        for name in (*names, *(["REDIS_CLUSTER"] if cluster else [])):
            if environment.get(name):
                raise SettingsError(f"{name} is set, but CONTEXT_STORE is dynamodb: give CONTEXT_STORE redis or tiered")
        return ContextSettings(store, None)
    if username and not password:
        raise SettingsError("REDIS_PASSWORD is not set, but REDIS_USERNAME is")
    tls, host, port = _redis(url or _required(environment, "REDIS_URL"))
    return ContextSettings(store, RedisAddress(host, port, tls, cluster, username, password))


def _redis(url: str) -> tuple[bool, str, int]:
    """Whether by TLS, host and port of an address that holds nothing else: it is logged, and a password is not."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        raise SettingsError("REDIS_URL is not an address") from None
    if "@" in parts.netloc:
        raise SettingsError("REDIS_URL must not hold a password: give REDIS_USERNAME and REDIS_PASSWORD")
    if parts.scheme not in ("redis", "rediss") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError("REDIS_URL must be like rediss://host:6379, with nothing after it")
    return parts.scheme == "rediss", host, port


def _required(environment: Environment, name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _require_all(environment: Environment, names: Sequence[str]) -> None:
    """One error for all that is missing of what belongs together."""
    missing = [name for name in names if not environment.get(name)]
    if missing:
        raise SettingsError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")


def _spelled(environment: Environment, name: str, pattern: re.Pattern[str], what: str) -> str:
    value = _required(environment, name)
    if not pattern.fullmatch(value):
        raise SettingsError(f"{name} must be {what}, not {value!r}")
    return value


def _address(environment: Environment, name: str) -> str:
    """An address as AWS gives them; not secret, and plain http on a laptop."""
    value = _required(environment, name)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(f"{name} must be an https address, not {value!r}")
    return value


def _fifo(environment: Environment, name: str) -> str:
    """A FIFO queue's address: only such a queue keeps one thread's runs in order."""
    value = _address(environment, name)
    if not value.endswith(".fifo"):
        raise SettingsError(f"{name} must be the address of a FIFO queue, which ends in .fifo, not {value!r}")
    return value


def _one_of(environment: Environment, name: str, choices: Sequence[str]) -> str:
    """The variable, or the first choice when it is not set."""
    value = environment.get(name) or choices[0]
    if value not in choices:
        raise SettingsError(f"{name} must be {' or '.join(choices)}, not {value!r}")
    return value


def _require_key_set(text: str) -> None:
    """As far as it can be told without the library that reads keys: some functions load it late."""
    try:
        usable = isinstance(json.loads(text)["keys"], list)
    except (ValueError, TypeError, LookupError):
        usable = False
    if not usable:
        raise SettingsError("JWKS must be a JSON Web Key Set")


def _require_secure(name: str, address: str) -> None:
    """https, or http to loopback: inside Lambda loopback reaches nothing (security.md, Tokens)."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise SettingsError(f"{name} is not an address") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise SettingsError(f"{name} must be an https address (http only for localhost)")
