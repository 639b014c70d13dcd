import asyncio
import gc
import logging
import time

import pytest
from websockets.exceptions import ConnectionClosed

from tests.gateway.fakes import PATIENCE_S, Start, echo, hangs, ok
from tests.support.waiting import TIME_FACTOR

IDLE_S = 1.0 * TIME_FACTOR  # of which a busy machine may lose two fifths


async def ended(running) -> tuple[int, str]:
    context = (await running.functions.event("disconnect"))["requestContext"]
    return context["disconnectStatusCode"], context["disconnectReason"]


async def test_an_idle_connection_is_closed_with_going_away(start: Start):
    running = await start(limits={"idle_s": 0.2})
    client = await running.connect()
    assert await running.closed(client) == (1001, "Going away")
    assert await ended(running) == (1001, "Going away")


async def test_a_message_starts_the_idle_time_anew(start: Start):
    running = await start(limits={"idle_s": IDLE_S})
    client = await running.connect()
    await asyncio.sleep(IDLE_S * 0.6)
    await client.send("hello")
    await asyncio.sleep(IDLE_S * 0.6)
    await client.send("still here")
    await running.functions.event("default", 1)


async def test_a_post_starts_the_idle_time_anew(start: Start):
    running = await start(limits={"idle_s": IDLE_S}, default=echo)
    client = await running.connect()
    session = next(iter(running.gateway._listener.sessions.values()))
    await asyncio.sleep(IDLE_S * 0.6)
    await session.send(b"news")
    await asyncio.sleep(IDLE_S * 0.6)
    await client.send("still here")
    await running.functions.event("default")


async def test_a_ping_is_answered_but_does_not_count_as_activity(start: Start):
    running = await start(limits={"idle_s": 0.5})
    client = await running.connect()
    async with asyncio.timeout(PATIENCE_S):
        await repeat(client.ping)
    assert client.close_code == 1001


async def repeat(action) -> None:
    """Does it again and again until the connection is closed. What a ping returns, its pong, is awaited too."""
    try:
        while True:
            pong = await action()
            if pong is not None:
                await pong
            await asyncio.sleep(0.05)
    except ConnectionClosed:
        return


async def test_a_busy_connection_is_closed_at_the_end_of_its_lifetime(start: Start):
    running = await start(limits={"lifetime_s": 0.5})
    client = await running.connect()
    async with asyncio.timeout(PATIENCE_S):
        await repeat(lambda: client.send("hello"))
    assert (client.close_code, client.close_reason) == (1001, "Going away")
    assert await ended(running) == (1001, "Going away")


EMPTY_CLOSE = b"\x88\x80\x00\x00\x00\x00"  # a masked close frame without a payload


async def test_a_client_that_closes_without_a_status_is_reported_as_on_aws(start: Start):
    running = await start()
    answer = await running.upgrade()
    answer.writer.write(EMPTY_CLOSE)
    answer.writer.close()
    assert await ended(running) == (1005, "Client-side close frame status not set")


async def test_a_client_that_sends_a_close_frame_and_stays_is_cut(start: Start):
    running = await start(limits={"close_timeout_s": 0.2})
    answer = await running.upgrade()
    answer.writer.write(EMPTY_CLOSE)
    assert (await ended(running))[0] == 1005


async def test_a_client_that_stays_after_a_frame_too_large_is_cut(start: Start):
    running = await start(limits={"close_timeout_s": 0.2})
    answer = await running.upgrade()
    answer.writer.write(b"\x81\xff" + (32769).to_bytes(8, "big") + b"\x00" * 4)
    assert (await ended(running))[0] == 1009


@pytest.mark.parametrize(("code", "reason"), [(1000, "Connection Closed Normally"), (1001, "Going away")])
async def test_a_status_without_a_reason_is_reported_with_awss(start: Start, code: int, reason: str):
    running = await start()
    client = await running.connect()
    await client.close(code)
    assert await ended(running) == (code, reason)


async def test_a_client_that_vanishes_is_reported_as_abnormal(start: Start):
    running = await start()
    client = await running.connect()
    client.transport.abort()
    assert (await ended(running))[0] == 1006


@pytest.mark.parametrize(("message", "code"), [(b"binary", 1003), ("x" * 32769, 1009)])
async def test_a_forbidden_message_is_reported_with_the_code_it_was_closed_with(start: Start, message, code: int):
    running = await start()
    client = await running.connect()
    await client.send(message)
    assert (await ended(running))[0] == code


async def test_disconnect_does_not_wait_for_messages_under_way(start: Start):
    running = await start(default=hangs, limits={"stop_timeout_s": 0.3})
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    await client.close()
    await running.functions.event("disconnect")


async def test_an_answer_for_a_client_that_has_left_is_dropped(start: Start, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    go_on = asyncio.Event()

    async def slow(event):
        await go_on.wait()
        return {"body": "too late"}

    running = await start(default=slow)
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    await client.close()
    await running.functions.event("disconnect")
    go_on.set()
    await running.gateway.stop()
    assert any("gone before its answer" in line for line in caplog.messages)
    assert running.gateway._listener.sessions == {}


async def test_stop_closes_every_connection_and_runs_its_disconnect(start: Start):
    running = await start()
    clients = [await running.connect() for _ in range(3)]
    await running.gateway.stop()
    assert [await running.closed(client) for client in clients] == [(1001, "Going away")] * 3
    assert len(running.functions.of("disconnect")) == 3
    with pytest.raises(ConnectionRefusedError):
        await running.connect()


async def test_stop_waits_for_messages_under_way(start: Start):
    finished = []

    async def slow(event):
        await asyncio.sleep(0.2)
        finished.append(event["body"])
        return ok(event)

    running = await start(default=slow)
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    await running.gateway.stop()
    assert finished == ["hello"]


async def test_stop_does_not_wait_for_functions_that_hang(start: Start):
    running = await start(default=hangs, disconnect=hangs, limits={"stop_timeout_s": 0.3})
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    async with asyncio.timeout(PATIENCE_S):
        await running.gateway.stop()
    await running.functions.event("disconnect")


async def test_stop_does_not_wait_for_functions_that_it_would_only_call_then(start: Start):
    limits = {"stop_timeout_s": 0.3, "close_timeout_s": 10 * PATIENCE_S, "integration_timeout_s": 10 * PATIENCE_S}
    running = await start(disconnect=hangs, limits=limits)
    await running.upgrade()  # never answers the close frame, so that $disconnect comes after the time is over
    async with asyncio.timeout(PATIENCE_S):
        await running.gateway.stop()
    assert running.functions.of("disconnect") == []


async def test_stop_refuses_a_handshake_that_is_under_way_and_takes_its_connect_back(start: Start):
    go_on = asyncio.Event()

    async def slow(event):
        await go_on.wait()
        return ok(event)

    running = await start(connect=slow)
    handshake = asyncio.create_task(running.upgrade())
    await running.functions.event("connect")
    stopping = asyncio.create_task(running.gateway.stop())
    await asyncio.sleep(0)
    go_on.set()
    assert (await handshake).status == 503
    await stopping
    assert (await ended(running))[0] == 1001


async def test_stop_does_not_wait_for_a_client_that_never_asks_for_anything(start: Start):
    running = await start(limits={"stop_timeout_s": PATIENCE_S})
    host, _, port = running.authority.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    await running.connect()  # by now the silent connection has been accepted too
    began = time.monotonic()
    await running.gateway.stop()
    assert time.monotonic() - began < PATIENCE_S
    writer.close()


async def test_stop_does_not_wait_for_a_client_that_does_not_answer_the_close_frame(start: Start):
    running = await start(limits={"close_timeout_s": 0.2})
    await running.upgrade()
    async with asyncio.timeout(PATIENCE_S):
        await running.gateway.stop()
    assert await ended(running) == (1001, "Going away")


async def test_stop_leaves_no_task(start: Start):
    before = asyncio.all_tasks()
    running = await start(default=hangs, limits={"stop_timeout_s": 0.3, "integration_timeout_s": 0.2})
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    await client.close()
    await running.gateway.stop()
    await asyncio.sleep(0)
    gc.collect()
    assert asyncio.all_tasks() <= before


async def test_stop_may_be_called_again_and_without_a_start(start: Start):
    running = await start()
    await running.gateway.stop()
    await running.gateway.stop()
