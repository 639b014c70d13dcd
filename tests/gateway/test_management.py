import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.asyncio.client import ClientConnection

from local.gateway.management import _sent
from tests.gateway.fakes import PATIENCE_S, Running, Start, hangs, raw_request

Call = Callable[..., Awaitable[Any]]
ID = "L0SM9cOFvHcCIhw="


@pytest.fixture
async def caller() -> AsyncIterator[Callable[[Running], Call]]:
    """Calls a gateway's @connections with boto3, in a thread, since boto3 blocks."""
    made = []

    def for_gateway(running: Running) -> Call:
        client = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=running.gateway.management_endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        made.append(client)

        async def call(operation: str, **parameters: Any) -> Any:
            return await asyncio.to_thread(getattr(client, operation), **parameters)

        return call

    yield for_gateway
    for client in made:
        client.close()


async def connection_id(running: Running, nth: int = 0) -> str:
    return str((await running.functions.event("connect", nth))["requestContext"]["connectionId"])


async def failure(call: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(ClientError) as refusal:
        await call
    response = refusal.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


async def received(client: ClientConnection) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return str(await client.recv())


async def test_a_post_reaches_its_client_as_text(start: Start, caller):
    running = await start()
    first, second = await running.connect(), await running.connect()
    call = caller(running)
    posted = await call("post_to_connection", ConnectionId=await connection_id(running, 1), Data="grüße".encode())
    assert posted["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert await received(second) == "grüße"
    await call("post_to_connection", ConnectionId=await connection_id(running, 0), Data=b"other")
    assert await received(first) == "other"


async def test_posts_arrive_in_order(start: Start, caller):
    running = await start()
    client = await running.connect()
    call = caller(running)
    for number in range(5):
        await call("post_to_connection", ConnectionId=await connection_id(running), Data=str(number).encode())
    assert [await received(client) for _ in range(5)] == ["0", "1", "2", "3", "4"]


async def test_a_large_post_is_one_message_in_frames_of_32_kib(start: Start, caller):
    running = await start()
    client = await running.connect(max_size=(131072, 32768))  # this client refuses larger frames
    text = "é" * 65536
    await caller(running)("post_to_connection", ConnectionId=await connection_id(running), Data=text.encode())
    assert await received(client) == text


async def test_a_post_over_128_kib_is_too_large(start: Start, caller):
    running = await start()
    client = await running.connect()
    call, to = caller(running), await connection_id(running)
    for size in (131073, 500_000):
        refused = await failure(call("post_to_connection", ConnectionId=to, Data=b"x" * size))
        assert refused == (413, "PayloadTooLargeException")
    await call("post_to_connection", ConnectionId=to, Data=b"still open")
    assert await received(client) == "still open"


@pytest.mark.parametrize("operation", ["post_to_connection", "get_connection", "delete_connection"])
async def test_a_connection_that_never_was_is_gone(start: Start, caller, operation: str):
    running = await start()
    data = {"Data": b"x"} if operation == "post_to_connection" else {}
    assert await failure(caller(running)(operation, ConnectionId=ID, **data)) == (410, "GoneException")


async def test_a_closed_connection_is_gone(start: Start, caller):
    running = await start()
    client = await running.connect()
    await client.close()
    await running.functions.event("disconnect")
    post = caller(running)("post_to_connection", ConnectionId=await connection_id(running), Data=b"x")
    assert await failure(post) == (410, "GoneException")


async def test_a_connection_whose_client_has_said_goodbye_is_gone(start: Start, caller):
    running = await start(limits={"close_timeout_s": PATIENCE_S, "stop_timeout_s": 0.3})
    answer = await running.upgrade()
    answer.writer.write(b"\x88\x80\x00\x00\x00\x00")  # a masked close frame; the connection stays
    async with asyncio.timeout(PATIENCE_S):
        assert await answer.reader.readexactly(2) == b"\x88\x00"
    call, to = caller(running), await connection_id(running)
    assert await failure(call("get_connection", ConnectionId=to)) == (410, "GoneException")


async def test_a_connection_that_goes_while_it_is_posted_to_is_gone(start: Start):
    running = await start()
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")
    session = running.gateway._listener.sessions[await connection_id(running)]
    await client.close()
    assert (await _sent(session, b"late")).status == 410


async def test_a_connection_is_gone_until_connect_has_returned(start: Start, caller):
    go_on = asyncio.Event()

    async def slow(event):
        await go_on.wait()
        return {"statusCode": 200}

    running = await start(connect=slow)
    handshake = asyncio.create_task(running.connect())
    to, call = await connection_id(running), caller(running)
    assert await failure(call("post_to_connection", ConnectionId=to, Data=b"early")) == (410, "GoneException")
    go_on.set()
    client = await handshake
    await call("post_to_connection", ConnectionId=to, Data=b"in time")
    assert await received(client) == "in time"


async def test_get_tells_when_and_by_whom(start: Start, caller):
    clock = [1700000000.125]
    running = await start(now=lambda: clock[0])
    client = await running.connect(user_agent_header="test/1")
    clock[0] += 60
    await client.send("hello")
    await running.functions.event("default")
    told = await caller(running)("get_connection", ConnectionId=await connection_id(running))
    assert told["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "test/1"}
    assert told["ConnectedAt"] == datetime.fromtimestamp(1700000000.125, UTC)
    assert told["LastActiveAt"] == datetime.fromtimestamp(1700000060.125, UTC)


async def test_a_post_is_activity_too(start: Start, caller):
    clock = [1700000000.0]
    running = await start(now=lambda: clock[0])
    await running.connect()
    call, to = caller(running), await connection_id(running)
    clock[0] += 60
    await call("post_to_connection", ConnectionId=to, Data=b"x")
    told = await call("get_connection", ConnectionId=to)
    assert told["LastActiveAt"] == datetime.fromtimestamp(1700000060, UTC)


async def test_delete_closes_the_connection_normally(start: Start, caller):
    running = await start()
    client = await running.connect()
    call, to = caller(running), await connection_id(running)
    deleted = await call("delete_connection", ConnectionId=to)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert await running.closed(client) == (1000, "Connection Closed Normally")
    context = (await running.functions.event("disconnect"))["requestContext"]
    ending = (context["disconnectStatusCode"], context["disconnectReason"])
    assert ending == (1000, "Connection Closed Normally")


async def test_a_deleted_connection_is_gone_at_once_even_if_its_client_does_not_answer(start: Start, caller):
    running = await start(limits={"close_timeout_s": PATIENCE_S, "stop_timeout_s": 0.3})
    await running.upgrade()
    call, to = caller(running), await connection_id(running)
    await call("delete_connection", ConnectionId=to)
    assert await failure(call("get_connection", ConnectionId=to)) == (410, "GoneException")


async def test_calls_beyond_the_limit_are_refused_until_time_has_passed(start: Start, caller):
    clock = [1700000000.0]
    running = await start(now=lambda: clock[0], limits={"calls_per_second": 2})
    await running.connect()
    call, to = caller(running), await connection_id(running)
    for _ in range(2):
        await call("post_to_connection", ConnectionId=to, Data=b"x")
    refused = failure(call("post_to_connection", ConnectionId=to, Data=b"x"))
    assert await refused == (429, "LimitExceededException")
    clock[0] += 0.5
    await call("post_to_connection", ConnectionId=to, Data=b"x")


async def test_posts_to_a_client_that_does_not_read_are_refused(start: Start, caller):
    running = await start(limits={"client_buffer_bytes": 1024, "close_timeout_s": 0.2})
    await running.upgrade()  # reads nothing after its handshake
    call, to = caller(running), await connection_id(running)

    async def fill() -> None:
        while True:
            await call("post_to_connection", ConnectionId=to, Data=b"x" * 131072)

    async with asyncio.timeout(PATIENCE_S):
        assert await failure(fill()) == (429, "LimitExceededException")


async def test_a_malformed_id_is_a_bad_request(start: Start, caller):
    running = await start()
    refused = await failure(caller(running)("post_to_connection", ConnectionId="nonsense", Data=b"x"))
    assert refused == (400, "BadRequestException")


async def test_what_is_not_text_is_a_bad_request(start: Start, caller):
    running = await start()
    await running.connect()
    call, to = caller(running), await connection_id(running)
    refused = await failure(call("post_to_connection", ConnectionId=to, Data=b"\xff"))
    assert refused == (400, "BadRequestException")


async def request(running: Running, *lines: str):
    authority = running.gateway.management_endpoint.removeprefix("http://").partition("/")[0]
    host = [] if any(line.startswith("Host:") for line in lines) else [f"Host: {authority}"]
    return await raw_request(authority, lines[0], *host, "Connection: close", *lines[1:])


@pytest.mark.parametrize("path", ["/live/%40connections/L0SM9cOFvHcCIhw%3D", "/live/@connections/L0SM9cOFvHcCIhw="])
async def test_a_path_may_be_percent_encoded_or_not(start: Start, path: str):
    running = await start()
    assert (await request(running, f"GET {path} HTTP/1.1")).status == 410


async def test_an_error_has_the_form_that_sdks_read(start: Start):
    running = await start()
    answer = await request(running, f"GET /live/@connections/{ID} HTTP/1.1")
    assert answer.values("x-amzn-ErrorType") == ["GoneException"]
    assert answer.values("Content-Type") == ["application/json; charset=utf-8"]
    assert "message" in json.loads(answer.body)


@pytest.mark.parametrize(
    "line", [f"GET /other/@connections/{ID}", f"PUT /live/@connections/{ID}", f"HEAD /live/@connections/{ID}", "GET /"]
)
async def test_another_route_is_forbidden(start: Start, line: str):
    running = await start()
    answer = await request(running, f"{line} HTTP/1.1")
    assert (answer.status, answer.values("x-amzn-ErrorType")) == (403, ["ForbiddenException"])


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1:80", "127.0.0.1.evil.example"])
async def test_another_host_is_forbidden(start: Start, host: str):
    running = await start()
    await running.connect()
    to = await connection_id(running)
    answer = await request(running, f"GET /live/@connections/{to} HTTP/1.1", f"Host: {host}")
    assert answer.status == 403
    assert "allowed_hosts" in answer.body


async def test_a_host_named_at_construction_is_answered(start: Start):
    running = await start(allowed_hosts=["host.docker.internal"])
    line = f"GET /live/@connections/{ID} HTTP/1.1"
    assert (await request(running, line, "Host: host.docker.internal:9000")).status == 410


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://127.0.0.1"])
async def test_any_origin_is_forbidden(start: Start, origin: str):
    running = await start()
    await running.connect()
    to = await connection_id(running)
    answer = await request(running, f"DELETE /live/@connections/{to} HTTP/1.1", f"Origin: {origin}")
    assert answer.status == 403
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert running.functions.of("disconnect") == []


async def test_functions_may_post_while_the_gateway_stops(start: Start, caller):
    statuses: list[tuple[int, str]] = []

    async def last_words(event):
        posted = call("get_connection", ConnectionId=ID)
        statuses.append(await failure(posted))
        return {"statusCode": 200}

    running = await start(disconnect=last_words)
    call = caller(running)
    await running.connect()
    await running.gateway.stop()
    assert statuses == [(410, "GoneException")]


async def test_a_post_under_way_does_not_keep_the_gateway_from_stopping(start: Start):
    running = await start(default=hangs, limits={"stop_timeout_s": 0.3})
    authority = running.gateway.management_endpoint.removeprefix("http://").partition("/")[0]
    host, _, port = authority.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST /live/@connections/{ID} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 9\r\n\r\n".encode())
    await writer.drain()
    async with asyncio.timeout(PATIENCE_S):
        await running.gateway.stop()
    writer.close()
