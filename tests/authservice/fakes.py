"""Little programs that stand where KMS and the identity issuer stand: real keys, real HTTP, no mocks."""

from __future__ import annotations

import base64
import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
CLIENT_ID = "app"


class Server:
    """A small HTTP server on a loopback port, for as long as the `with` block."""

    def __init__(self) -> None:
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(b"")

            def do_POST(self) -> None:
                self._reply(self.rfile.read(int(self.headers["Content-Length"])))

            def do_PUT(self) -> None:
                self.do_POST()

            def _reply(self, body: bytes) -> None:
                server.requests += 1
                status, headers, content = server.answer(self.command, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def answer(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class KeyService(Server):
    """KMS over HTTP (JSON 1.1): keys by id, `Sign` over a digest and `GetPublicKey`. `status` other than 200 fails."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, Key] = {"signing-key": ec.generate_private_key(ec.SECP256R1())}
        self.status = 200
        self.error = "KMSInternalException"
        self.calls: list[str] = []

    def answer(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        operation = headers["X-Amz-Target"].partition(".")[2]
        self.calls.append(operation)
        asked = json.loads(body)
        if self.status != 200:
            return self.status, {}, json.dumps({"__type": self.error}).encode()
        if asked["KeyId"] not in self.keys:
            return 400, {}, json.dumps({"__type": "NotFoundException", "message": "no such key"}).encode()
        known = self.keys[asked["KeyId"]]
        said = {"PublicKey": spki(known)} if operation == "GetPublicKey" else {"Signature": signature(known, asked)}
        encoded = {name: base64.b64encode(value).decode() for name, value in said.items()}
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(encoded).encode()


class Issuer(Server):
    """An OIDC issuer's keys and ID tokens; `document` is what its JWKS address answers, with `status`."""

    def __init__(self) -> None:
        super().__init__()
        self.document = json.dumps({"keys": [public_jwk(key, kid) for kid, key in issuer_keys().items()]}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}

    def answer(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        return self.status, self.headers, self.document

    def id_token(
        self, subject: Any = "ada", *, now: float, kid: str = "rsa", typ: str | None = "JWT", **claims: Any
    ) -> str:
        """An ID token of this moment; `claims` replace or add, None takes one away."""
        usual = {"iss": self.url, "aud": CLIENT_ID, "sub": subject, "iat": int(now), "exp": int(now) + 3600}
        kept = {name: value for name, value in (usual | claims).items() if value is not None}
        key = issuer_keys()[kid]
        return jwt.encode(kept, key, algorithm_of(key), headers={"kid": kid, "typ": typ})


@cache
def issuer_keys() -> dict[str, Key]:
    return {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed": ed25519.Ed25519PrivateKey.generate(),
    }


def algorithm_of(key: Key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "EdDSA"


def public_jwk(key: Key, kid: str) -> dict[str, Any]:
    algorithm: Any = jwt.get_algorithm_by_name(algorithm_of(key))
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def spki(key: Key) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def signature(key: Key, asked: dict[str, str]) -> bytes:
    """KMS's Sign: over a digest, or over what it hashes itself."""
    assert asked["SigningAlgorithm"] == "ECDSA_SHA_256"
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    over = utils.Prehashed(hashes.SHA256()) if asked["MessageType"] == "DIGEST" else hashes.SHA256()
    return key.sign(base64.b64decode(asked["Message"]), ec.ECDSA(over))


def resign(token: str, key: ec.EllipticCurvePrivateKey) -> str:
    """The same header and claims under another signature of the same key: ECDSA has many for one text."""
    body, _, _ = token.rpartition(".")
    signature = jwt.get_algorithm_by_name("ES256").sign(body.encode(), key)
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
