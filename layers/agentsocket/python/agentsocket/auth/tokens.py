"""Signed tokens: from the text of a JWT to a `Principal`, or a reason why not (RFC 9068, RFC 8725, security.md).

Two kinds, told apart by `typ` and never exchangeable: access tokens, and the tickets that open one connection. Pure but
for the keys, which are handed in; `now` is an argument. Each claim has its own short check. Every failure is
`TokenRejected`, whatever the input; its text is for the log and quotes nothing of the token.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import jwt

from agentsocket import principal
from agentsocket.errors import TokenRejected
from agentsocket.limits import MINUTE_S, Limits
from agentsocket.principal import Principal
from agentsocket.protocol import strict_json

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
SERVICE_SUBJECTS = "client:"  # security.md, Exchange and refresh: what a service's own token is for is not a user's
_ACCESS = frozenset({"at+jwt", "application/at+jwt"})
_TICKET = frozenset({"ticket+jwt", "application/ticket+jwt"})
_TICKET_LIFETIME_S = MINUTE_S
_MAX_NESTING = 8
# base64url without padding (RFC 7515, section 2). Decoders disagree about anything else, so nothing else passes.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
# Extensions that change what the payload means (RFC 7515, 7516, 7519, 7797): none is understood here.
_EXTENSIONS = frozenset({"crit", "zip", "b64", "cty"})
_SCOPE = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")  # RFC 6749, section 3.3
_TICKET_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_JWS = jwt.PyJWS(algorithms=sorted(ALGORITHMS))

Claims = dict[str, Any]
KeyFinder = Callable[[str | None], jwt.PyJWK]


def verify(token: str, *, keys: KeyFinder, issuer: str, audience: str, now: float, limits: Limits) -> Principal:
    """The principal of an access token at `now` (seconds since the epoch). Raises TokenRejected.

    Of the token alone: whether it has been revoked is not known here. What `keys` raises goes through.
    """
    claims = _signed_claims(token, _ACCESS, keys, limits)
    _check_identity(claims, issuer, audience, limits)
    _check_times(claims, now, limits.max_token_lifetime_s, limits.token_leeway_s)
    return principal.of_claims(claims)


def verify_ticket(token: str, *, keys: KeyFinder, issuer: str, audience: str, now: float, limits: Limits) -> Principal:
    """The principal of a connection ticket at `now`, with the id that is still to be spent. Raises TokenRejected.

    A ticket lives a minute; the connection it opens ends with the access token it was made from (`access_exp`).
    """
    claims = _signed_claims(token, _TICKET, keys, limits)
    _check_identity(claims, issuer, audience, limits)
    _check_times(claims, now, _TICKET_LIFETIME_S, limits.token_leeway_s)
    _check_times({**claims, "exp": claims.get("access_exp")}, now, limits.max_token_lifetime_s, limits.token_leeway_s)
    _check_ticket_id(claims)
    return principal.of_ticket(claims)


def _signed_claims(token: str, types: frozenset[str], keys: KeyFinder, limits: Limits) -> Claims:
    if len(token) > limits.max_token_bytes or not _COMPACT.fullmatch(token):
        raise TokenRejected("the token is no compact JWS, or longer than max_token_bytes")
    header = _header(token, types)
    key = keys(_kid(header))
    if header["alg"] != key.algorithm_name:
        raise TokenRejected("the token's algorithm is not its key's")
    try:
        payload: bytes = _JWS.decode(token, key, algorithms=[header["alg"]])
    except (jwt.PyJWTError, ValueError):
        raise TokenRejected("the signature does not verify") from None
    return _json_object(payload, "claims")


def _header(token: str, types: frozenset[str]) -> Claims:
    segment = token.partition(".")[0]
    try:
        header = _json_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), "header")
    except binascii.Error:
        raise TokenRejected("the header is not base64url") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRejected("alg must be RS256, ES256 or EdDSA")
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower() not in types:
        raise TokenRejected("typ names another kind of token")
    if not _EXTENSIONS.isdisjoint(header):
        raise TokenRejected("the header demands an extension")
    return header


def _kid(header: Claims) -> str | None:
    """The name of the key. Keys that the header brings along (jwk, jku, x5u, x5c) are never looked at."""
    if "kid" not in header:
        return None
    if not isinstance(header["kid"], str):
        raise TokenRejected("kid must be text")
    return str(header["kid"])


def _json_object(raw: bytes, what: str) -> Claims:
    try:
        value = strict_json.loads(raw.decode(), max_nesting=_MAX_NESTING)
    except ValueError:
        raise TokenRejected(f"the {what} must be strict JSON") from None
    if not isinstance(value, dict):
        raise TokenRejected(f"the {what} must be a JSON object")
    return value


def _check_identity(claims: Claims, issuer: str, audience: str, limits: Limits) -> None:
    _check_issuer(claims, issuer)
    _check_audience(claims, audience)
    _check_subject(claims, limits)
    _check_session(claims, limits)
    _check_scope(claims)


def _check_issuer(claims: Claims, issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise TokenRejected("iss is not the issuer that this deployment trusts")


def _check_audience(claims: Claims, audience: str) -> None:
    claimed = claims.get("aud")
    several = claimed if isinstance(claimed, list) else [claimed]
    if audience not in several or not all(isinstance(one, str) for one in several):
        raise TokenRejected("aud does not name this deployment's audience")


def _check_subject(claims: Claims, limits: Limits) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject.encode()) <= limits.max_subject_bytes:
        raise TokenRejected("sub must be 1 to 255 bytes of text")
    if subject.startswith(SERVICE_SUBJECTS):
        raise TokenRejected("the token is a service's, not a user's")


def _check_session(claims: Claims, limits: Limits) -> None:
    session = claims.get("sid", "")
    if not isinstance(session, str) or len(session.encode()) > limits.max_subject_bytes:
        raise TokenRejected("sid must be at most 255 bytes of text")


def _check_scope(claims: Claims) -> None:
    scope = claims.get("scope", "")
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise TokenRejected("scope must be names with spaces between them")


def _check_times(claims: Claims, now: float, lifetime: int, leeway: int) -> None:
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if type(issued) is not int or type(expires) is not int or type(not_before) is not int or issued < 0:
        raise TokenRejected("iat, exp and nbf must be whole seconds")
    if expires <= issued:
        raise TokenRejected("exp must be later than iat")
    if expires + leeway <= now:
        raise TokenRejected("the token has expired")
    if issued - leeway > now or not_before - leeway > now:
        raise TokenRejected("the token is not valid yet")
    if expires - issued > lifetime:
        raise TokenRejected("exp is further after iat than such a token may live")


def _check_ticket_id(claims: Claims) -> None:
    ticket = claims.get("jti")
    if not isinstance(ticket, str) or not _TICKET_ID.fullmatch(ticket):
        raise TokenRejected("jti must be 1 to 128 characters of A-Z a-z 0-9 _ . -")
