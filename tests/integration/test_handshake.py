"""Area A: who gets in, over a real WebSocket, with real signed tokens."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.conftest import ANOTHER_ORIGIN, ORIGIN
from tests.integration.deployment import refused


async def test_a_valid_token_connects_and_is_welcomed(deployment):
    """A1."""
    async with deployment.socket(deployment.token("ada")) as socket:
        welcome = await socket.ask("hello", protocol=1)
    assert welcome["type"] == "welcome"
    assert welcome["payload"]["user_id"] == deployment.user_id("ada")
    assert welcome["payload"]["expires_at"] > time.time() + 800


async def test_an_expired_token_is_refused_at_the_upgrade(deployment):
    """A2."""
    assert await refused(deployment, deployment.token(ttl_s=-120, iat=int(time.time()) - 1000)) == 403


FORGED = ec.generate_private_key(ec.SECP256R1())


def forge(deployment, key, algorithm):
    real = deployment.token()
    claims = jwt.decode(real, options={"verify_signature": False})
    header = jwt.get_unverified_header(real)
    return jwt.encode(claims, key, algorithm, headers={**header, "alg": algorithm})


async def test_a_token_that_differs_in_its_id_only_is_taken(deployment):
    """So that each of the bad ones below is refused for what its name says."""
    async with deployment.socket(deployment.token("ada", jti="1")) as socket:
        assert (await socket.ask("hello", protocol=1))["payload"]["user_id"] == deployment.user_id("ada")


BAD_TOKENS = {
    "malformed": lambda _: "not.a.token",
    "empty": lambda _: "",
    "unsigned": lambda deployment: forge(deployment, None, "none"),
    "wrong key": lambda deployment: forge(deployment, FORGED, "ES256"),
    "the identity issuer's": lambda deployment: deployment.issuer.id_token(
        "ada", aud="agentsocket", iss=deployment.auth
    ),
    "wrong issuer": lambda deployment: deployment.token(iss="https://issuer.example"),
    "wrong audience": lambda deployment: deployment.token(aud="another"),
    "no subject": lambda deployment: deployment.token(sub=""),
    "an ID token": lambda deployment: deployment.issuer.id_token("ada"),
    "a refresh token": lambda deployment: deployment.login()["refresh_token"],
    "a ticket": lambda deployment: deployment.ticket(deployment.token()),
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_bad_token_is_refused(deployment, bad):
    """A3."""
    assert await refused(deployment, bad(deployment)) == 403


async def test_no_token_is_unauthorized(deployment):
    """A4."""
    assert await refused(deployment, None) == 401


async def test_a_token_in_the_address_is_refused(deployment):
    """protocol.md, Connecting: addresses end up in logs."""
    assert await refused(deployment, None, query=f"token={deployment.token()}") == 403


async def test_twenty_users_connect_at_once_and_each_is_itself(deployment):
    """A6."""

    async def who(name):
        async with deployment.socket(deployment.token(name)) as socket:
            return (await socket.ask("hello", protocol=1))["payload"]["user_id"]

    names = [f"user-{number}" for number in range(20)]
    answers = await asyncio.gather(*map(who, names))
    assert answers == [deployment.user_id(name) for name in names]


async def test_a_browser_s_subprotocol_carries_the_token_and_the_answer_does_not(deployment):
    """A8."""
    offered = ["agentsocket.v1", f"bearer.{deployment.token()}"]
    async with deployment.socket(None, subprotocols=offered) as socket:
        assert socket.bare.subprotocol == "agentsocket.v1"
        assert (await socket.ask("hello", protocol=1))["type"] == "welcome"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://app.example.com", f"{ORIGIN}:8443", "*", ""],
)
async def test_a_foreign_origin_is_refused(deployment, origin):
    """A9."""
    assert await refused(deployment, deployment.token(), headers={"Origin": origin}) == 403


@pytest.mark.parametrize("origin", [ORIGIN, ANOTHER_ORIGIN])
async def test_an_allowed_origin_is_let_in(deployment, origin):
    """A9."""
    offered = ["agentsocket.v1", f"bearer.{deployment.token()}"]
    async with deployment.socket(None, subprotocols=offered, headers={"Origin": origin}) as socket:
        assert (await socket.ask("hello", protocol=1))["type"] == "welcome"
