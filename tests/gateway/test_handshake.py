import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus, NegotiationError

from tests.gateway.fakes import PATIENCE_S, FakeApi, Running, Start, hangs, ok, raises, returns


async def refused_with(running: Running, **options) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await running.connect(**options)
    return refusal.value.response.status_code


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_connect_function_that_says_2xx_lets_the_client_in(start: Start, status: int):
    running = await start(connect=returns({"statusCode": status}))
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")


@pytest.mark.parametrize("status", [301, 400, 403, 429, 501])
async def test_a_connect_functions_own_status_is_passed_on_without_a_body(start: Start, status: int):
    running = await start(connect=returns({"statusCode": status, "body": "secret reasons"}))
    answer = await running.upgrade()
    assert (answer.status, answer.body) == (status, "")
    assert answer.values("Connection") == ["close"]


@pytest.mark.parametrize("handler", [raises("boom"), returns(None), returns({"statusCode": 200, "extra": 1})])
async def test_a_connect_function_that_fails_is_a_502(start: Start, handler):
    running = await start(connect=handler)
    answer = await running.upgrade()
    assert (answer.status, json.loads(answer.body)["message"]) == (502, "Internal server error")


async def test_a_connect_function_that_takes_too_long_is_a_504(start: Start):
    running = await start(connect=hangs, limits={"integration_timeout_s": 0.2})
    assert await refused_with(running) == 504


async def test_an_api_without_a_connect_route_lets_everyone_in(start: Start):
    api = FakeApi()
    api.route("$default", "default")
    running = await start(api)
    client = await running.connect()
    await client.send("hello")
    await running.functions.event("default")


async def test_the_subprotocol_named_by_connect_is_in_the_answer_alone(start: Start):
    running = await start(connect=returns({"statusCode": 200, "headers": {"sec-websocket-protocol": "chat.v1"}}))
    client = await running.connect(subprotocols=["chat.v1", "bearer.token"])
    assert client.subprotocol == "chat.v1"


async def test_a_subprotocol_among_the_multi_value_headers_counts(start: Start):
    running = await start(connect=returns({"multiValueHeaders": {"Sec-WebSocket-Protocol": ["chat.v1"]}}))
    client = await running.connect(subprotocols=["chat.v1"])
    assert client.subprotocol == "chat.v1"


async def test_no_subprotocol_is_named_unless_connect_names_it(start: Start):
    running = await start(connect=ok)
    answer = await running.upgrade("Sec-WebSocket-Protocol: chat.v1")
    assert answer.status == 101
    assert answer.values("Sec-WebSocket-Protocol") == []


async def test_a_subprotocol_is_passed_on_even_if_the_client_did_not_offer_it(start: Start):
    running = await start(connect=returns({"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "other"}}))
    with pytest.raises(NegotiationError):
        await running.connect(subprotocols=["chat.v1"])


async def test_a_subprotocol_cannot_smuggle_a_header(start: Start):
    running = await start(connect=returns({"headers": {"Sec-WebSocket-Protocol": "a\r\nSet-Cookie: b"}}))
    answer = await running.upgrade()
    assert answer.status == 502
    assert answer.values("Set-Cookie") == []


async def test_no_other_header_of_the_connect_function_is_passed_on(start: Start):
    running = await start(connect=returns({"statusCode": 200, "headers": {"Set-Cookie": "a=b"}}))
    answer = await running.upgrade()
    assert answer.values("Set-Cookie") == []


async def test_a_request_that_is_no_upgrade_is_refused_without_invoking_anything(start: Start):
    running = await start()
    answer = await running.request("GET /live HTTP/1.1", f"Host: {running.authority}")
    assert answer.status == 426
    assert running.functions.events == []


@pytest.mark.parametrize("path", ["/", "/other", "/live/more"])
async def test_a_path_that_is_not_the_stages_is_forbidden(start: Start, path: str):
    running = await start()
    answer = await running.upgrade(path=path)
    assert (answer.status, answer.body) == (403, '{"message": "Forbidden"}')
    assert running.functions.events == []


async def test_a_slash_after_the_stage_is_the_stage(start: Start):
    running = await start()
    answer = await running.upgrade(path="/live/?a=b")
    assert answer.status == 101


async def test_a_url_longer_than_the_limit_is_refused(start: Start):
    running = await start()
    base = len(f"wss://{running.authority}/live?q=")
    fits = await running.upgrade(path=f"/live?q={'x' * (4096 - base)}")
    too_long = await running.upgrade(path=f"/live?q={'x' * (4097 - base)}")
    assert (fits.status, too_long.status) == (101, 414)


async def test_until_an_api_is_attached_clients_are_told_to_come_back(start: Start):
    running = await start(attached=False)
    answer = await running.upgrade()
    assert answer.status == 503
    assert "attached" in answer.body
    await running.gateway.attach("a1b2c3")
    await running.connect()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
async def test_a_loopback_host_is_answered(start: Start, host: str):
    running = await start()
    answer = await running.upgrade(host=f"{host}:1234")
    assert answer.status == 101


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1", ""])
async def test_another_host_is_refused_with_a_sentence_and_nothing_is_invoked(start: Start, host: str):
    running = await start()
    answer = await running.upgrade(host=host or " ")
    assert answer.status == 403
    assert "allowed_hosts" in answer.body
    assert running.functions.events == []


async def test_a_host_named_at_construction_is_answered(start: Start):
    running = await start(allowed_hosts=["Host.Docker.Internal"])
    answer = await running.upgrade(host="host.docker.internal:8080")
    assert answer.status == 101


async def test_an_origin_is_the_authorizers_business(start: Start):
    running = await start()
    answer = await running.upgrade("Origin: https://app.example")
    assert answer.status == 101
    event = await running.functions.event("connect")
    assert event["headers"]["Origin"] == "https://app.example"


async def test_a_client_that_leaves_during_connect_is_told_to_disconnect(start: Start):
    go_on = asyncio.Event()

    async def slow(event):
        await go_on.wait()
        return {"statusCode": 200}

    running = await start(connect=slow)
    handshake = asyncio.create_task(running.connect())
    await running.functions.event("connect")
    handshake.cancel()
    await asyncio.wait({handshake})
    await asyncio.sleep(0.1)  # the end of the TCP connection must have been seen before $connect returns
    go_on.set()
    event = await running.functions.event("disconnect")
    assert event["requestContext"]["disconnectStatusCode"] == 1006


async def test_a_client_that_leaves_during_a_failing_connect_is_not_told_to_disconnect(start: Start):
    running = await start(connect=returns({"statusCode": 403}))
    await refused_with(running)
    await running.gateway.stop()
    assert running.functions.of("disconnect") == []


async def test_a_route_added_by_a_later_deploy_is_served_after_attaching_again(start: Start):
    running = await start()
    client = await running.connect()
    running.api.route("late", "late", two_way=True)
    running.functions.handlers["late"] = returns({"body": "here"})
    await running.gateway.attach("a1b2c3")
    await client.send('{"action": "late"}')
    async with asyncio.timeout(PATIENCE_S):
        assert await client.recv() == "here"
