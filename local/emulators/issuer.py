"""A small OIDC issuer for one machine: it signs an ID token for whoever asks, so it lets nobody ask from elsewhere.

Inside: two signing keys kept in the state folder, discovery and keys as JSON, and `POST /token`. Kept out: users,
passwords, browsers, and access tokens, for which the auth service exchanges an ID token, here as on AWS. Deployed
code knows it only by what the template's parameters give.

A web page must not get a token out of it: any `Origin` is refused, and so is a `Host` that is not loopback (the second
defeats DNS rebinding); no answer carries a CORS header.
"""

import asyncio
import base64
import hashlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import get_default_algorithms
from yarl import URL

CLIENT_ID = "agentsocket-local"
GROUPS_CLAIM = "groups"
DEFAULT_TTL_S = 300
LONGEST_SUBJECT = 256
MOST_GROUPS = 16
ALGORITHMS = ("RS256", "ES256")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HINT = (
    f'Send {{"sub": "ada"}}: a subject of 1 to {LONGEST_SUBJECT} characters; '
    f'"groups": ["admin"] may stand beside it, at most {MOST_GROUPS} of them.'
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Issuer:
    """Keys, tokens and their HTTP service. `url` is valid after `start`, or as given."""

    def __init__(self, state: Path, *, url: str = "") -> None:
        """Read the keys in the folder `state`, or make them there, readable by this user alone."""
        self.url = url
        self._keys = {algorithm: signing_key(state, algorithm) for algorithm in ALGORITHMS}
        self._public = {algorithm: public_jwk(key.public_key(), algorithm) for algorithm, key in self._keys.items()}
        self._runner: web.AppRunner | None = None

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": list(self._public.values())}

    def id_token(
        self,
        subject: str,
        *,
        ttl_s: int = DEFAULT_TTL_S,
        algorithm: str = "RS256",
        groups: Sequence[str] = (),
        **claims: Any,
    ) -> str:
        """An ID token (OpenID Connect Core 1.0, section 2), valid for `ttl_s` seconds. `claims` replace its own."""
        now = int(time.time())
        usual: dict[str, Any] = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "sub": subject,
            "iat": now,
            "exp": now + ttl_s,
            "jti": uuid.uuid4().hex,
        }
        if groups:
            usual[GROUPS_CLAIM] = list(groups)
        headers = {"typ": "JWT", "kid": self._public[algorithm]["kid"]}
        return jwt.encode(usual | claims, self._keys[algorithm], algorithm=algorithm, headers=headers)

    async def start(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve on a loopback address. Raises OSError when the port is in use."""
        application = web.Application(middlewares=[refuse_strangers], client_max_size=4096)
        application.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._discovery),
                web.get("/.well-known/jwks.json", self._jwks),
                web.post("/token", self._token),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks.json",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": list(ALGORITHMS),
                "scopes_supported": ["openid"],
                "claims_supported": ["iss", "aud", "sub", "iat", "exp", "jti", GROUPS_CLAIM],
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(self.jwks())

    async def _token(self, request: web.Request) -> web.Response:
        # JSON only: a form or plain text is what a web page can send without asking first.
        if request.content_type != "application/json":
            return refusal(415, "Send a JSON object with content-type application/json.")
        asked = wish_of(await request.read())
        if asked is None:
            return refusal(400, HINT)
        token = await asyncio.to_thread(self.id_token, asked.subject, groups=asked.groups)
        answer = {"id_token": token, "expires_in": DEFAULT_TTL_S}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})


@web.middleware
async def refuse_strangers(request: web.Request, handler: Any) -> web.StreamResponse:
    """Let through only what a program on this machine sends to a loopback address."""
    if "Origin" in request.headers:
        return refusal(403, "Web pages get no tokens here.")
    try:
        host = URL(f"http://{request.headers.get('Host', '')}").host
    except ValueError:
        host = None
    if host not in LOOPBACK:
        return refusal(403, "This address serves its own machine only.")
    answer: web.StreamResponse = await handler(request)
    return answer


def refusal(status: int, description: str) -> web.Response:
    return web.json_response({"error": "invalid_request", "error_description": description}, status=status)


@dataclass(frozen=True)
class Wish:
    """Who wants to be in an ID token."""

    subject: str
    groups: tuple[str, ...]


def wish_of(body: bytes) -> Wish | None:
    """What a request asks for; None if it is not in the form that `refusal` tells of."""
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    if not isinstance(asked, dict):
        return None
    subject, groups = asked.get("sub"), asked.get("groups", [])
    is_list = isinstance(groups, list) and len(groups) <= MOST_GROUPS
    if not is_list or not all(is_name(name) for name in [subject, *groups]):
        return None
    return Wish(str(subject), tuple(groups))


def is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SUBJECT


# --- keys


def signing_key(state: Path, algorithm: str) -> PrivateKey:
    """The private key for `algorithm` in the folder `state`, made there at its first use."""
    path = state / f"issuer-{algorithm.lower()}.pem"
    if not path.exists():
        write_once(path, new_key(algorithm).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds a key of another kind")
    return key


def new_key(algorithm: str) -> PrivateKey:
    if algorithm == "RS256":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def write_once(path: Path, content: bytes) -> None:
    """Create `path` whole, or leave the one that another process made meanwhile. Its mode is 0600 from the start."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        path.hardlink_to(name)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink()


def public_jwk(key: PublicKey, algorithm: str) -> dict[str, Any]:
    """A public key as a JWK, named by its thumbprint (RFC 7638)."""
    jwk: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key))
    required = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    digest = hashlib.sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).digest()
    kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return required | {"kid": kid, "alg": algorithm, "use": "sig"}
