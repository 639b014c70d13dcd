import asyncio
import json
import re

import pytest
from websockets.asyncio.client import ClientConnection

from tests.gateway.fakes import PATIENCE_S, FakeApi, Start, echo, hangs, ok, raises, returns

ID = r"[A-Za-z0-9_-]{15}="


async def answer(client: ClientConnection) -> str:
    async with asyncio.timeout(PATIENCE_S):
        return str(await client.recv())


async def test_a_message_reaches_the_route_its_body_names(start: Start):
    api = FakeApi(selection="$request.body.action")
    api.route("greet", "greeter", two_way=True)
    api.route("$default", "default")
    running = await start(api, greeter=returns({"statusCode": 200, "body": "hello"}))
    client = await running.connect()
    await client.send('{"action": "greet"}')
    assert await answer(client) == "hello"
    assert running.functions.of("greeter")[0]["requestContext"]["routeKey"] == "greet"


@pytest.mark.parametrize("body", ["not json", '{"action": "unknown"}', '{"other": 1}', "[1]", '{"action": {}}'])
async def test_a_message_without_a_route_of_its_own_reaches_default(start: Start, body: str):
    running = await start(default=echo)
    client = await running.connect()
    await client.send(body)
    assert await answer(client) == body
    assert running.functions.of("default")[0]["requestContext"]["routeKey"] == "$default"


async def test_without_a_default_route_an_unknown_message_is_forbidden(start: Start):
    api = FakeApi()
    api.route("greet", "greeter")
    running = await start(api)
    client = await running.connect()
    await client.send('{"action": "unknown"}')
    frame = await answer(client)
    assert re.fullmatch(rf'{{"message": "Forbidden", "connectionId":"{ID}", "requestId":"{ID}"}}', frame)


async def test_the_body_of_a_one_way_route_stays_with_the_gateway(start: Start):
    api = FakeApi()
    api.route("quiet", "quiet")
    api.route("loud", "loud", two_way=True)
    running = await start(api, quiet=echo, loud=echo)
    client = await running.connect()
    await client.send('{"action": "quiet"}')
    await running.functions.event("quiet")
    await client.send('{"action": "loud"}')
    assert await answer(client) == '{"action": "loud"}'


@pytest.mark.parametrize("missing", ["expression", "route response"])
async def test_a_route_is_two_way_only_with_both_an_expression_and_a_route_response(start: Start, missing: str):
    api = FakeApi()
    api.route("half", "half", two_way=True)
    if missing == "expression":
        del api.routes[0]["RouteResponseSelectionExpression"]
    else:
        api.route_responses.clear()
    api.route("$default", "default", two_way=True)
    running = await start(api, half=echo, default=echo)
    client = await running.connect()
    await client.send('{"action": "half"}')
    await running.functions.event("half")
    await client.send("whole")
    assert await answer(client) == "whole"


async def test_a_reply_goes_out_whatever_status_the_function_returns(start: Start):
    running = await start(default=returns({"statusCode": 501, "body": "sorry"}))
    client = await running.connect()
    await client.send("hello")
    assert await answer(client) == "sorry"


@pytest.mark.parametrize(
    "handler",
    [
        raises("boom"),
        returns(None),
        returns({"statusCode": 200, "Data": "an unknown key"}),
        returns({"statusCode": "ok"}),
        returns({"statusCode": 200, "body": {"not": "text"}}),
        returns({"statusCode": 200, "body": "half a pair: \ud83d"}),
        returns({"statusCode": 200, "body": "not base64", "isBase64Encoded": True}),
    ],
)
async def test_a_function_that_fails_gives_the_gateways_own_error_frame(start: Start, handler):
    running = await start(default=handler)
    client = await running.connect()
    await client.send("hello")
    frame = await answer(client)
    assert re.fullmatch(rf'{{"message": "Internal server error", "connectionId":"{ID}", "requestId":"{ID}"}}', frame)
    context = running.functions.of("default")[0]["requestContext"]
    assert json.loads(frame)["connectionId"] == context["connectionId"]
    assert json.loads(frame)["requestId"] == context["requestId"]


async def test_a_failure_on_a_one_way_route_is_told_to_the_client_too(start: Start):
    api = FakeApi()
    api.route("$default", "default")
    running = await start(api, default=raises("boom"))
    client = await running.connect()
    await client.send("hello")
    assert json.loads(await answer(client))["message"] == "Internal server error"


async def test_a_function_slower_than_the_limit_has_timed_out(start: Start):
    running = await start(default=hangs, limits={"integration_timeout_s": 0.2})
    client = await running.connect()
    await client.send("hello")
    assert json.loads(await answer(client))["message"] == "Endpoint request timed out"


async def test_an_integrations_own_timeout_wins_when_it_is_shorter(start: Start):
    api = FakeApi()
    api.route("$default", "default", timeout_ms=100)
    running = await start(api, default=hangs)
    client = await running.connect()
    await client.send("hello")
    assert json.loads(await answer(client))["message"] == "Endpoint request timed out"


async def test_messages_of_one_connection_are_dispatched_concurrently(start: Start):
    second_has_come = asyncio.Event()

    async def first_waits_for_second(event):
        if event["body"] == "first":
            await second_has_come.wait()
        second_has_come.set()
        return {"statusCode": 200, "body": event["body"]}

    running = await start(default=first_waits_for_second)
    client = await running.connect()
    await client.send("first")
    await client.send("second")
    assert {await answer(client), await answer(client)} == {"first", "second"}


async def test_no_body_means_no_reply(start: Start):
    running = await start(default=lambda event: echo(event) if event["body"] == "speak" else ok(event))
    client = await running.connect()
    await client.send("silence")
    await running.functions.event("default")
    await client.send("speak")
    assert await answer(client) == "speak"


async def test_empty_replies_can_be_asked_for(start: Start):
    running = await start(default=ok, empty_replies=True)
    client = await running.connect()
    await client.send("hello")
    assert await answer(client) == ""


async def test_a_base64_body_is_sent_as_the_text_it_encodes(start: Start):
    running = await start(default=returns({"statusCode": 200, "body": "w6k=", "isBase64Encoded": True}))
    client = await running.connect()
    await client.send("hello")
    assert await answer(client) == "é"


async def test_a_reply_larger_than_a_message_may_be_is_a_failure(start: Start):
    running = await start(default=returns({"statusCode": 200, "body": "x" * 131073}))
    client = await running.connect()
    await client.send("hello")
    assert json.loads(await answer(client))["message"] == "Internal server error"


async def test_a_body_may_name_a_lifecycle_route_as_on_aws(start: Start):
    running = await start()
    client = await running.connect()
    await client.send('{"action": "$disconnect"}')
    event = await running.functions.event("disconnect")
    assert event["requestContext"]["routeKey"] == "$disconnect"
    assert event["requestContext"]["eventType"] == "MESSAGE"


async def test_a_binary_message_closes_with_1003(start: Start):
    running = await start()
    client = await running.connect()
    await client.send(b"\x00\x01")
    assert (await running.closed(client))[0] == 1003
    assert running.functions.of("default") == []


async def test_a_frame_of_32_kib_is_accepted_and_one_byte_more_closes_with_1009(start: Start):
    running = await start(default=lambda event: {"body": str(len(event["body"]))})
    client = await running.connect()
    await client.send("x" * 32768)
    assert await answer(client) == "32768"
    await client.send("x" * 32769)
    assert (await running.closed(client))[0] == 1009


async def test_a_message_of_128_kib_is_accepted_and_one_byte_more_closes_with_1009(start: Start):
    running = await start(default=lambda event: {"body": str(len(event["body"]))})
    client = await running.connect()
    await client.send(["x" * 32768] * 4)
    assert await answer(client) == "131072"
    await client.send(["x" * 32768] * 4 + ["x"])
    assert (await running.closed(client))[0] == 1009


async def test_the_invoker_raising_is_a_failed_integration(start: Start):
    running = await start()
    del running.functions.handlers["default"]  # the fake raises KeyError, as a broken invoker might
    client = await running.connect()
    await client.send("hello")
    assert json.loads(await answer(client))["message"] == "Internal server error"
