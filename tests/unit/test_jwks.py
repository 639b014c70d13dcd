from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from agentsocket import jwks
from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.limits import Limits

LIMITS = Limits()


def jwk(kid, bits=2048):
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


KEY = jwk("a")


class Issuer:
    """A JWKS address: answers with whatever `answer` is, and counts the asking."""

    def __init__(self):
        self.answer = json.dumps({"keys": [KEY]}).encode()
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked += 1
                self.send_response(issuer.status)
                for name, value in issuer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(issuer.answer)

            def log_message(self, *_args):
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def issuer():
    server = Issuer()
    yield server
    server.stop()


@pytest.fixture
def keys(issuer):
    return jwks.FetchedKeys(issuer.url, limits=LIMITS)


def test_a_key_is_fetched_once_and_kept(issuer, keys):
    assert keys("a").key_id == keys("a").key_id == "a"
    assert issuer.asked == 1


def test_unknown_kids_cause_one_fetch_and_no_more(issuer, keys):
    keys("a")
    for number in range(5):
        with pytest.raises(TokenRejected):
            keys(f"unknown-{number}")
    assert issuer.asked == 2


def test_a_rotated_key_is_found_by_the_one_fetch(issuer, keys):
    keys("a")
    issuer.answer = json.dumps({"keys": [KEY, jwk("b")]}).encode()
    assert keys("b").key_id == "b"


@pytest.mark.parametrize(
    ("status", "answer", "headers"),
    [
        (500, b"", {}),
        (200, b"nonsense", {}),
        (200, b"[]", {}),
        (200, b'{"keys": 7}', {}),
        (200, b" " * (LIMITS.jwks_max_bytes + 1), {}),
        (200, json.dumps({"keys": [KEY] * 21}).encode(), {}),
        (302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}),
    ],
    ids=["error", "no JSON", "a list", "keys no list", "too large", "too many keys", "redirect"],
)
def test_what_is_no_key_set_is_unavailable(issuer, keys, status, answer, headers):
    issuer.status, issuer.answer, issuer.headers = status, answer, headers
    with pytest.raises(Unavailable):
        keys("a")


def test_an_address_nobody_listens_at_is_unavailable(issuer, keys):
    issuer.stop()
    with pytest.raises(Unavailable):
        keys("a")
    issuer.__init__()


def test_a_set_without_usable_keys_refuses_the_token(issuer, keys):
    issuer.answer = json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "a", "use": "enc"}]}).encode()
    with pytest.raises(TokenRejected):
        keys("a")


def test_a_short_rsa_key_is_not_trusted():
    keys = jwks.InlineKeys(json.dumps({"keys": [jwk("short", 1024)]}), limits=LIMITS)
    with pytest.raises(TokenRejected, match="too short"):
        keys("short")


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"keys": []}', '{"keys": [7]}', '{"keys": {}}'])
def test_an_inline_set_is_checked_at_start(text):
    """L4."""
    with pytest.raises(SettingsError, match="JWKS"):
        jwks.InlineKeys(text, limits=LIMITS)
