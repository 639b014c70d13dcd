"""Keys of an issuer and of a stranger, and tokens signed with either: good ones, and any that can be written down."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from agentsocket.auth.jwks import Keys
from agentsocket.limits import Limits

LIMITS = Limits()
ISSUER = "https://issuer.example"
AUDIENCE = "agentsocket"
NOW = 1_800_000_000

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_NAMES = {"RS256": rsa.RSAPrivateKey, "ES256": ec.EllipticCurvePrivateKey, "EdDSA": ed25519.Ed25519PrivateKey}

CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "ada",
    "iat": NOW - 10,
    "exp": NOW + 890,
    "jti": "1",
    "sid": "s",
    "client_id": "web",
    "scope": "chat",
}
TICKET: dict[str, Any] = {**CLAIMS, "jti": "ticket-1", "exp": NOW + 50, "access_exp": NOW + 700}
HEADER = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}
TICKET_HEADER = {**HEADER, "typ": "ticket+jwt"}


def public_jwk(key: Any, kid: str) -> dict[str, Any]:
    """The key's public half as a JWK (RFC 7517)."""
    name = next(name for name, kind in _NAMES.items() if isinstance(key, kind))
    jwk: dict[str, Any] = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": kid, "use": "sig"}


JWKS = {"keys": [public_jwk(RSA, "rsa"), public_jwk(EC, "ec"), public_jwk(ED, "ed")]}
KEYS = Keys(json.dumps(JWKS), "", limits=LIMITS)


def segment(value: Any) -> str:
    """One part of a token: bytes as they are, anything else as JSON."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signature(signed: str, key: Any = RSA, alg: str = "RS256") -> bytes:
    """What signs these two parts."""
    return jwt.get_algorithm_by_name(alg).sign(signed.encode(), key)


def signed(header: Any, payload: Any, key: Any = RSA, alg: str = "RS256") -> str:
    """A token with any header and any payload, signed as `alg` whatever they say."""
    body = f"{segment(header)}.{segment(payload)}"
    return f"{body}.{segment(signature(body, key, alg))}"


def token(claims: Any = None, *, key: Any = RSA, alg: str = "RS256", **header: Any) -> str:
    """An access token, valid unless told otherwise; a header of None is left out."""
    kid = {"RS256": "rsa", "ES256": "ec", "EdDSA": "ed"}.get(alg)
    whole = {**HEADER, "alg": alg, "kid": kid, **header}
    whole = {name: value for name, value in whole.items() if value is not None}
    return signed(whole, CLAIMS if claims is None else claims, key, alg)
