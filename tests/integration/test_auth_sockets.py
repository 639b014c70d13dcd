"""Open sockets whose token is refreshed, runs out or is revoked (J2, J3, C3, and protocol.md, refresh_token)."""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agentsocket.storage import keys
from tests.integration.conftest import STRICT_LIMITS
from tests.integration.deployment import LONG, PATIENCE_S, is_last
from tests.integration.function_code import held
from tests.support.waiting import TIME_FACTOR, until

GRACE_S, NOTICE_S = STRICT_LIMITS["token_grace_s"], STRICT_LIMITS["expiring_notice_s"]
START_S = round(1 + TIME_FACTOR)  # in which a socket is open, also when functions start for it and the machine is busy


async def ending(socket, *, on_their_way=frozenset()):
    """The disconnect frame, and that the socket is closed after it without another word.

    Only what another function was posting at that moment may come in between: of these types.
    """
    async with asyncio.timeout(PATIENCE_S):
        said = await socket.until(lambda frame: frame["type"] == "disconnect")
    try:
        while (await socket.receive())["type"] in on_their_way:
            continue
        pytest.fail("something came after the disconnect frame")
    except ConnectionClosed:
        return said["payload"]["code"], said["payload"]["reconnect"]


async def log_of(deployment, name, thread):
    """The events of a user's thread, from its log."""
    async with deployment.live(name) as reader:
        subscribed = await reader.ask("subscribe", thread_id=thread)
        epoch = subscribed["payload"]["epoch"]
        await reader.ask("subscribe", thread_id=thread, since={"epoch": epoch, "seq": 0})
        batch = await reader.until(lambda frame: frame["type"] == "batch")
        return batch["payload"]["events"]


async def warmed(deployment):
    """A run has ended: no function has to start first in what comes next and is short of time."""
    async with deployment.live("walt") as socket:
        await socket.run("hello")


# --- in time


async def test_a_socket_lives_on_with_a_token_that_was_refreshed_in_band(strict):
    """D1, J2: told in time, refreshed mid-run, and the end of the first token passes unnoticed."""
    await warmed(strict)
    token, login = strict.short_lived("ada", NOTICE_S + START_S)
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with strict.socket(token) as socket:
        welcome = await socket.ask("hello", protocol=1)
        assert welcome["payload"]["expires_at"] == expires
        expiring = await socket.until(lambda frame: frame["type"] == "token_expiring")
        assert expiring["payload"]["expires_at"] == expires
        assert expires - NOTICE_S - 1 < expiring["timestamp"] / 1000 < expires
        accepted = await socket.ask("user_message", content=LONG, message_id="long-0")
        newer = strict.refresh(login["refresh_token"]).json()["access_token"]
        refreshed = await socket.ask("refresh_token", token=newer)
        assert refreshed["type"] == "token_refreshed"
        assert refreshed["payload"]["expires_at"] > expires + 800
        events = await socket.events_of(accepted["payload"]["run_id"])
        assert (await socket.ask("ping"))["type"] == "pong"
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["timestamp"] / 1000 > expires + GRACE_S, "the run outlived the first token"
    assert not [frame for frame in socket.seen if frame["type"] == "disconnect"]


REFUSED = {
    "another user's": ("forbidden", lambda deployment: deployment.token("eve")),
    "no later than the one in use": ("bad_request", lambda deployment: until_in(deployment, 60)),
    "of another audience": ("unauthorized", lambda deployment: until_in(deployment, 950, aud="another")),
    "with more scope": ("forbidden", lambda deployment: until_in(deployment, 950, scope="chat admin")),
    "expired": ("unauthorized", lambda deployment: until_in(deployment, -90)),
    "an ID token": ("unauthorized", lambda deployment: deployment.issuer.id_token("rolf", ttl_s=2000)),
    "nonsense": ("unauthorized", lambda _: "nonsense"),
}


def until_in(deployment, seconds, **claims):
    """A token of rolf's that ends so many seconds from now."""
    return deployment.token("rolf", exp=int(time.time()) + seconds, **claims)


@pytest.mark.parametrize(("code", "bad"), REFUSED.values(), ids=REFUSED)
async def test_a_token_that_does_not_fit_refreshes_nothing_and_the_socket_stays(deployment, code, bad):
    """protocol.md, refresh_token: same issuer and subject, a later end, no more scope."""
    async with deployment.live("rolf") as socket:
        answer = await socket.ask("refresh_token", token=bad(deployment))
        assert (answer["type"], answer["payload"].get("code")) == ("error", code)
        assert (await socket.ask("ping"))["type"] == "pong"


async def test_a_revoked_token_refreshes_nothing(deployment):
    """C3: not even on a socket of a session that is alive."""
    spare = deployment.login("rosa")["access_token"]
    deployment.revoke(spare)
    await until(lambda: deployment.threads(spare).status == 401)
    early = deployment.token("rosa", exp=int(time.time()) + 300)
    async with deployment.socket(early) as socket:
        await socket.ask("hello", protocol=1)
        answer = await socket.ask("refresh_token", token=spare)
        assert (answer["type"], answer["payload"]["code"]) == ("disconnect", "revoked")


# --- too late


async def test_after_its_token_s_end_and_grace_a_socket_gets_nothing_more(strict):
    """J2: one on which a run is streaming all the while, and one that is quiet."""
    await asyncio.gather(streaming_beyond_its_end(strict), quiet_beyond_its_end(strict))


async def streaming_beyond_its_end(strict):
    await warmed(strict)
    token, _ = strict.short_lived("jack", NOTICE_S + START_S)
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    async with strict.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        await socket.until(lambda frame: frame["type"] == "token_expiring")
        accepted = await socket.ask("user_message", content=LONG, message_id="long-1")
        assert await ending(socket) == ("token_expired", True)
    events = [frame for frame in socket.seen if "seq" in frame]
    assert events[0]["type"] == "user_message"
    assert expires < events[-1]["timestamp"] / 1000 <= expires + GRACE_S + 1
    assert not is_last(events[-1])
    async with strict.live("jack") as again:
        since = {"epoch": accepted["payload"]["epoch"], "seq": events[-1]["seq"]}
        await again.ask("subscribe", thread_id=accepted["payload"]["thread_id"], since=since)
        await again.until(lambda frame: any(map(is_last, frame["payload"].get("events", [frame]))))


async def quiet_beyond_its_end(strict):
    """Nobody sends anything: the control queue wakes by itself."""
    token, _ = strict.short_lived("quinn", NOTICE_S + START_S)
    async with strict.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        assert await ending(socket) == ("token_expired", True)
    assert [frame["type"] for frame in socket.seen[1:]] == ["token_expiring", "disconnect"]


# --- revoked


async def test_a_user_who_is_logged_out_mid_stream_hears_no_more_and_the_run_stops(deployment):
    """J3."""
    token = deployment.login("june")["access_token"]
    async with deployment.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        accepted = await socket.ask("user_message", content=LONG, message_id="long-2")
        await socket.until(lambda frame: frame["type"] == "partial_result")
        assert deployment.logout(token).status == 204
        assert await ending(socket, on_their_way={"partial_result"}) == ("revoked", False)
    assert not [frame for frame in socket.seen if is_last(frame)]
    thread = accepted["payload"]["thread_id"]
    events = await log_of(deployment, "june", thread)
    while not is_last(events[-1]):
        events = await log_of(deployment, "june", thread)
    completed = next(event for event in events if event["type"] == "agent_completed")
    assert completed["payload"]["outcome"] == "stopped"
    assert "final_report" not in [event["type"] for event in events]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_logout_finds_a_socket_whose_connect_is_under_way(strict, tmp_path, when):
    """C3: `before` its row is written, it reads the revocation; `after`, the revocation reads it."""
    token = strict.login(f"cora-{when}")["access_token"]
    with held(strict, "connect", tmp_path, when=when) as connect:
        opening = asyncio.create_task(opened(strict, token))
        await until(connect.begun.exists)
        assert strict.logout(token).status == 204
        await until(lambda: control_has_heard(strict, f"cora-{when}"))
        connect.release()
        assert await opening == {"before": 403, "after": ("revoked", False)}[when]


def control_has_heard(deployment, name):
    """Whether agentsocket itself knows that the user's tokens are dead, without asking the auth service."""
    key = {part: {"S": text} for part, text in keys.revoked(deployment.user_id(name)).items()}
    table = deployment.facts["outputs"]["TableName"]
    return "Item" in deployment.aws("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)


async def opened(deployment, token):
    """What becomes of a socket that says nothing: the status that refused it, or how it ended."""
    try:
        async with deployment.socket(token) as socket:
            return await ending(socket)
    except InvalidStatus as refusal:
        return refusal.response.status_code
