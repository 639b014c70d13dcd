import json

import pytest

from tests.gateway.fakes import FakeApi, Handler, Running, Start, hangs, policy, raises, returns

CONNECT_ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/live/$connect"


async def guarded(start: Start, authorizer: Handler, *, identity_sources=(), variables=None, **options) -> Running:
    api = FakeApi(variables=variables)
    api.connect_route("connect", authorizer="authorizer", identity_sources=identity_sources)
    api.route("$disconnect", "disconnect")
    api.route("$default", "default")
    return await start(api, authorizer=authorizer, **options)


async def status(running: Running, *lines: str, path: str = "/live") -> int:
    answer = await running.upgrade(*lines, path=path)
    return answer.status


async def test_the_authorizer_gets_awss_event(start: Start):
    running = await guarded(start, policy(), variables={"color": "blue"})
    lines = ("User-Agent: test/1", "X-Own-Case: one", "X-Own-Case: two")
    assert await status(running, *lines, path="/live?a=1&a=2&b=%C3%A9") == 101
    event = running.functions.of("authorizer")[0]
    assert event["type"] == "REQUEST"
    assert event["methodArn"] == CONNECT_ARN
    assert event["headers"]["X-Own-Case"] == "two"
    assert event["headers"]["Connection"] == "Upgrade"
    assert event["multiValueHeaders"]["X-Own-Case"] == ["one", "two"]
    assert event["queryStringParameters"] == {"a": "2", "b": "é"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["é"]}
    assert event["stageVariables"] == {"color": "blue"}
    assert event["requestContext"]["identity"] == {"userAgent": "test/1", "sourceIp": "127.0.0.1"}
    assert event["requestContext"]["eventType"] == "CONNECT"


async def test_without_query_and_variables_the_authorizer_gets_empty_objects(start: Start):
    running = await guarded(start, policy())
    await status(running)
    event = running.functions.of("authorizer")[0]
    assert [event[key] for key in ("queryStringParameters", "stageVariables")] == [{}, {}]


async def test_the_authorizer_and_connect_see_one_request(start: Start):
    running = await guarded(start, policy())
    await status(running)
    asked, connected = (running.functions.of(name)[0]["requestContext"] for name in ("authorizer", "connect"))
    for key in ("requestId", "connectionId", "connectedAt", "requestTimeEpoch"):
        assert asked[key] == connected[key]


async def test_its_context_is_on_every_later_event_as_text(start: Start):
    context = {"text": "a", "whole": 7, "part": 1.5, "yes": True, "no": False}
    running = await guarded(start, policy(context=context))
    client = await running.connect()
    await client.send("hello")
    await client.close()
    as_text = {"text": "a", "whole": "7", "part": "1.5", "yes": "true", "no": "false", "principalId": "ada"}
    connected = (await running.functions.event("connect"))["requestContext"]["authorizer"]
    assert isinstance(connected.pop("integrationLatency"), int)
    assert connected == as_text
    for function in ("default", "disconnect"):
        assert (await running.functions.event(function))["requestContext"]["authorizer"] == as_text


@pytest.mark.parametrize("value", [{"a": 1}, [1], None])
async def test_a_context_value_that_has_no_text_is_a_broken_authorizer(start: Start, value: object):
    running = await guarded(start, policy(context={"key": value}))
    assert await status(running) == 500


@pytest.mark.parametrize(
    ("source", "line", "path"),
    [
        ("route.request.header.Authorization", "AUTHORIZATION: x", "/live"),
        ("route.request.querystring.ticket", "", "/live?ticket=x"),
        ("stageVariables.color", "", "/live"),
        ("context.identity.sourceIp", "", "/live"),
    ],
)
async def test_a_present_identity_source_lets_the_authorizer_decide(start: Start, source: str, line: str, path: str):
    running = await guarded(start, policy(), identity_sources=[source], variables={"color": "blue"})
    assert await status(running, *([line] if line else []), path=path) == 101


@pytest.mark.parametrize(
    "source",
    [
        "route.request.header.Authorization",
        "route.request.querystring.ticket",
        "stageVariables.size",
        "context.identity.cognitoIdentityId",
    ],
)
async def test_a_missing_identity_source_is_a_401_and_the_authorizer_is_not_invoked(start: Start, source: str):
    running = await guarded(start, policy(), identity_sources=["context.connectionId", source])
    assert await status(running) == 401
    assert running.functions.events == []


async def test_an_empty_identity_source_is_a_missing_one(start: Start):
    running = await guarded(start, policy(), identity_sources=["route.request.querystring.ticket"])
    assert await status(running, path="/live?ticket=") == 401


async def test_raising_exactly_unauthorized_is_a_401(start: Start):
    running = await guarded(start, raises("Unauthorized"))
    answer = await running.upgrade()
    assert (answer.status, json.loads(answer.body)["message"]) == (401, "Unauthorized")
    assert running.functions.of("connect") == []


async def test_a_deny_is_a_403(start: Start):
    running = await guarded(start, policy("Deny"))
    answer = await running.upgrade()
    assert answer.status == 403
    assert json.loads(answer.body)["message"].endswith("explicit deny")
    assert running.functions.of("connect") == []


async def test_a_policy_about_something_else_is_a_403(start: Start):
    running = await guarded(start, policy("Allow", resource="arn:aws:execute-api:*:*:other/*"))
    assert await status(running) == 403


async def test_an_allow_with_wildcards_lets_the_client_in(start: Start):
    running = await guarded(start, policy("Allow", resource="arn:aws:execute-api:*:*:a1b2c?/live/*"))
    assert await status(running) == 101


NO_PRINCIPAL = {"policyDocument": {"Statement": [{"Action": "*", "Effect": "Allow", "Resource": "*"}]}}


@pytest.mark.parametrize(
    "authorizer",
    [
        raises("unauthorized"),
        raises("boom"),
        returns("not an object"),
        returns({"principalId": "ada"}),
        returns({"principalId": "ada", "policyDocument": {"Statement": [{"Effect": "Allow"}]}}),
        returns(NO_PRINCIPAL),
        policy(context="not an object"),
        policy(context={"long": "x" * 8192}),
    ],
)
async def test_a_broken_authorizer_is_a_500(start: Start, authorizer: Handler):
    running = await guarded(start, authorizer)
    answer = await running.upgrade()
    assert (answer.status, json.loads(answer.body)["message"]) == (500, "Internal server error")
    assert running.functions.of("connect") == []


async def test_an_authorizer_that_takes_too_long_is_a_500(start: Start):
    running = await guarded(start, hangs, limits={"integration_timeout_s": 0.2})
    assert await status(running) == 500


async def test_without_an_authorizer_events_have_no_authorizer(start: Start):
    running = await start()
    await running.connect()
    assert "authorizer" not in (await running.functions.event("connect"))["requestContext"]
