"""The environment, read once and checked at start. The only file that touches `os.environ`.

One small reader per concern; a function calls those it needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from authservice.errors import SettingsError
from authservice.limits import Limits
from lambdakit.settings import Variables

Environment = Mapping[str, str]


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
    given = _variables(environment)
    issuer = given.secure("ISSUER")
    scopes = frozenset(given.required("SCOPES", "the scopes of every user, separated by spaces").split())
    privileged = frozenset(given.optional("PRIVILEGED_SCOPES").split())
    audience = given.required("AUDIENCE", "the aud of users' access tokens")
    if audience == issuer:
        raise SettingsError("AUDIENCE must not be ISSUER: that is the audience of service tokens, which no user has")
    return Issuing(issuer, audience, scopes, privileged, given.optional("GROUPS_CLAIM"))


def identity(environment: Environment = os.environ) -> Identity:
    """Raises SettingsError naming what is missing."""
    given = _variables(environment)
    return Identity(
        given.secure("IDENTITY_ISSUER"),
        given.required("IDENTITY_CLIENT_ID", "the aud of the ID tokens"),
        given.secure("IDENTITY_JWKS_URL"),
    )


def introspector(environment: Environment = os.environ) -> Introspector:
    """Raises SettingsError when only half of it is given."""
    given = _variables(environment)
    found = Introspector(given.optional("INTROSPECTION_CLIENT"), given.optional("INTROSPECTION_SECRET"))
    if bool(found.client_id) != bool(found.secret):
        raise SettingsError("give both INTROSPECTION_CLIENT and INTROSPECTION_SECRET, or neither")
    return found


def origins(environment: Environment = os.environ) -> frozenset[str]:
    """The web origins that may read answers. Raises SettingsError for `*` and `null`, which would be everybody."""
    return _variables(environment).origins("ALLOWED_ORIGINS")


def table(environment: Environment = os.environ) -> str:
    """The auth table's name. Raises SettingsError."""
    return _variables(environment).table("TABLE_NAME")


def control_queue(environment: Environment = os.environ) -> str:
    """The address of the queue that revocations go to. Raises SettingsError."""
    return _variables(environment).queue("CONTROL_QUEUE_URL")


def signing_key(environment: Environment = os.environ) -> str:
    """The KMS key that signs. Raises SettingsError."""
    return _variables(environment).required("SIGNING_KEY", "the id of a KMS key")


def jwks(environment: Environment = os.environ) -> str:
    """The published key set as text, its first key being the signing one. Raises SettingsError."""
    return _variables(environment).required("JWKS", "the public keys as a JSON Web Key Set")


def bucket(environment: Environment = os.environ) -> str:
    """Where the key set is published. Raises SettingsError."""
    return _variables(environment).required("BUCKET", "the name of an S3 bucket")


def _variables(environment: Environment) -> Variables:
    return Variables(environment, error=SettingsError)
