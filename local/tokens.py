"""Access tokens signed by a deployed stack's own KMS key, so that tests and event files can have any they like.

The auth service gives out good ones; what it would never sign (an expired one, another audience) has a valid signature
only from here. Whoever may use the key may do this: on AWS that is the auth service alone.
"""

import json
import time
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwt.utils import base64url_encode, der_to_raw_signature

from local.emulators.issuer import public_jwk

AUDIENCE = "agentsocket"
ACCESS_TOKEN_S = 900
ALGORITHM = "ES256"


class AccessTokens:
    """Signs for one deployed stack."""

    def __init__(self, kms: Any, key_id: str, *, issuer: str) -> None:
        """`kms` is a boto3 client of the stack's KMS, `key_id` its signing key, `issuer` the tokens' `iss`."""
        self._kms, self.key_id, self.issuer = kms, key_id, issuer
        key = load_der_public_key(kms.get_public_key(KeyId=key_id)["PublicKey"])
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("the signing key is of another kind")
        self._key, self._jwk = key, public_jwk(key, ALGORITHM)
        self.jwks = {"keys": [self._jwk]}

    def token(self, subject: str, *, ttl_s: int = ACCESS_TOKEN_S, typ: str = "at+jwt", **claims: Any) -> str:
        """An access token (RFC 9068) for `subject`, valid for `ttl_s` seconds.

        `claims` replace its own; one that is None is left out.
        """
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "iat": now,
            "exp": now + ttl_s,
            "jti": uuid.uuid4().hex,
            "sid": uuid.uuid4().hex,
            "client_id": "tests",
            "scope": "chat",
        }
        payload = {name: value for name, value in (usual | claims).items() if value is not None}
        return self.sign({"alg": ALGORITHM, "typ": typ, "kid": self._jwk["kid"]}, payload)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """A JWS of exactly these, in compact form; at most 4 KB, since KMS hashes no more than that itself."""
        parts = [base64url_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims)]
        signing_input = b".".join(parts)
        signed = self._kms.sign(
            KeyId=self.key_id, Message=signing_input, MessageType="RAW", SigningAlgorithm="ECDSA_SHA_256"
        )
        signature = der_to_raw_signature(signed["Signature"], self._key.curve)
        return b".".join([signing_input, base64url_encode(signature)]).decode()
