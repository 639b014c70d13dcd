"""The adapters, made from the settings, and the only `boto3.Session`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from authservice import settings
from authservice.limits import Limits

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from authservice.service import Service
    from authservice.table import Table


Clock = Callable[[], float]


@functools.cache
def limits() -> Limits:
    """The numbers of this deployment."""
    return settings.limits()


@functools.cache
def origins() -> frozenset[str]:
    """The web origins that may read responses."""
    return settings.origins()


def service(*, now: Clock = time.time) -> Service:
    """The endpoints, on this deployment's table, key, queue and identity issuer: made once, by the function."""
    from authservice.grants import Grants
    from authservice.id_tokens import IssuerKeys
    from authservice.revocations import ControlQueue, Revocations
    from authservice.service import Service
    from authservice.service_clients import Clients
    from authservice.storage import Storage
    from authservice.tokens import KeySet, Mint, Signer

    issuing, identity = settings.issuing(), settings.identity()
    auth_table, keys = table(settings.table(), now=now), KeySet(settings.jwks())
    signer = Signer(_session().client("kms", config=_config()), settings.signing_key(), keys=keys)
    mint = Mint(signer, issuing, limits=limits())
    storage = Storage(auth_table, issuer=issuing.issuer, limits=limits())
    sqs = _session().client("sqs", config=_config())
    revocations = Revocations(storage, ControlQueue(sqs, queue=settings.control_queue(), issuer=issuing.issuer))
    grants = Grants(
        mint=mint,
        storage=storage,
        revocations=revocations,
        id_token_keys=IssuerKeys(identity.jwks_url, limits=limits()),
        issuing=issuing,
        identity=identity,
        limits=limits(),
        now=now,
    )
    return Service(
        grants=grants,
        clients=Clients(auth_table, built_in=settings.introspector()),
        storage=storage,
        revocations=revocations,
        mint=mint,
        keys=keys,
        table=auth_table,
        issuing=issuing,
        limits=limits(),
        now=now,
    )


def table(name: str, *, now: Clock = time.time) -> Table:
    """An auth table by its name."""
    from authservice.table import Table

    return Table(_session().client("dynamodb", config=_config()), name, now=now)


def publish(event: Mapping[str, Any]) -> dict[str, str]:
    """The published key set. Settings are read here and not at the start: an error of theirs must be reported, too."""
    from authservice import key_set

    kms, s3 = _session().client("kms", config=_config()), _session().client("s3", config=_config())
    return key_set.publish(event, kms=kms, s3=s3, bucket=settings.bucket())


@functools.cache
def _session() -> boto3.Session:
    import boto3

    return boto3.Session()


def _config() -> Config:
    """Explicit time-outs: a client waits for the answer."""
    from botocore.config import Config

    return Config(connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 3})
