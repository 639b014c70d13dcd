"""The three grants of the token endpoint: from a form to a response (RFC 6749, section 5.1; RFC 8693, section 2.2.1).

Each signs before it writes: when the key does not answer, nothing has happened yet and the same request may come again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from authservice import form_body, id_tokens, refresh_families
from authservice.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    UnauthorizedClient,
)
from authservice.form_body import Form
from authservice.id_tokens import IdToken
from authservice.limits import Limits
from authservice.refresh_families import Family, RefreshToken
from authservice.revocations import Revocations
from authservice.service_clients import INTROSPECT, Client
from authservice.settings import Identity, Issuing
from authservice.storage import Storage, new_secret
from authservice.tokens import Grant, Mint

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 (a name of RFC 8693)
REFRESH = "refresh_token"
CLIENT_CREDENTIALS = "client_credentials"
_TYPE = "urn:ietf:params:oauth:token-type:"

Clock = Callable[[], float]
TokenResponse = Mapping[str, Any]


class Grants:
    """What a client may be given, and for what."""

    def __init__(
        self,
        *,
        mint: Mint,
        storage: Storage,
        revocations: Revocations,
        id_token_keys: id_tokens.KeyFinder,
        issuing: Issuing,
        identity: Identity,
        limits: Limits,
        now: Clock,
    ) -> None:
        self._mint = mint
        self._storage = storage
        self._revocations = revocations
        self._id_token_keys = id_token_keys
        self._issuing = issuing
        self._identity = identity
        self._limits = limits
        self._now = now

    # An ID token for the first tokens of a new family.

    def exchange(self, form: Form) -> TokenResponse:
        """RFC 8693 for ID tokens. Raises InvalidRequest, InvalidGrant, InvalidScope, InvalidTarget, InvalidClient."""
        self._check_exchange(form)
        id_token = id_tokens.verify(
            form_body.required(form, "subject_token"),
            keys=self._id_token_keys,
            identity=self._identity,
            now=self._now(),
            limits=self._limits,
        )
        groups = id_tokens.groups(id_token.claims, self._issuing.groups_claim)
        granted = _requested_scopes(self._issuing.scopes | (groups & self._issuing.privileged), form)
        issued = self._storage.retry_conflicts(lambda: self._start_family(id_token, granted))
        return {**issued, "issued_token_type": _TYPE + "access_token"}

    def _check_exchange(self, form: Form) -> None:
        if form_body.required(form, "subject_token_type") != _TYPE + "id_token":
            raise InvalidRequest(f"subject_token_type must be {_TYPE}id_token")
        if form.get("requested_token_type", _TYPE + "access_token") != _TYPE + "access_token":
            raise InvalidRequest(f"requested_token_type must be {_TYPE}access_token")
        if "actor_token" in form or "actor_token_type" in form:
            raise InvalidRequest("actor_token is not supported; leave it out")
        if form.get("audience", self._issuing.audience) != self._issuing.audience or "resource" in form:
            raise InvalidTarget(
                "audience must be that of this deployment and resource is not supported; leave both out"
            )
        if form.get("client_id", self._identity.client_id) != self._identity.client_id:
            raise InvalidClient("client_id is not the client of this deployment")

    def _start_family(self, id_token: IdToken, scopes: frozenset[str]) -> TokenResponse:
        used, user = self._storage.exchange_status(id_token.subject, id_token.digest)
        if used:
            raise InvalidGrant("the ID token was exchanged before; sign in again")
        started = refresh_families.issue_time(user, self._now())
        sid = secrets.token_urlsafe(16)
        family = Family(sid, id_token.subject, self._identity.client_id, scopes, started, revoked=False, notified=False)
        access, secret = self._access_token(family, scopes, started), new_secret()
        self._storage.start_family(family, user, secret, id_token=id_token.digest)
        return self._token_response(access, scopes, started, refresh_token=secret)

    # A refresh token for the next.

    def refresh(self, form: Form) -> TokenResponse:
        """RFC 6749, section 6, with rotation. Raises InvalidGrant whatever the reason, InvalidRequest, InvalidScope."""
        token = form_body.required(form, "refresh_token")
        return self._storage.retry_conflicts(lambda: self._rotate(token, form))

    def _rotate(self, token: str, form: Form) -> TokenResponse:
        used = self._storage.refresh_token(token)
        if used is None or form.get("client_id", used.family.client_id) != used.family.client_id:
            raise _invalid_refresh_token()
        self._require_alive(used)
        scopes = _requested_scopes(used.family.scopes, form)
        issued_at, secret = refresh_families.issue_time(used.user, self._now()), new_secret()
        access = self._access_token(used.family, scopes, issued_at)
        self._storage.rotate(used, secret, issued_at=issued_at)
        return self._token_response(access, scopes, issued_at, refresh_token=secret)

    def _require_alive(self, used: RefreshToken) -> None:
        """The family is in force and the token may be used. One that comes back too late ends its family."""
        if refresh_families.is_revoked(used.family, used.user):
            self._revocations.complete(used.family, used.user)
            raise _invalid_refresh_token()
        now, limits = self._now(), self._limits
        if refresh_families.classify_use(used.used_ms, used.successor_used, now=now, limits=limits) == "theft":
            self._revocations.revoke_family(used.family)
            raise _invalid_refresh_token()

    # A client's own token.

    def client_credentials(self, client: Client, form: Form) -> TokenResponse:
        """RFC 6749, section 4.4: a token for this service itself. Raises InvalidScope, UnauthorizedClient."""
        grantable = client.scopes - {INTROSPECT}
        if not grantable:
            raise UnauthorizedClient("the client has no scope that a token can carry; register it with one")
        scopes, now = _requested_scopes(grantable, form), self._now()
        return self._token_response(self._mint.service(client.client_id, scopes, now=now), scopes, int(now))

    def _access_token(self, family: Family, scopes: frozenset[str], issued_at: int) -> str:
        return self._mint.access(Grant(family.subject, family.sid, family.client_id, scopes), issued_at=issued_at)

    def _token_response(self, access: str, scopes: frozenset[str], issued_at: int, **more: str) -> TokenResponse:
        expires_in = issued_at + self._limits.access_token_s - int(self._now())
        scope = " ".join(sorted(scopes))
        return {"access_token": access, "token_type": "Bearer", "expires_in": expires_in, "scope": scope, **more}


def _requested_scopes(granted: frozenset[str], form: Form) -> frozenset[str]:
    """The scope that was asked for, or all that is granted (RFC 6749, section 3.3). Raises InvalidScope."""
    wanted = frozenset(form["scope"].split()) if "scope" in form else granted
    if not wanted or not wanted <= granted:
        raise InvalidScope("scope goes beyond what is granted; ask for less or leave it out")
    return wanted


def _invalid_refresh_token() -> InvalidGrant:
    """The one thing said of a refresh token that is not accepted, whatever the reason."""
    return InvalidGrant("the refresh token is not valid; sign in again")
