"""Our own tokens: minting them (KMS signs), and checking those that come back. Revoked ones: `refresh_families.py`.

Three kinds, told apart by header and audience so that none can stand for another: access tokens of users (RFC 9068),
access tokens of services (the audience is this service alone), and connection tickets (a `typ` of their own).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.utils import base64url_encode, der_to_raw_signature

from authservice import aws_calls
from authservice.errors import AuthServiceError, InvalidToken, SettingsError
from authservice.limits import Limits
from authservice.service_clients import SUBJECT_PREFIX
from authservice.settings import Issuing

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ALGORITHM = "ES256"
ACCESS = "at+jwt"  # RFC 9068, section 2.1
TICKET = "ticket+jwt"

_JWS = jwt.PyJWS(algorithms=[ALGORITHM])
_CURVE = ec.SECP256R1()


class WrongKey(AuthServiceError):
    """The signing key is not the first of the published set: nobody could check what it signs."""


@dataclass(frozen=True, slots=True)
class Token:
    """A checked token: times in seconds since the epoch; `session` is empty for a service's."""

    kind: str
    subject: str
    session: str
    client_id: str
    scopes: frozenset[str]
    audience: str
    issued_at: int
    expires_at: int
    token_id: str

    @property
    def of_service(self) -> bool:
        """A client's own token, of nobody's session."""
        return self.subject.startswith(SUBJECT_PREFIX)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token says of its holder."""

    subject: str
    session: str
    client_id: str
    scopes: Collection[str]


class KeySet:
    """The published keys (RFC 7517), given as text; the first one signs. Raises SettingsError when it is none."""

    def __init__(self, text: str) -> None:
        try:
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(json.loads(text)).keys}
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise SettingsError("JWKS is not a JSON Web Key Set") from None
        if None in self._keys or any(key.algorithm_name != ALGORITHM for key in self._keys.values()):
            raise SettingsError("JWKS must hold P-256 keys with a kid")
        self.text = text
        self.signing = next(iter(self._keys.values()))

    def claims(self, token: str) -> tuple[str, Mapping[str, Any]]:
        """`typ` and claims of a token that one of the keys signed. Raises InvalidToken."""
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid")]
            signed = _JWS.decode_complete(token, key, algorithms=[ALGORITHM])
            claims: Mapping[str, Any] = json.loads(signed["payload"])
        except (jwt.PyJWTError, KeyError, ValueError):
            raise InvalidToken("the token is malformed or its signature does not verify") from None
        return signed["header"].get("typ", ""), claims


class Signer:
    """The KMS key that signs: ECC_NIST_P256, never seen outside KMS."""

    def __init__(self, client: KMSClient, key_id: str, *, keys: KeySet) -> None:
        self._client = client
        self._key_id = key_id
        self._keys = keys

    def sign(self, typ: str, claims: Mapping[str, Any]) -> str:
        """A compact JWS (RFC 7515). Raises Unavailable, or WrongKey rather than give out what nobody accepts."""
        header = {"alg": ALGORITHM, "typ": typ, "kid": self._keys.signing.key_id}
        body = b".".join(
            base64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)
        )
        answer = aws_calls.call(
            "KMS",
            self._client.sign,
            KeyId=self._key_id,
            Message=hashlib.sha256(body).digest(),
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        token = b".".join((body, base64url_encode(der_to_raw_signature(answer["Signature"], _CURVE)))).decode()
        try:
            _JWS.decode(token, self._keys.signing, algorithms=[ALGORITHM])
        except jwt.InvalidSignatureError:
            raise WrongKey("SIGNING_KEY is not the first key of JWKS") from None
        return token


class Mint:
    """Tokens of this deployment. `now` is in seconds since the epoch."""

    def __init__(self, signer: Signer, issuing: Issuing, *, limits: Limits) -> None:
        self._signer = signer
        self._issuing = issuing
        self._limits = limits

    def access(self, grant: Grant, *, issued_at: int) -> str:
        """A user's access token. The caller decides its `iat`, since a logout may demand a later one than now."""
        claims = self._claims(grant, self._issuing.audience, issued_at, self._limits.access_token_s)
        return self._signer.sign(ACCESS, {**claims, "sid": grant.session})

    def service(self, client_id: str, scopes: Collection[str], *, now: float) -> str:
        """A service's own token: its audience is this service and nobody else."""
        grant = Grant(SUBJECT_PREFIX + client_id, "", client_id, scopes)
        claims = self._claims(grant, self._issuing.issuer, int(now), self._limits.access_token_s)
        return self._signer.sign(ACCESS, claims)

    def ticket(self, token: Token, *, now: float) -> tuple[str, int]:
        """A connection ticket for the holder of `token`, and for how many seconds it is good.

        It is issued a second ago: a logout at this very moment, by a clock slightly behind, then revokes it too. But
        never before its token, which such a logout may have put into the next second.
        """
        grant = Grant(token.subject, token.session, token.client_id, token.scopes)
        issued_at = max(token.issued_at, int(now) - 1)
        lifetime = min(self._limits.ticket_s, token.expires_at - issued_at)
        claims = self._claims(grant, self._issuing.audience, issued_at, lifetime)
        ticket = self._signer.sign(TICKET, {**claims, "sid": token.session, "access_exp": token.expires_at})
        return ticket, max(0, issued_at + lifetime - int(now))

    def _claims(self, grant: Grant, audience: str, issued_at: int, lifetime_s: int) -> dict[str, Any]:
        return {
            "iss": self._issuing.issuer,
            "aud": audience,
            "sub": grant.subject,
            "iat": issued_at,
            "exp": issued_at + lifetime_s,
            "jti": secrets.token_urlsafe(16),
            "client_id": grant.client_id,
            "scope": " ".join(sorted(grant.scopes)),
        }


def check(token: str, *, keys: KeySet, issuing: Issuing, now: float, limits: Limits) -> Token:
    """A token of ours that is in force at `now`, unless it was revoked. Raises InvalidToken."""
    typ, claims = keys.claims(token)
    try:
        found = _token(typ, claims)
        other_issuer = claims["iss"] != issuing.issuer
    except (KeyError, TypeError, AttributeError):
        raise InvalidToken("the token lacks a claim that tokens of this service have") from None
    if typ not in ((ACCESS,) if found.of_service else (ACCESS, TICKET)):
        raise InvalidToken("the token is of a kind that is not accepted here")
    if other_issuer or found.audience != (issuing.issuer if found.of_service else issuing.audience):
        raise InvalidToken("the token is of another issuer or for another audience")
    if found.expires_at + limits.token_leeway_s <= now or found.issued_at - limits.token_leeway_s > now:
        raise InvalidToken("the token has expired or is not valid yet; refresh it")
    return found


def _token(typ: str, claims: Mapping[str, Any]) -> Token:
    """Raises KeyError, TypeError or AttributeError for claims that we never sign together."""
    return Token(
        kind=typ,
        subject="" + claims["sub"],
        session="" + claims.get("sid", ""),
        client_id="" + claims["client_id"],
        scopes=frozenset(claims["scope"].split()),
        audience="" + claims["aud"],
        issued_at=0 + claims["iat"],
        expires_at=0 + claims["exp"],
        token_id="" + claims["jti"],
    )


def key_id(jwk: Mapping[str, Any]) -> str:
    """The thumbprint of an elliptic-curve key (RFC 7638): the same key has the same kid, wherever it is published."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
