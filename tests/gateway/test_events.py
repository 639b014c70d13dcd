import re
import time

from tests.gateway.fakes import FakeApi, Start, three_routes

ID = re.compile(r"[A-Za-z0-9_-]{15}=")
AT = 1704067199.987


async def test_the_connect_event_is_awss(start: Start):
    running = await start(now=lambda: AT)
    await running.upgrade("User-Agent: test/1", "X-Own-CASE: value", path="/live?a=1&a=2&empty=")
    event = await running.functions.event("connect")
    context = event["requestContext"]
    assert {key: context[key] for key in ("routeKey", "eventType", "messageDirection", "stage", "apiId")} == {
        "routeKey": "$connect",
        "eventType": "CONNECT",
        "messageDirection": "IN",
        "stage": "live",
        "apiId": "a1b2c3",
    }
    assert context["connectedAt"] == context["requestTimeEpoch"] == 1704067199987
    assert context["requestTime"] == "31/Dec/2023:23:59:59 +0000"
    assert context["identity"] == {"userAgent": "test/1", "sourceIp": "127.0.0.1"}
    assert ID.fullmatch(context["connectionId"])
    assert ID.fullmatch(context["requestId"])
    assert context["extendedRequestId"] == context["requestId"] != context["connectionId"]
    assert event["headers"]["X-Own-CASE"] == "value"
    assert event["multiValueHeaders"]["X-Own-CASE"] == ["value"]
    assert event["queryStringParameters"] == {"a": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "empty": [""]}
    assert event["isBase64Encoded"] is False
    assert not {"body", "stageVariables", "disconnectReason", "messageId"} & (event.keys() | context.keys())


async def test_the_connect_event_has_the_headers_that_the_front_adds_and_not_those_it_consumes(start: Start):
    running = await start()
    await running.upgrade("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: gopher")
    event = await running.functions.event("connect")
    headers = event["headers"]
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["203.0.113.9, 127.0.0.1"]
    assert headers["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert headers["X-Forwarded-Port"] == running.authority.rpartition(":")[2]
    assert headers["X-Forwarded-Proto"] == "http"
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", headers["X-Amzn-Trace-Id"])
    assert headers["Sec-WebSocket-Version"] == "13"
    assert not {"Connection", "Upgrade"} & headers.keys()


async def test_without_query_and_user_agent_their_keys_are_absent(start: Start):
    running = await start()
    await running.upgrade()
    event = await running.functions.event("connect")
    assert "queryStringParameters" not in event
    assert event["requestContext"]["identity"] == {"sourceIp": "127.0.0.1"}


async def test_the_message_event_is_awss_and_has_no_headers(start: Start):
    clock = iter(range(1000, 2000))
    running = await start(now=lambda: float(next(clock)))
    client = await running.connect()
    await client.send("first")
    await client.send("second")
    connected = (await running.functions.event("connect"))["requestContext"]
    first, second = [await running.functions.event("default", nth) for nth in (0, 1)]
    assert first.keys() == {"requestContext", "body", "isBase64Encoded"}
    assert (first["body"], second["body"]) == ("first", "second")
    context = first["requestContext"]
    assert (context["routeKey"], context["eventType"]) == ("$default", "MESSAGE")
    assert ID.fullmatch(context["messageId"])
    for key in ("connectionId", "connectedAt", "identity", "domainName"):
        assert context[key] == connected[key] == second["requestContext"][key]
    for key in ("messageId", "requestId"):
        assert context[key] != second["requestContext"][key]
    assert context["requestTimeEpoch"] > connected["requestTimeEpoch"]


async def test_the_disconnect_event_is_awss(start: Start):
    running = await start()
    client = await running.connect()
    await client.close(4001, "done")
    event = await running.functions.event("disconnect")
    context = event["requestContext"]
    host = context["domainName"]
    assert event.keys() == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    assert event["headers"] == {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    assert event["multiValueHeaders"]["Host"] == [host]
    assert (context["routeKey"], context["eventType"]) == ("$disconnect", "DISCONNECT")
    assert (context["disconnectStatusCode"], context["disconnectReason"]) == (4001, "done")


async def test_the_domain_name_is_where_a_function_reaches_the_connection_again(start: Start):
    running = await start()
    await running.connect()
    context = (await running.functions.event("connect"))["requestContext"]
    assert running.gateway.management_endpoint == f"http://{context['domainName']}/{context['stage']}"


async def test_stage_variables_are_on_every_event_when_there_are_any(start: Start):
    api = FakeApi(variables={"color": "blue"})
    for key in ("$connect", "$disconnect", "$default"):
        api.route(key, key.removeprefix("$"))
    running = await start(api)
    client = await running.connect()
    await client.send("hello")
    await client.close()
    for function in ("connect", "default", "disconnect"):
        assert (await running.functions.event(function))["stageVariables"] == {"color": "blue"}


async def test_header_bytes_beyond_ascii_reach_functions_as_latin_1(start: Start):
    running = await start()
    await running.upgrade("X-Name: \xe9")
    assert (await running.functions.event("connect"))["headers"]["X-Name"] == "é"


async def test_ids_differ_between_connections(start: Start):
    running = await start(three_routes())
    for _ in range(3):
        await running.connect()
    events = [await running.functions.event("connect", nth) for nth in range(3)]
    assert len({event["requestContext"]["connectionId"] for event in events}) == 3
    assert abs(events[0]["requestContext"]["connectedAt"] / 1000 - time.time()) < 3600
