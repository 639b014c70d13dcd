"""local/emulators/issuer.py: ID tokens that verify by its published keys, for programs on this machine only."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import pytest_asyncio

from local.emulators.issuer import CLIENT_ID, Issuer
from local.state import ROOT


@pytest_asyncio.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    serving = Issuer(tmp_path)
    await serving.start()
    yield serving
    await serving.stop()


async def ask(issuer: Issuer, method: str, path: str, **settings: Any) -> tuple[int, Any, dict[str, str]]:
    """Status, JSON body and headers of the issuer's answer."""
    async with aiohttp.ClientSession() as session, session.request(method, issuer.url + path, **settings) as response:
        return response.status, await response.json(), dict(response.headers)


def verified(token: str, jwks: dict[str, Any], issuer: Issuer) -> dict[str, Any]:
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    algorithms = [str(key.algorithm_name)]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, audience=CLIENT_ID, issuer=issuer.url)
    return claims


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_verifies_by_the_published_keys(issuer, algorithm):
    _, jwks, _ = await ask(issuer, "GET", "/.well-known/jwks.json")
    token = issuer.id_token("ada", algorithm=algorithm, groups=["admin"])
    claims = verified(token, jwks, issuer)
    assert jwt.get_unverified_header(token)["typ"] == "JWT"
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert (claims["sub"], claims["groups"], claims["exp"] - claims["iat"]) == ("ada", ["admin"], 300)
    another = jwt.decode(issuer.id_token("ada"), options={"verify_signature": False})
    assert claims["jti"] != another["jti"]
    assert "groups" not in another


def test_published_keys_hold_nothing_private(tmp_path):
    for key in Issuer(tmp_path).jwks()["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi"} & set(key)


def test_a_token_can_be_made_to_have_expired(tmp_path):
    claims = jwt.decode(
        Issuer(tmp_path).id_token("ada", ttl_s=-60), options={"verify_signature": False, "verify_exp": False}
    )
    assert claims["exp"] < time.time() - 30


def test_keys_outlive_a_restart_and_only_their_owner_may_read_them(tmp_path):
    before = Issuer(tmp_path).jwks()
    assert Issuer(tmp_path).jwks() == before
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


async def test_discovery_leads_to_the_keys_and_the_token_endpoint(issuer):
    status, found, _ = await ask(issuer, "GET", "/.well-known/openid-configuration")
    assert (status, found["issuer"]) == (200, issuer.url)
    assert found["jwks_uri"] == f"{issuer.url}/.well-known/jwks.json"
    assert found["token_endpoint"] == f"{issuer.url}/token"


async def test_a_program_gets_a_token_for_a_subject(issuer):
    status, answer, headers = await ask(issuer, "POST", "/token", json={"sub": "grace"})
    assert (status, set(answer), answer["expires_in"]) == (200, {"id_token", "expires_in"}, 300)
    assert verified(answer["id_token"], issuer.jwks(), issuer)["sub"] == "grace"
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in headers if name.lower().startswith("access-control")]


async def test_groups_stand_in_a_claim_of_their_own(issuer):
    _, answer, _ = await ask(issuer, "POST", "/token", json={"sub": "grace", "groups": ["admin", "ops"]})
    assert verified(answer["id_token"], issuer.jwks(), issuer)["groups"] == ["admin", "ops"]


@pytest.mark.parametrize("path", ["/token", "/.well-known/jwks.json"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost:8080"}, {"Origin": "null"}, {"Host": "attacker.example"}, {"Host": ""}]
)
async def test_web_pages_and_rebound_names_are_refused(issuer, path, headers):
    for method in ("GET", "POST", "OPTIONS"):
        status, answer, answered = await ask(issuer, method, path, headers=headers)
        assert (status, list(answer)) == (403, ["error", "error_description"])
        assert not [name for name in answered if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9"])
async def test_every_name_of_loopback_is_served(issuer, host):
    status, _, _ = await ask(issuer, "POST", "/token", json={"sub": "ada"}, headers={"Host": host})
    assert status == 200


@pytest.mark.parametrize(
    "body",
    [
        *("", "ada", "[]", "{}", '{"sub": ""}', '{"sub": 7}', '{"sub": null}', '{"sub": "' + "a" * 257 + '"}'),
        *('{"sub": "ada", "groups": "admin"}', '{"sub": "ada", "groups": [1]}', '{"sub": "ada", "groups": [""]}'),
        '{"sub": "ada", "groups": [' + ", ".join(['"g"'] * 17) + "]}",
    ],
)
async def test_a_request_without_a_subject_is_told_what_to_send(issuer, body):
    status, answer, _ = await ask(issuer, "POST", "/token", data=body, headers={"Content-Type": "application/json"})
    assert (status, answer["error"]) == (400, "invalid_request")
    assert '{"sub": "ada"}' in answer["error_description"]


async def test_what_a_form_could_send_is_refused(issuer):
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": content_type}
        status, _, _ = await ask(issuer, "POST", "/token", data='{"sub": "ada"}', headers=headers)
        assert status == 415


@pytest.mark.parametrize("folder", ["functions", "layers"])
def test_deployed_code_does_not_know_this_issuer(folder):
    """Cognito or this one: what differs stands in the template's parameters."""
    names = re.compile(
        rf"{CLIENT_ID}|\blocal[./]emulators[./]issuer\b|\bfrom local\b|\bimport local\b|(127\.0\.0\.1|localhost):\d"
    )
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", "") and path.is_file()]
    assert files
    assert [str(path) for path in files if names.search(path.read_text("utf-8"))] == []
