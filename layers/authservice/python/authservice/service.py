"""Every endpoint of the auth service, with the RFC it follows. Start reading here.

    POST /oauth/token        token exchange (RFC 8693), refresh_token and client_credentials (RFC 6749)
    POST /oauth/revoke       RFC 7009      POST /oauth/introspect   RFC 7662
    POST /oauth/logout       all of a user's tokens and open sockets
    POST /ticket             a single-use ticket that opens a connection in a token's place
    GET  /.well-known/jwks.json, /.well-known/oauth-authorization-server (RFC 8414), /health

Possession of a user's token is enough to use, refresh or revoke it: users' clients are public and have no secret.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from authservice import form_body, tokens
from authservice.errors import (
    ForbiddenClient,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    Unauthorized,
    UnsupportedGrantType,
)
from authservice.grants import CLIENT_CREDENTIALS, REFRESH, TOKEN_EXCHANGE, Grants
from authservice.inputs import Request, Response, Routes, empty_response, json_response, public_response
from authservice.limits import Limits
from authservice.revocations import Revocations
from authservice.service_clients import INTROSPECT, SUBJECT_PREFIX, Client, Clients
from authservice.settings import Issuing
from authservice.storage import Storage
from authservice.table import Table
from authservice.tokens import ACCESS, KeySet, Mint, Token

LOGOUT_SCOPE = "users:logout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The endpoints, with the adapters they need. `now` is in seconds since the epoch."""

    grants: Grants
    clients: Clients
    storage: Storage
    revocations: Revocations
    mint: Mint
    keys: KeySet
    table: Table
    issuing: Issuing
    limits: Limits
    now: Callable[[], float]

    def routes(self) -> Routes:
        """Every path that there is, and its methods."""
        return {
            "/oauth/token": {"POST": self.token},
            "/oauth/revoke": {"POST": self.revoke},
            "/oauth/introspect": {"POST": self.introspect},
            "/oauth/logout": {"POST": self.logout},
            "/ticket": {"POST": self.ticket},
            "/.well-known/jwks.json": {"GET": self.jwks},
            "/.well-known/oauth-authorization-server": {"GET": self.metadata},
            "/health": {"GET": self.health},
        }

    def token(self, request: Request) -> Response:
        """Tokens for a grant. Raises what the grant raises, or UnsupportedGrantType."""
        form = form_body.parse(request, limits=self.limits)
        client = self._client(request)
        grant = form_body.required(form, "grant_type")
        if grant == TOKEN_EXCHANGE:
            return json_response(self.grants.exchange(form))
        if grant == REFRESH:
            return json_response(self.grants.refresh(form))
        if grant == CLIENT_CREDENTIALS:
            return json_response(self.grants.client_credentials(client or self.clients.authenticate(request), form))
        raise UnsupportedGrantType(f"grant_type must be {TOKEN_EXCHANGE}, {REFRESH} or {CLIENT_CREDENTIALS}")

    def revoke(self, request: Request) -> Response:
        """End the family of a refresh or access token, or a service's token by itself (RFC 7009).

        A token that means nothing here is no error. A client need not authenticate, but if it does, it must be right.
        """
        form = form_body.parse(request, limits=self.limits)
        self._client(request)
        token = form_body.required(form, "token")
        found = self.storage.refresh_token(token)
        if found:
            self.revocations.revoke_family(found.family)
            return empty_response(200)
        try:
            checked = self._check(token)
        except InvalidToken:
            return empty_response(200)
        if checked.of_service:
            self.storage.revoke_service_token(checked)
        elif family := self.storage.family(checked.session):
            self.revocations.revoke_family(family)
        return empty_response(200)

    def introspect(self, request: Request) -> Response:
        """Whether a token is in force now (RFC 7662): for clients with that right, and no word on why it is not."""
        if INTROSPECT not in self.clients.authenticate(request).scopes:
            raise ForbiddenClient(f"the client lacks the scope {INTROSPECT}; register it with that")
        text = form_body.required(form_body.parse(request, limits=self.limits), "token")
        try:
            token = self._in_force(text)
        except InvalidToken:
            return json_response({"active": False})
        session = {"sid": token.session} if token.session else {}
        return json_response(
            {
                "active": True,
                "iss": self.issuing.issuer,
                "aud": token.audience,
                "sub": token.subject,
                "client_id": token.client_id,
                "scope": " ".join(sorted(token.scopes)),
                "iat": token.issued_at,
                "exp": token.expires_at,
                "jti": token.token_id,
                "token_type": "Bearer" if token.kind == ACCESS else token.kind,
                **session,
            }
        )

    def logout(self, request: Request) -> Response:
        """Log a user out everywhere: the Bearer of a token oneself, or a service with the scope for it another.

        A token that this very logout killed, before the control queue was notified, may be used once more to finish it.
        """
        subject = form_body.parse(request, limits=self.limits).get("sub", "")
        token = self._bearer(request)
        in_force, user = self.storage.token_status(token)
        if not in_force and not token.of_service and not user.is_logout_notified:
            self.revocations.notify_logout(token.subject, user)
            return empty_response(204)
        if not in_force:
            raise InvalidToken("the token was revoked; sign in again")
        if token.of_service:
            self.revocations.log_out(self._user_to_log_out(token, subject))
            return empty_response(204)
        if subject not in ("", token.subject):
            raise InsufficientScope(LOGOUT_SCOPE)
        self.revocations.log_out(token.subject)
        return empty_response(204)

    def ticket(self, request: Request) -> Response:
        """A ticket for the user of a Bearer token: {"ticket", "expires_in" in seconds}."""
        token = self._bearer(request)
        began = self.now()  # before the read: a logout that it does not see is later than the ticket, and covers it
        in_force, _ = self.storage.token_status(token)
        if not in_force or token.of_service:
            raise InvalidToken("the token was revoked or is a service token; send the access token of a user")
        ticket, expires_in = self.mint.ticket(token, now=began)
        if not expires_in:
            raise InvalidToken("the token is about to expire; refresh it first")
        return json_response({"ticket": ticket, "expires_in": expires_in})

    def jwks(self, _request: Request) -> Response:
        """The keys (RFC 7517), as deployed: no call to anybody."""
        return public_response(self.keys.text, max_age_s=self.limits.jwks_max_age_s)

    def metadata(self, _request: Request) -> Response:
        """RFC 8414."""
        issuer = self.issuing.issuer.rstrip("/")
        document = {
            "issuer": self.issuing.issuer,
            "token_endpoint": f"{issuer}/oauth/token",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "introspection_endpoint": f"{issuer}/oauth/introspect",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "scopes_supported": sorted(self.issuing.scopes | self.issuing.privileged),
            "response_types_supported": [],
            "grant_types_supported": [TOKEN_EXCHANGE, REFRESH, CLIENT_CREDENTIALS],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return public_response(json.dumps(document), max_age_s=self.limits.jwks_max_age_s)

    def health(self, _request: Request) -> Response:
        """Whether the one thing that nothing works without answers, and how fast: status `ok` or `down` (503)."""
        began = self.now()
        status = "ok" if self.table.is_reachable() else "down"
        table = {"status": status, "latency_ms": max(0, round((self.now() - began) * 1000))}
        return json_response(
            {"status": status, "dependencies": {"table": table}}, status=200 if status == "ok" else 503
        )

    def _client(self, request: Request) -> Client | None:
        """Users' clients are public; whoever does send credentials must send good ones. Raises InvalidClient."""
        basic = request.headers.get("authorization", "").lower().startswith("basic")
        return self.clients.authenticate(request) if basic else None

    def _check(self, text: str) -> Token:
        return tokens.check(text, keys=self.keys, issuing=self.issuing, now=self.now(), limits=self.limits)

    def _in_force(self, text: str) -> Token:
        token = self._check(text)
        if not self.storage.token_status(token)[0]:
            raise InvalidToken("the token was revoked; sign in again")
        return token

    def _bearer(self, request: Request) -> Token:
        """The access token of the Authorization header (RFC 6750, section 2.1); a ticket is none."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized
        token = self._check(text.strip())
        if token.kind != ACCESS:
            raise InvalidToken("Authorization must carry an access token, not a ticket")
        return token

    def _user_to_log_out(self, token: Token, subject: str) -> str:
        if LOGOUT_SCOPE not in token.scopes:
            raise InsufficientScope(LOGOUT_SCOPE)
        if not 0 < len(subject.encode()) <= self.limits.max_subject_bytes or subject.startswith(SUBJECT_PREFIX):
            raise InvalidRequest(f"sub must name the user to log out, in 1 to {self.limits.max_subject_bytes} bytes")
        return subject
