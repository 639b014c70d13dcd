"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs, and a test holds their names against the template.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from msgspec import Struct

from agentsocket.errors import SettingsError
from agentsocket.limits import Limits
from lambdakit.settings import Variables

if TYPE_CHECKING:
    from agentsocket.auth.introspection import Demand
    from agentsocket.contexts.contract import Store

Environment = Mapping[str, str]
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_GENERATION = re.compile(r"[A-Za-z0-9]{1,16}")  # no dot: it is the first part of an epoch


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
    given = _variables(environment)
    jwks, jwks_url = given.optional("JWKS"), given.optional("JWKS_URL")
    if not jwks and not jwks_url:
        raise SettingsError("neither JWKS nor JWKS_URL is set; give the key set itself, its address, or both")
    if jwks:
        _require_key_set(jwks)
    if jwks_url:
        given.secure("JWKS_URL")
    given.require_all(("ISSUER", "AUDIENCE"))
    return Trust(given.secure("ISSUER"), environment["AUDIENCE"], jwks, jwks_url)


def origins(environment: Environment = os.environ) -> frozenset[str]:
    """The web origins that may ask: none by default. Raises SettingsError."""
    return _variables(environment).origins("ALLOWED_ORIGINS")


def token_in_query(environment: Environment = os.environ) -> bool:
    """Whether an access token may come as `?token=`, which ends up in logs: not by default. Raises SettingsError."""
    return _variables(environment).one_of("TOKEN_IN_QUERY", ("false", "true")) == "true"


def introspection(environment: Environment = os.environ) -> Introspection:
    """Raises SettingsError naming what is missing where tokens are to be asked about."""
    given = _variables(environment)
    demand = cast("Demand", given.one_of("INTROSPECTION", ("none", "privileged", "all")))
    privileged = frozenset(given.optional("PRIVILEGED_SCOPES").split())
    names = ("INTROSPECTION_URL", "INTROSPECTION_CLIENT", "INTROSPECTION_SECRET")
    url, client, secret = map(given.optional, names)
    if demand != "none":
        given.require_all(names)
        given.secure("INTROSPECTION_URL")
    return Introspection(demand, privileged, url, client, secret)


def table(environment: Environment = os.environ) -> str:
    """The table's name. Raises SettingsError."""
    return _variables(environment).table("TABLE_NAME")


def tenant_role(environment: Environment = os.environ) -> str:
    """The role to assume for each user; empty where the function's own reaches the table. Raises SettingsError."""
    role = environment.get("TENANT_ROLE", "")
    if role and not _ROLE.fullmatch(role):
        raise SettingsError(f"TENANT_ROLE must be the ARN of an IAM role or empty, not {role!r}")
    return role


def generation(environment: Environment = os.environ) -> str:
    """The part of every epoch that the operator changes after restoring the table. Raises SettingsError."""
    return _variables(environment).spelled("GENERATION", _GENERATION, "1 to 16 letters and digits")


def run_queue(environment: Environment = os.environ) -> str:
    """The address of the queue that accepted runs go through. Raises SettingsError."""
    return _variables(environment).queue("QUEUE_URL", fifo=True)


def dead_letter_queue(environment: Environment = os.environ) -> str:
    """The address of the queue for runs that failed for good. Raises SettingsError."""
    return _variables(environment).queue("DEAD_LETTER_QUEUE_URL", fifo=True)


def control_queue(environment: Environment = os.environ) -> str:
    """The address of the queue of what is due later. Raises SettingsError."""
    return _variables(environment).queue("CONTROL_QUEUE_URL")


def management_endpoint(environment: Environment = os.environ) -> str:
    """The @connections address. botocore reads it by itself; asking here makes its absence an error at start."""
    return _variables(environment).address("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI")


def contexts(environment: Environment = os.environ) -> ContextSettings:
    """Raises SettingsError naming what is missing, or what contradicts another."""
    given = _variables(environment)
    store = cast("Store", given.one_of("CONTEXT_STORE", ("dynamodb", "redis", "tiered")))
    cluster = given.one_of("REDIS_CLUSTER", ("false", "true")) == "true"
    names = ("REDIS_URL", "REDIS_USERNAME", "REDIS_PASSWORD")
    _, username, password = map(given.optional, names)
    if store == "dynamodb":
        for name in (*names, *(["REDIS_CLUSTER"] if cluster else [])):
            if given.optional(name):
                raise SettingsError(f"{name} is set, but CONTEXT_STORE is dynamodb: give CONTEXT_STORE redis or tiered")
        return ContextSettings(store, None)
    if username and not password:
        raise SettingsError("REDIS_PASSWORD is not set, but REDIS_USERNAME is; give both, or neither")
    tls, host, port = _redis(given.required("REDIS_URL", "an address like rediss://host:6379"))
    return ContextSettings(store, RedisAddress(host, port, tls, cluster, username, password))


def _variables(environment: Environment) -> Variables:
    return Variables(environment, error=SettingsError)


def _redis(url: str) -> tuple[bool, str, int]:
    """Whether by TLS, host and port of an address that holds nothing else: it is logged, and a password is not."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 6379
    except ValueError:
        raise SettingsError("REDIS_URL is not an address; give one like rediss://host:6379") from None
    if "@" in parts.netloc:
        raise SettingsError("REDIS_URL must not hold a password: give REDIS_USERNAME and REDIS_PASSWORD")
    if parts.scheme not in ("redis", "rediss") or not host or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError("REDIS_URL must be like rediss://host:6379, with nothing after it")
    return parts.scheme == "rediss", host, port


def _require_key_set(text: str) -> None:
    """As far as it can be told without the library that reads keys: some functions load it late."""
    try:
        usable = isinstance(json.loads(text)["keys"], list)
    except (ValueError, TypeError, LookupError):
        usable = False
    if not usable:
        raise SettingsError("JWKS must be a JSON Web Key Set: a JSON object with a list `keys`")
