"""Clients, and how they prove who they are: HTTP Basic (RFC 6749, section 2.3.1). Rows hold a secret's hash only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from urllib.parse import unquote_plus

from authservice.errors import InvalidClient, InvalidRequest
from authservice.inputs import Request
from authservice.settings import Introspector
from authservice.table import ABSENT, Item, Operation, Table, put

INTROSPECT = "introspect"  # a right of HTTP Basic, never a scope of a token
SUBJECT_PREFIX = "client:"  # a service token's sub; no user's may begin so

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, appendix A.4


@dataclass(frozen=True, slots=True)
class Client:
    """An authenticated client and what it may do."""

    client_id: str
    scopes: frozenset[str]


class Clients:
    """Registered clients, and the one that the deployment itself brings."""

    def __init__(self, table: Table, *, built_in: Introspector) -> None:
        self._table = table
        self._built_in = built_in

    def authenticate(self, request: Request) -> Client:
        """Who sends HTTP Basic credentials. Raises InvalidClient, which never says what was wrong with them."""
        client_id, secret = credentials(request)
        known = self._built_in
        if known.client_id and client_id == known.client_id:
            client, expected = Client(client_id, frozenset({INTROSPECT})), digest(known.secret)
        else:
            client, expected = self._registered(client_id)
        if not hmac.compare_digest(digest(secret), expected):
            raise InvalidClient("the client is unknown or its secret is wrong")
        return client

    def _registered(self, client_id: str) -> tuple[Client, str]:
        """An unknown client has a secret too, which nobody knows: both cases take the same time."""
        row = self._table.get(key(client_id))[0] if _ID.fullmatch(client_id) else None
        if row is None:
            return Client(client_id, frozenset()), digest(secrets.token_urlsafe())
        return Client(client_id, frozenset(row["scopes"].split())), row["secret_sha256"]


def credentials(request: Request) -> tuple[str, str]:
    """Id and secret of HTTP Basic, both form-encoded within it as the RFC demands. Raises InvalidClient."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise InvalidClient("client authentication is missing; send id and secret by HTTP Basic")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        client_id, colon, secret = text.partition(":")
        decoded = unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except ValueError:
        raise InvalidClient("the Basic credentials must be base64 of id:secret, both form-encoded") from None
    if not colon:
        raise InvalidClient("the Basic credentials must be base64 of id:secret, both form-encoded")
    return decoded


def registration(client_id: str, scopes: str, *, replace: bool) -> tuple[Operation, str]:
    """The write that makes a client, and its new secret, which is kept nowhere. Raises InvalidRequest.

    Without `replace` the write fails when the client exists.
    """
    if not _ID.fullmatch(client_id):
        raise InvalidRequest("client id must be 1 to 64 characters of A-Z a-z 0-9 _ . -")
    if not scopes.split() or not all(_SCOPE.fullmatch(scope) for scope in scopes.split()):
        raise InvalidRequest("scope must be one or more words separated by spaces")
    secret = secrets.token_urlsafe(32)
    row: Item = {"PK": key(client_id), "secret_sha256": digest(secret), "scopes": " ".join(scopes.split())}
    return put(row, when=None if replace else ABSENT), secret


def key(client_id: str) -> str:
    """A client's row."""
    return f"CLIENT#{client_id}"


def digest(secret: str) -> str:
    """What is stored of a secret. Its 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
