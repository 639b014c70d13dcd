"""Areas A and C: one token for the auth service, the HTTP API and the WebSocket, from its exchange to its end."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest

from tests.integration.deployment import refused
from tests.support.waiting import until


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


async def opens(deployment, token):
    """Whether the WebSocket takes the token."""
    async with deployment.socket(token) as socket:
        return (await socket.ask("hello", protocol=1))["type"] == "welcome"


def auth_status(deployment, token):
    """What the auth service says to the token, asked for a ticket."""
    return deployment.asked("/ticket", token).status


def spoil(deployment, access_token):
    """Revoke it, as its owner may (RFC 7009)."""
    assert deployment.revoke(access_token).status == 200


async def assert_dead(deployment, token):
    """None of the three takes it, as soon as Control has heard."""
    assert auth_status(deployment, token) == 401
    assert deployment.introspect(token) == {"active": False}
    await until(lambda: deployment.threads(token).status == 401)
    assert await refused(deployment, token) == 403


# --- A


async def test_one_token_is_accepted_by_all_three_and_after_revocation_by_none(deployment):
    """A5, C1."""
    token = deployment.login("alan")["access_token"]
    assert await opens(deployment, token)
    assert deployment.threads(token).status == 200
    assert deployment.introspect(token)["active"] is True
    assert auth_status(deployment, token) == 200
    spoil(deployment, token)
    await assert_dead(deployment, token)


async def test_a_conversation_is_the_user_s_on_both_apis(deployment):
    """C1: the thread that a WebSocket made is in the list of HTTP, for this user and for no other."""
    login = deployment.login("clara")
    async with deployment.socket(login["access_token"]) as socket:
        await socket.ask("hello", protocol=1)
        events = await socket.run("hello")
    listed = deployment.threads(login["access_token"]).json()["threads"]
    assert [thread["thread_id"] for thread in listed] == [events[0]["thread_id"]]
    assert deployment.threads(deployment.token("nobody-yet")).json()["threads"] == []


async def test_a_refreshed_token_ends_later_and_is_the_same_user_s(deployment):
    """A7."""
    first = deployment.login("ada")
    await asyncio.sleep(1.1)  # an exp is in whole seconds
    second = deployment.refresh(first["refresh_token"]).json()
    before, after = claims(first["access_token"]), claims(second["access_token"])
    assert after["exp"] > before["exp"]
    assert (after["sub"], after["sid"], after["iss"]) == (before["sub"], before["sid"], before["iss"])
    assert await opens(deployment, second["access_token"])


async def test_a_ticket_opens_one_connection_and_no_second(deployment):
    """protocol.md, Connecting: a ticket travels in the address, where it is worth nothing after its use."""
    ticket = deployment.ticket(deployment.token("tina"))
    async with deployment.socket(None, query=f"ticket={ticket}") as socket:
        welcome = await socket.ask("hello", protocol=1)
        assert welcome["payload"]["user_id"] == deployment.user_id("tina")
        assert welcome["payload"]["expires_at"] > time.time() + 800, "the access token's end, not the ticket's"
    assert await refused(deployment, None, query=f"ticket={ticket}") == 403


async def test_an_expired_ticket_opens_none(deployment):
    now = int(time.time())
    expired = deployment.ticket_of("tina", iat=now - 150, exp=now - 90)
    assert await refused(deployment, None, query=f"ticket={expired}") == 403
    fresh = deployment.ticket_of("tina", iat=now, exp=now + 60)
    async with deployment.socket(None, query=f"ticket={fresh}") as socket:
        assert (await socket.ask("hello", protocol=1))["type"] == "welcome"


async def test_a_ticket_opens_nothing_after_its_user_s_logout(deployment):
    token = deployment.token("tom")
    ticket = deployment.ticket(token)
    assert deployment.logout(token).status == 204
    await until(lambda: deployment.threads(token).status == 401)
    assert await refused(deployment, None, query=f"ticket={ticket}") == 403


# --- C


async def test_an_id_token_is_exchanged_once(deployment):
    """security.md, Exchange and refresh."""
    token = deployment.issuer.id_token("ada")
    assert deployment.exchange(token).status == 200
    again = deployment.exchange(token)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")


BAD_ID_TOKENS = {
    "an access token": lambda deployment: deployment.token(),
    "expired": lambda deployment: deployment.issuer.id_token("ada", ttl_s=-120),
    "another client's": lambda deployment: deployment.issuer.id_token("ada", aud="another"),
    "another issuer's": lambda deployment: deployment.issuer.id_token("ada", iss="https://issuer.example"),
    "old": lambda deployment: deployment.issuer.id_token("ada", iat=int(time.time()) - 3600),
    "a service's name": lambda deployment: deployment.issuer.id_token("client:ops"),
    "nonsense": lambda _: "nonsense",
}


@pytest.mark.parametrize("bad", BAD_ID_TOKENS.values(), ids=BAD_ID_TOKENS)
def test_a_bad_id_token_is_not_exchanged(deployment, bad):
    """C1: and the answer says no more than that."""
    answer = deployment.exchange(bad(deployment))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")


async def test_refreshing_rotates_and_a_stolen_token_ends_the_family(deployment):
    """C2: the sockets that were opened with it are closed, too."""
    first = deployment.login("rita")
    async with deployment.socket(first["access_token"]) as socket:
        await socket.ask("hello", protocol=1)
        second = deployment.refresh(first["refresh_token"]).json()
        assert second["refresh_token"] != first["refresh_token"]
        assert deployment.threads(second["access_token"]).status == 200
        third = deployment.refresh(second["refresh_token"]).json()
        stolen = deployment.refresh(first["refresh_token"])
        assert (stolen.status, stolen.json()["error"]) == (400, "invalid_grant")
        assert deployment.refresh(third["refresh_token"]).status == 400
        said = await socket.until(lambda frame: frame["type"] == "disconnect")
    assert (said["payload"]["code"], said["payload"]["reconnect"]) == ("revoked", False)
    for token in (first, second, third):
        await assert_dead(deployment, token["access_token"])
    assert await opens(deployment, deployment.token("rita")), "another sign-in of hers is untouched"


async def test_two_tabs_that_refresh_at_once_are_no_thieves(deployment):
    """C2, security.md: each gets tokens of its own, and both go on."""
    first = deployment.login("tabea")["refresh_token"]
    answers = await asyncio.gather(*(asyncio.to_thread(deployment.refresh, first) for _ in range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    one, other = (answer.json() for answer in answers)
    assert one["refresh_token"] != other["refresh_token"]
    for tab in (one, other):
        assert deployment.threads(tab["access_token"]).status == 200
    assert deployment.refresh(one["refresh_token"]).status == 200
    assert deployment.threads(other["access_token"]).status == 200


async def test_a_logout_ends_everything_of_the_user_and_nothing_of_others(deployment):
    """C3."""
    here, there, other = (deployment.login(name) for name in ("lea", "lea", "leo"))
    async with (
        deployment.socket(here["access_token"]) as first,
        deployment.socket(there["access_token"]) as second,
        deployment.socket(other["access_token"]) as third,
    ):
        for socket in (first, second, third):
            await socket.ask("hello", protocol=1)
        assert deployment.logout(here["access_token"]).status == 204
        for socket in (first, second):
            said = await socket.until(lambda frame: frame["type"] == "disconnect")
            assert (said["payload"]["code"], said["payload"]["reconnect"]) == ("revoked", False)
            await socket.bare.wait_closed()
        assert (await third.ask("ping"))["type"] == "pong"
    for login in (here, there):
        await assert_dead(deployment, login["access_token"])
        assert deployment.refresh(login["refresh_token"]).status == 400
    assert await opens(deployment, other["access_token"])
    assert await opens(deployment, deployment.token("lea")), "she may sign in again, in the same second even"


@pytest.mark.parametrize(("issued", "expires"), [(20, 900), (-900, -20)], ids=["ahead", "behind"])
async def test_clocks_that_are_half_a_minute_apart_are_tolerated(deployment, issued, expires):
    """C5: by the authorizer, the HTTP API and the auth service."""
    token = shifted(deployment, issued, expires)
    async with deployment.socket(token):
        pass
    assert deployment.threads(token).status == 200
    assert deployment.introspect(token)["active"] is True


@pytest.mark.parametrize(("issued", "expires"), [(90, 900), (-900, -90)], ids=["ahead", "behind"])
async def test_clocks_that_are_further_apart_are_not(deployment, issued, expires):
    """C5."""
    token = shifted(deployment, issued, expires)
    assert await refused(deployment, token) == 403
    assert deployment.threads(token).status == 401
    assert deployment.introspect(token) == {"active": False}


def shifted(deployment, issued, expires):
    """A token of a real sign-in, whose times are so many seconds from now."""
    real, now = claims(deployment.login("theo")["access_token"]), int(time.time())
    return deployment.token("theo", sid=real["sid"], client_id=real["client_id"], iat=now + issued, exp=now + expires)
