"""Area A: who gets in, over a real WebSocket, with real signed tokens."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from websockets.exceptions import InvalidStatus

from agentsocket.principal import user_id


async def refused(deployment, token, **options):
    """The HTTP status that answers the upgrade."""
    with pytest.raises(InvalidStatus) as answer:
        async with deployment.socket(token, **options):
            pytest.fail("the socket was opened")
    return answer.value.response.status_code


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_valid_token_connects_and_is_welcomed(deployment, algorithm):
    """A1."""
    async with deployment.socket(deployment.token("ada", algorithm=algorithm)) as socket:
        welcome = await socket.ask("hello", protocol=1)
    assert welcome["type"] == "welcome"
    assert welcome["payload"]["user_id"] == user_id(deployment.issuer.url, "ada")
    assert welcome["payload"]["expires_at"] > time.time() + 800


async def test_an_expired_token_is_refused_at_the_upgrade(deployment):
    """A2."""
    assert await refused(deployment, deployment.token(ttl_s=-120, iat=int(time.time()) - 1000)) == 403


FORGED = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def forge(deployment, key, algorithm):
    real = deployment.token()
    claims = jwt.decode(real, options={"verify_signature": False})
    header = jwt.get_unverified_header(real)
    return jwt.encode(claims, key, algorithm, headers={**header, "alg": algorithm})


BAD_TOKENS = {
    "malformed": lambda _: "not.a.token",
    "empty": lambda _: "",
    "unsigned": lambda deployment: forge(deployment, None, "none"),
    "wrong key": lambda deployment: forge(deployment, FORGED, "RS256"),
    "wrong issuer": lambda deployment: deployment.token(iss="https://issuer.example"),
    "wrong audience": lambda deployment: deployment.token(aud="another"),
    "no subject": lambda deployment: deployment.token(sub=""),
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_a_bad_token_is_refused(deployment, bad):
    """A3."""
    assert await refused(deployment, bad(deployment)) == 403


async def test_no_token_is_unauthorized(deployment):
    """A4."""
    assert await refused(deployment, None) == 401


async def test_a_token_in_the_address_is_no_token(deployment):
    """protocol.md, Connecting: addresses end up in logs."""
    assert await refused(deployment, None, query=f"token={deployment.token()}") == 401


async def test_twenty_users_connect_at_once_and_each_is_itself(deployment):
    """A6."""

    async def who(name):
        async with deployment.socket(deployment.token(name)) as socket:
            return (await socket.ask("hello", protocol=1))["payload"]["user_id"]

    names = [f"user-{number}" for number in range(20)]
    answers = await asyncio.gather(*map(who, names))
    assert answers == [user_id(deployment.issuer.url, name) for name in names]


async def test_a_browser_s_subprotocol_carries_the_token_and_the_answer_does_not(deployment):
    """A8."""
    offered = ["agentsocket.v1", f"bearer.{deployment.token()}"]
    async with deployment.socket(None, subprotocols=offered) as socket:
        assert socket.bare.subprotocol == "agentsocket.v1"
        assert (await socket.ask("hello", protocol=1))["type"] == "welcome"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_origin_is_refused(deployment, origin):
    """A9."""
    assert await refused(deployment, deployment.token(), headers={"Origin": origin}) == 403
