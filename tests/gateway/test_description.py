import asyncio
import socket
from typing import Any, cast

import boto3
import pytest

from local.gateway import Gateway, GatewayError, GatewayLimits
from local.gateway.description import read_api
from local.gateway.routes import Authorizer
from tests.gateway.fakes import REGION, FakeApi, FakeControlPlane, Functions, Start, arn, three_routes, uri

LIMITS = GatewayLimits()
KEYS: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def read(api: FakeApi, api_id: str = "a1b2c3", stage: str = "live"):
    return read_api(cast(Any, api), api_id, stage, LIMITS)


def test_routes_are_read_over_all_pages():
    api = read(three_routes())
    assert {key: route.function_arn for key, route in api.routes.items()} == {
        "$connect": arn("connect"),
        "$disconnect": arn("disconnect"),
        "$default": arn("default"),
    }
    assert [key for key, route in api.routes.items() if route.two_way] == ["$default"]


async def test_the_real_client_describes_the_same_api():
    api = FakeApi(variables={"Color": "blue"})
    source = "route.request.header.Authorization"
    api.connect_route("connect", authorizer="auth", identity_sources=[source])
    api.route("$default", "default", two_way=True, timeout_ms=5000)
    control_plane = FakeControlPlane(api)
    await control_plane.start()
    client = boto3.client("apigatewayv2", region_name=REGION, endpoint_url=control_plane.endpoint, **KEYS)
    described = await asyncio.to_thread(read_api, client, "a1b2c3", "live", LIMITS)
    client.close()
    await control_plane.stop()
    assert described == read(api)
    assert described.routes["$connect"].authorizer == Authorizer(arn("auth"), (source,))
    assert described.routes["$default"].two_way
    assert described.routes["$default"].timeout_s == 5
    assert (described.region, described.selector) == (REGION, ("action",))
    assert described.stage_variables == {"Color": "blue"}


def test_a_function_may_be_named_by_a_stage_variable():
    api = FakeApi(variables={"function": arn("chosen")})
    api.route("$default", "f")
    api.integrations[0]["IntegrationUri"] = uri("f").replace(arn("f"), "${stageVariables.function}")
    assert read(api).routes["$default"].function_arn == arn("chosen")


def test_no_function_gets_more_time_than_the_gateway_gives():
    api = FakeApi()
    api.route("$default", "f", timeout_ms=30000)
    assert read(api).routes["$default"].timeout_s == 29


def test_an_identity_source_of_an_http_api_is_ignored():
    api = FakeApi()
    sources = ["$request.header.Authorization", "route.request.querystring.ticket"]
    api.connect_route("connect", authorizer="auth", identity_sources=sources)
    assert read(api).routes["$connect"].authorizer == Authorizer(arn("auth"), ("route.request.querystring.ticket",))


def change(api: FakeApi, kind: str, **fields: Any) -> FakeApi:
    getattr(api, kind)[0].update(fields)
    return api


def guarded() -> FakeApi:
    api = FakeApi()
    api.connect_route("connect", authorizer="auth")
    return api


@pytest.mark.parametrize(
    ("api", "sentence"),
    [
        (change(three_routes(), "integrations", IntegrationType="HTTP_PROXY"), "other than AWS_PROXY"),
        (change(three_routes(), "integrations", IntegrationUri="https://example.com"), "not a Lambda function"),
        (change(three_routes(), "routes", Target="integrations/none"), "no integration"),
        (change(three_routes(), "routes", AuthorizationType="AWS_IAM"), "not emulated here"),
        (change(three_routes(), "routes", ApiKeyRequired=True), "not emulated here"),
        (change(guarded(), "authorizers", AuthorizerType="JWT"), "not a Lambda REQUEST authorizer"),
        (change(guarded(), "routes", AuthorizerId="none"), "not a Lambda REQUEST authorizer"),
        (FakeApi(selection="$request.method $request.path"), "route selection expression"),
    ],
)
def test_what_cannot_be_emulated_is_refused_with_a_sentence(api: FakeApi, sentence: str):
    with pytest.raises(GatewayError, match=sentence):
        read(api)


def test_authorization_is_looked_at_on_connect_alone():
    api = three_routes()
    api.routes[2].update(AuthorizationType="CUSTOM", AuthorizerId="none")
    assert read(api).routes["$default"].authorizer is None


def test_an_http_api_is_refused():
    api = FakeApi()
    api.api["ProtocolType"] = "HTTP"
    with pytest.raises(GatewayError, match="not a WebSocket API"):
        read(api)


@pytest.mark.parametrize("missing", [{"api_id": "nope"}, {"stage": "nope"}])
def test_an_api_or_stage_that_is_not_deployed_is_told_in_a_sentence(missing: dict[str, str]):
    with pytest.raises(GatewayError, match="deploy it first"):
        read(three_routes(), **missing)


def test_an_endpoint_that_is_not_there_is_told_in_a_sentence():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = boto3.client("apigatewayv2", region_name=REGION, endpoint_url=nowhere, **KEYS)
        with pytest.raises(GatewayError, match="check the client's endpoint"):
            read_api(client, "a1b2c3", "live", LIMITS)
        client.close()


async def test_a_port_that_is_taken_is_told_in_a_sentence(start: Start):
    running = await start()
    port = int(running.authority.rpartition(":")[2])
    gateway = Gateway(client=cast(Any, FakeApi()), invoke=Functions(), stage="live")
    with pytest.raises(GatewayError, match=rf"Port {port} of 127.0.0.1 is taken: stop the program"):
        await gateway.start(port=port)
    await gateway.stop()


async def test_a_management_port_that_is_taken_leaves_the_clients_port_free(start: Start):
    running = await start()
    taken = int(running.authority.rpartition(":")[2])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    gateway = Gateway(client=cast(Any, FakeApi()), invoke=Functions(), stage="live")
    with pytest.raises(GatewayError, match=f"Port {taken} of 127.0.0.1 is taken"):
        await gateway.start(port=port, management_port=taken)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
