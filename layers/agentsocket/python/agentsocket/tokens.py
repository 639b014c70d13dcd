"""Access tokens: from the text of a JWT to a `Principal`, or a reason why not (RFC 9068, RFC 8725, security.md).

Pure but for the keys, which are handed in; `now` is an argument. Each claim has its own short check. Every failure is
`TokenRejected`, whatever the input; its text is for the log and quotes nothing of the token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import jwt

from agentsocket import principal, strictjson
from agentsocket.errors import TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import Principal

ALGORITHMS = frozenset({"RS256", "ES256", "EdDSA"})
TYPES = frozenset({"at+jwt", "application/at+jwt"})
_MAX_NESTING = 8

Claims = dict[str, Any]
KeyFinder = Callable[[str | None], jwt.PyJWK]


def verify(token: str, *, keys: KeyFinder, issuer: str, audience: str, now: float, limits: Limits) -> Principal:
    """Check signature and claims of an access token at `now` (seconds since the epoch). Raises TokenRejected."""
    claims = _signed_claims(token, keys, limits)
    _check_issuer(claims, issuer)
    _check_audience(claims, audience)
    _check_subject(claims, limits)
    _check_times(claims, now, limits.token_leeway_s)
    _check_texts(claims)
    return principal.of_claims(claims)


def _signed_claims(token: str, keys: KeyFinder, limits: Limits) -> Claims:
    if len(token) > limits.max_token_bytes or not token.isascii() or token.count(".") != 2:
        raise TokenRejected("not a compact JWT of acceptable size")
    header = _header(token)
    key = keys(_kid(header))
    if header["alg"] != key.algorithm_name:
        raise TokenRejected("the token's algorithm is not its key's")
    try:
        payload: bytes = jwt.PyJWS(algorithms=[header["alg"]]).decode(token, key, algorithms=[header["alg"]])
    except (jwt.PyJWTError, ValueError):
        raise TokenRejected("the signature does not verify") from None
    return _json_object(payload, "claims")


def _header(token: str) -> Claims:
    segment = token.partition(".")[0]
    try:
        header = _json_object(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)), "header")
    except binascii.Error:
        raise TokenRejected("the header is not base64url") from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRejected("the algorithm is not allowed")
    typ = header.get("typ")
    if not isinstance(typ, str) or typ.lower() not in TYPES:
        raise TokenRejected("not an access token: typ must be at+jwt")
    if "crit" in header or "zip" in header:
        raise TokenRejected("the header demands an extension")
    return header


def _kid(header: Claims) -> str | None:
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise TokenRejected("kid is not a string")
    return kid


def _json_object(raw: bytes, what: str) -> Claims:
    try:
        value = strictjson.loads(raw.decode(), max_nesting=_MAX_NESTING)
    except ValueError:
        raise TokenRejected(f"the {what} are not strict JSON") from None
    if not isinstance(value, dict):
        raise TokenRejected(f"the {what} are not an object")
    return value


def _check_issuer(claims: Claims, issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise TokenRejected("another issuer's token")


def _check_audience(claims: Claims, audience: str) -> None:
    claimed = claims.get("aud")
    if claimed != audience and not (isinstance(claimed, list) and audience in claimed):
        raise TokenRejected("a token for another audience")


def _check_subject(claims: Claims, limits: Limits) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject.encode()) <= limits.max_subject_bytes:
        raise TokenRejected("sub must be 1 to 255 bytes of text")


def _check_times(claims: Claims, now: float, leeway: int) -> None:
    issued, expires, not_before = claims.get("iat"), claims.get("exp"), claims.get("nbf", 0)
    if type(issued) is not int or type(expires) is not int or type(not_before) is not int or issued < 0:
        raise TokenRejected("iat, exp and nbf must be whole seconds")
    if expires + leeway <= now:
        raise TokenRejected("expired")
    if issued - leeway > now or not_before - leeway > now:
        raise TokenRejected("not valid yet")


def _check_texts(claims: Claims) -> None:
    for name in ("sid", "scope"):
        if not isinstance(claims.get(name, ""), str):
            raise TokenRejected(f"{name} is not a string")
