"""Area D with the client library: whatever happens to its connection, it hears each event once and in order.

Between it and the gateway lies a line that can be cut (`network_link.py`); its events are compared with the log.
"""

from __future__ import annotations

import asyncio
import time

import jwt
import pytest

from agentsocket.storage import keys
from agentsocket_client import Disconnected, Limits, Refused, Status
from tests.integration.client_log import events, first, heard, log_of, rows_of, text_of
from tests.integration.conftest import STRICT_LIMITS
from tests.integration.deployment import LONG, is_last
from tests.integration.function_code import outage, restart
from tests.integration.network_link import line
from tests.integration.scripts import say, script, think, wait_for
from tests.support.waiting import TIME_FACTOR, until

GRACE_S, NOTICE_S = STRICT_LIMITS["token_grace_s"], STRICT_LIMITS["expiring_notice_s"]
START_S = round(1 + TIME_FACTOR)  # in which a socket is open, also when functions start for it and the machine is busy
QUICK = Limits(backoff_base_s=0.05, backoff_cap_s=0.4)


# --- D1: the token


async def test_a_token_that_ends_during_a_run_is_refreshed_and_nothing_is_missed(strict):
    """D1: the library is told in time, asks for a new token, and its one connection lives on."""
    early, _ = strict.short_lived("dana", NOTICE_S + START_S)
    ends = jwt.decode(early, options={"verify_signature": False})["exp"]
    given: list[str] = []

    async def token():
        given.append(strict.token("dana") if given else early)
        return given[-1]

    statuses: list[Status] = []
    late = Limits(token_lead_s=0.1)  # so that it is the server who says that it is time
    async with strict.client("dana", token=token, limits=late, on_status=statuses.append) as client:
        accepted = await client.send_message(LONG)
        second = await client.send_message(LONG, thread_id=accepted["thread_id"])  # seven seconds each
        frames = await heard(client, second["run_id"])
    seen = events(frames)
    assert seen == log_of(strict, "dana", accepted["thread_id"])
    assert seen[-1]["timestamp"] / 1000 > ends + GRACE_S, "the runs outlived the first token"
    assert "token_expiring" in [frame["type"] for frame in frames]
    assert [status.live for status in statuses] == [True]
    assert len(given) == 2


# --- D3: how often, and how long


async def test_a_gateway_that_is_away_is_tried_again_ever_less_often_and_for_ever(speaking, tmp_path):
    """D3: no dice here, so that each wait is the longest it may be; then the run is heard to its end."""
    go, waits = tmp_path / "go", []

    def note(status):
        if not status.live:
            waits.append(status.retry_in_s)

    async with line(speaking.url) as between:
        options = {"url": between.url, "limits": QUICK, "on_status": note, "random": lambda: 1.0}
        async with speaking.client("dora", **options) as client:
            accepted = await client.send_message(script(say("before "), wait_for(go), say("after")))
            seen = await first(client, "partial_result")
            waits.clear()
            await between.down()
            await until(lambda: len(waits) > 6)
            go.touch()
            await between.up()
            seen += await heard(client, accepted["run_id"])
    assert waits[:5] == [0.05, 0.1, 0.2, 0.4, 0.4]
    assert set(waits[3:]) == {0.4}
    assert events(seen) == log_of(speaking, "dora", accepted["thread_id"])
    assert text_of(seen) == "before after"


async def test_an_upgrade_that_fails_for_now_is_tried_again(strict, tmp_path):
    """D3: a 500 at the upgrade, from an authorizer that cannot ask, is no refusal."""
    token = strict.login("root", groups=["admin"])["access_token"]
    reasons = []

    async def given():
        return token

    with outage(strict, tmp_path):
        restart(strict, "authorizer")
        client = strict.client(token=given, limits=QUICK, on_status=lambda status: reasons.append(status.reason))
        connecting = asyncio.create_task(client.__aenter__())
        await until(lambda: len(reasons) > 2)
    await connecting
    await client.command("ping", {})
    await client.__aexit__(None, None, None)
    assert set(reasons) == {"the server answered HTTP 500", ""}


async def test_what_is_final_is_not_tried_again(speaking):
    """D3: a refused token, and a session that is logged out while its run goes on."""
    statuses: list[Status] = []
    expired = speaking.token("dina", exp=int(time.time()) - 90)
    with pytest.raises(Refused) as refused:
        async with speaking.client(token=expired, on_status=statuses.append):
            pytest.fail("it was let in")
    assert refused.value.status == 403
    assert statuses == []
    session = speaking.login("dina")["access_token"]
    async with speaking.client(token=session, on_status=statuses.append) as client:
        accepted = await client.send_message(LONG)
        assert speaking.logout(session).status == 204
        with pytest.raises(Disconnected) as ended:
            await heard(client, accepted["run_id"])
    assert ended.value.code == "revoked"
    assert [status.live for status in statuses] == [True]


# --- D2, D4, D5, D9: cuts


async def test_a_connection_that_is_cut_again_and_again_misses_nothing(speaking):
    """D2, D6: ten cuts, wherever they fall."""
    async with line(speaking.url) as between:
        async with speaking.client("dove", url=between.url, limits=QUICK) as client:
            accepted = await client.send_message(script(say("{n} ", 150, 50), think(20, 0.02)))
            hearing = asyncio.create_task(heard(client, accepted["run_id"]))
            for _ in range(10):
                await asyncio.sleep(0.3)
                await between.cut()
            seen = events(await hearing)
        assert between.opened > 5
    assert seen == log_of(speaking, "dove", accepted["thread_id"])
    assert text_of(seen) == "".join(f"{n} " for n in range(1, 151))


async def test_after_a_reconnect_threads_and_the_run_are_as_before(speaking, tmp_path):
    """D4: the list of threads, the messages, and the run that is under way with the text it has."""
    go = tmp_path / "go"
    async with speaking.live("dean") as socket:
        earlier = await socket.run("hello")
        thread = earlier[0]["thread_id"]
        question = script(say("so far"), wait_for(go), say(", and on"))
        accepted = await socket.ask("user_message", content=question, message_id="dean-1", thread_id=thread)
        await socket.until(lambda frame: frame["type"] == "partial_result")
        listed = speaking.threads(speaking.token("dean")).json()
        socket.bare.transport.abort()
    run_id = accepted["payload"]["run_id"]
    async with speaking.live("dean") as again:
        subscribed = await again.ask("subscribe", thread_id=thread)
        snapshot = (await again.receive())["payload"]
        assert speaking.threads(speaking.token("dean")).json() == listed
        go.touch()
        # What the snapshot tells already may be pushed too: the worker goes by the cursor from before it.
        rest = [event for event in await again.events_of(run_id) if event.get("seq", 0) > snapshot["seq"]]
        await again.ask("subscribe", thread_id=thread)
        after = (await again.receive())["payload"]
    assert snapshot["active_run"] == {"run_id": run_id, "message_id": f"{run_id}.1", "content": "so far"}
    assert snapshot["seq"] == subscribed["payload"]["seq"] == rest[0]["seq"] - 1
    assert [message["role"] for message in snapshot["messages"]] == ["user", "assistant", "user"]
    assert "active_run" not in after
    assert after["messages"][:3] == snapshot["messages"]
    assert after["messages"][3]["content"] == "so far, and on"
    assert rest[-1]["payload"]["agent_metrics"] == {"said_before": 2}, "the agent knows what was said before the cut"


async def test_three_devices_of_one_user_reconnect_at_once(speaking):
    """D5: each hears all of it, in the same order."""
    async with line(speaking.url) as between, asyncio.TaskGroup() as group:
        clients = [speaking.client("drew", url=between.url, limits=QUICK) for _ in range(3)]
        one, two, three = clients
        async with one, two, three:
            opening = await one.send_message("hello")
            thread = opening["thread_id"]
            await heard(one, opening["run_id"])
            since = one.position(thread)
            for other in (two, three):
                await other.subscribe(thread, since)
            accepted = await one.send_message(script(say("{n} ", 50, 50), think(40, 0.02)), thread_id=thread)
            hearing = [group.create_task(heard(client, accepted["run_id"])) for client in clients]
            for _ in range(3):
                await asyncio.sleep(0.4)
                await between.cut()
            seen = [events(await each) for each in hearing]
        assert between.opened >= 6
    log = [event for event in log_of(speaking, "drew", thread) if event["run_id"] == accepted["run_id"]]
    assert seen == [log, log, log]


async def test_a_slow_reconnect_during_a_run_meets_the_live_events_without_a_gap(speaking):
    """D9: the replay drips in while the worker goes on pushing."""
    async with line(speaking.url) as between, speaking.client("dewi", url=between.url, limits=QUICK) as client:
        accepted = await client.send_message(script(think(200, 0.02)))
        seen = await first(client, "agent_thinking")
        await between.down()
        await asyncio.sleep(1)
        between.flow(chunk_s=0.03)
        await between.up()
        seen += await heard(client, accepted["run_id"])
    log = log_of(speaking, "dewi", accepted["thread_id"])
    assert len(log) == 204
    assert events(seen) == log


# --- D7, D8: the log


async def test_three_hundred_missed_events_are_caught_up_with(speaking):
    """D7: all that a replay may hold, for the library and as the frames come."""
    async with speaking.live("dirk") as socket:
        run = await socket.run(script(think(296)))
        epoch = (await socket.ask("subscribe", thread_id=run[0]["thread_id"]))["payload"]["epoch"]
    assert len(run) == 300
    thread = run[0]["thread_id"]
    start = {"thread_id": thread, "epoch": epoch, "seq": 0}
    async with speaking.client("dirk", resume=[start]) as client:
        assert events(await heard(client, run[0]["run_id"])) == run
    async with speaking.socket(speaking.token("dirk")) as again:
        await again.ask("hello", protocol=1, resume=[start])
        subscribed = await again.receive()
        await again.until(lambda frame: frame["type"] == "batch" and not frame["payload"]["more"])
    assert (subscribed["payload"]["recovered"], subscribed["payload"]["seq"]) == (True, 300)
    pages = [frame for frame in again.seen if frame["type"] == "batch"]
    assert [event for page in pages for event in page["payload"]["events"]] == run
    assert len(pages) > 1


@pytest.mark.parametrize("how", ["expired", "deleted"])
async def test_a_log_that_is_gone_is_told_and_there_is_a_snapshot_instead(speaking, how):
    """D8: never a hole: the library shows the snapshot, and what comes after it."""
    name = f"dot-{how}"
    async with speaking.client(name) as client:
        accepted = await client.send_message("hello")
        thread = accepted["thread_id"]
        before = events(await heard(client, accepted["run_id"]))
        point = {"thread_id": thread, **client.position(thread), "seq": 2}
    forget(speaking, name, thread, how)
    async with speaking.socket(speaking.token(name)) as socket:
        await socket.ask("hello", protocol=1, resume=[point])
        told, snapshot = (await socket.receive())["payload"], (await socket.receive())["payload"]
    assert (told["recovered"], told["reason"], told["seq"]) == (False, "trimmed", len(before))
    assert [message["seq"] for message in snapshot["messages"]] == [1, len(before)]
    assert snapshot["messages"][1]["content"] == before[-1]["payload"]["content"]
    async with speaking.client(name, resume=[point]) as client:
        again = await client.send_message("more", thread_id=thread)
        seen = await heard(client, again["run_id"])
    [shown] = [frame for frame in seen if frame["type"] == "thread_snapshot"]
    assert shown["payload"]["seq"] == len(before)
    assert [event["seq"] for event in events(seen)] == [len(before) + n for n in range(1, len(events(seen)) + 1)]
    assert is_last(seen[-1])


def forget(deployment, name, thread, how):
    """What a day does to a log: its rows run out, and some time later they are gone."""
    table, client = deployment.facts["outputs"]["TableName"], deployment.aws("dynamodb")
    for row in rows_of(deployment, keys.log(deployment.user_id(name), thread), keys.EVENT):
        key = {part: {"S": row[part]} for part in ("PK", "SK")}
        if how == "deleted":
            client.delete_item(TableName=table, Key=key)
        else:
            past = {":past": {"N": str(int(time.time()) - 1)}}
            client.update_item(
                TableName=table, Key=key, UpdateExpression="SET expires_at = :past", ExpressionAttributeValues=past
            )
