"""Reconnecting, and other devices: nothing lost, nothing twice (the parts of areas D and E8 that exist)."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.client_log import events, heard, log_of
from tests.integration.deployment import is_last
from tests.support.waiting import until

GHOST = "L0SM9cOFvHcCIhw="  # an id such as API Gateway makes, of a socket that is no more


async def test_subscribe_with_since_replays_from_the_log(deployment):
    async with deployment.live() as socket:
        accepted = (await socket.ask("user_message", content="hello", message_id="resume-1"))["payload"]
        events = await socket.events_of(accepted["run_id"])
    async with deployment.live() as other:
        since = {"epoch": accepted["epoch"], "seq": 2}
        subscribed = await other.ask("subscribe", thread_id=accepted["thread_id"], since=since)
        batch = await other.receive()
    assert subscribed["payload"]["recovered"] is True
    assert batch["payload"] == {"events": events[2:], "more": False}


@pytest.mark.parametrize("cut_after", [1, 2, 3, 4, 6])
async def test_a_cut_connection_resumes_and_the_client_s_log_is_the_server_s(deployment, cut_after):
    """D2, D6: five cut points."""
    async with deployment.live() as socket:
        accepted = (await socket.ask("user_message", content="hello", message_id=f"cut-{cut_after}"))["payload"]
        events = [frame for frame in socket.seen if "seq" in frame]
        while len(events) < cut_after:
            events.append(await socket.receive())
        socket.bare.transport.abort()
    point = {"thread_id": accepted["thread_id"], "epoch": accepted["epoch"], "seq": events[-1]["seq"]}
    async with deployment.socket(deployment.token()) as again:
        await again.ask("hello", protocol=1, resume=[point])
        while not is_last(events[-1]):
            frame = await again.receive()
            assert frame["type"] != "error"
            for event in frame["payload"]["events"] if frame["type"] == "batch" else [frame]:
                if event.get("seq", 0) == events[-1]["seq"] + 1:
                    events.append(event)
    async with deployment.live() as reader:
        since = {"epoch": accepted["epoch"], "seq": 0}
        await reader.ask("subscribe", thread_id=accepted["thread_id"], since=since)
        log = (await reader.receive())["payload"]["events"]
    assert events == log


async def test_the_client_library_hands_out_every_event_once_through_a_cut(deployment):
    """D2, D6: reconnect and resume are the library's own."""
    seen = []
    async with deployment.client("ada") as client:
        accepted = await client.send_message("hello")
        async for frame in client.frames():
            if "seq" not in frame:
                continue
            seen.append(frame)
            if frame["seq"] == 3:
                await drop(deployment, client.welcome["connection_id"])
            if is_last(frame):
                break
    assert [frame["seq"] for frame in seen] == list(range(1, len(seen) + 1))
    assert {frame["run_id"] for frame in seen} == {accepted["run_id"]}


async def drop(deployment, connection_id):
    """Cut a socket from the server's side."""
    management = deployment.aws_management()
    await asyncio.to_thread(management.delete_connection, ConnectionId=connection_id)


async def test_a_second_device_follows_along(deployment):
    """E8: the same events in the same order."""
    async with deployment.live() as first, deployment.live() as second:
        opening = await first.run("hello")
        thread = opening[0]["thread_id"]
        accepted = (await first.ask("user_message", content="more", message_id="dev-0", thread_id=thread))["payload"]
        since = {"epoch": accepted["epoch"], "seq": opening[-1]["seq"]}
        await second.ask("subscribe", thread_id=thread, since=since)
        ones = await first.events_of(accepted["run_id"])
        await second.until(is_last_of(accepted["run_id"]))
    twos = [frame for frame in flat(second.seen) if frame.get("run_id") == accepted["run_id"]]
    unique = {frame["seq"]: frame for frame in twos}
    assert list(unique.values()) == ones


async def test_two_devices_with_the_library_hear_the_same(deployment):
    """E8: three questions, asked from either; each hears all events once and in the order of the log."""
    async with deployment.client("erin") as one, deployment.client("erin") as two:
        opening = await one.send_message("hello")
        thread = opening["thread_id"]
        await two.subscribe(thread, {"epoch": opening["epoch"], "seq": 0})
        asked = [await device.send_message("and?", thread_id=thread) for device in (two, one, two)]
        last = asked[-1]["run_id"]
        ones, twos = await asyncio.gather(*(heard(device, opening["run_id"], last) for device in (one, two)))
    assert events(ones) == events(twos) == log_of(deployment, "erin", thread)


def is_last_of(run_id):
    def fits(frame):
        return any(event.get("run_id") == run_id and is_last(event) for event in flat([frame]))

    return fits


def flat(frames):
    for frame in frames:
        if frame["type"] == "batch":
            yield from frame["payload"]["events"]
        elif "seq" in frame:
            yield frame


async def test_a_dead_connection_s_row_goes_with_the_next_push(deployment):
    """A socket whose $disconnect never came is removed on 410, and the run goes on."""
    async with deployment.live("carol") as socket:
        connection_id = (await socket.ask("hello", protocol=1))["payload"]["connection_id"]
        opening = await socket.run("hello")
        table = deployment.aws("dynamodb")
        name = deployment.facts["outputs"]["TableName"]
        row = rows_of(table, name, connection_id)[0]
        ghost = {**row, "SK": {"S": f"LIVE#CONN#{GHOST}"}, "connection_id": {"S": GHOST}}
        thread = opening[0]["thread_id"]
        ghost["subscriptions"] = {"M": {thread: {"M": {"cursor": {"N": "0"}, "generation": {"S": "g"}}}}}
        table.put_item(TableName=name, Item=ghost)
        events = await socket.run("again", thread_id=thread)
        assert is_last(events[-1])
        await until(lambda: rows_of(table, name, GHOST) == [])
        assert len(rows_of(table, name, connection_id)) == 1


async def test_a_closed_socket_leaves_no_row(deployment):
    async with deployment.live("dora") as socket:
        connection_id = (await socket.ask("hello", protocol=1))["payload"]["connection_id"]
        table, name = deployment.aws("dynamodb"), deployment.facts["outputs"]["TableName"]
        assert len(rows_of(table, name, connection_id)) == 1
    await until(lambda: rows_of(table, name, connection_id) == [])


def rows_of(table, name, connection_id):
    """The rows of a connection, whoever's (the tests may scan; the system never does)."""
    pages = table.get_paginator("scan").paginate(
        TableName=name,
        FilterExpression="SK = :sk",
        ExpressionAttributeValues={":sk": {"S": f"LIVE#CONN#{connection_id}"}},
        ConsistentRead=True,
    )
    return [item for page in pages for item in page["Items"]]
