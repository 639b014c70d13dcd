"""local/emulators/http_api.py: an HTTP API as API Gateway serves it, over real HTTP to a real function."""

import base64
import io
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from multidict import CIMultiDict
from yarl import URL

from local.aws import Access
from local.emulators import http_event
from local.emulators.http_api import MAX_BODY_BYTES, Front
from local.emulators.ministack import Ministack
from local.errors import Unable
from tests.local.functions import make_function

# Answers with what `x-answer` holds as JSON, or with the event itself.
TOLD_BY_A_HEADER = """
import json
def handler(event, context):
    print("asked")
    if "x-answer" in event["headers"]:
        return json.loads(event["headers"]["x-answer"])
    if "x-raise" in event["headers"]:
        raise RuntimeError("hunter2")
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""


def make_api(access: Access, function: str, *, route: str = "$default", payload: str = "2.0") -> str:
    """An HTTP API with one route to a function. Returns its id."""
    client = access.client("apigatewayv2")
    api = str(client.create_api(Name="tested", ProtocolType="HTTP")["ApiId"])
    integration = client.create_integration(
        ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=function, PayloadFormatVersion=payload
    )
    client.create_route(ApiId=api, RouteKey=route, Target=f"integrations/{integration['IntegrationId']}")
    client.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return api


# One ministack and one front for the module; so its tests share an event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(ministack: Ministack) -> AsyncIterator[Front]:
    serving = Front(ministack.access, name="tested API")
    await serving.start(0)
    await serving.attach(make_api(ministack.access, make_function(ministack.access, TOLD_BY_A_HEADER)))
    yield serving
    await serving.stop()


class Heard:
    """An answer: status, headers, body."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status, self.headers, self.body = response.status, response.headers, body

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(front: Front, method: str = "GET", target: str = "/", **settings: Any) -> Heard:
    url = URL(front.url + target, encoded=True)
    async with aiohttp.ClientSession() as session, session.request(method, url, **settings) as response:
        return Heard(response, await response.read())


async def answered(front: Front, answer: Any) -> Heard:
    return await ask(front, headers={"X-Answer": json.dumps(answer)})


# --- what the function gets


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_every_method_reaches_the_function_a_preflight_too(front, method):
    headers = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    event = (await ask(front, method, "/oauth/token", headers=headers)).json()
    assert event["requestContext"]["http"]["method"] == method
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/oauth/token"
    assert event["headers"]["origin"] == "https://app.example.com"
    assert (event["version"], event["routeKey"], event["requestContext"]["stage"]) == ("2.0", "$default", "$default")


async def test_the_query_arrives_as_sent_and_decoded(front):
    event = (await ask(front, target="/a%2Fb%252Fc%C3%A9?x=1&y=a%20b&x=2&empty=")).json()
    assert event["rawPath"] == "/a/b%252Fcé"
    assert event["rawQueryString"] == "x=1&y=a%20b&x=2&empty="
    assert event["queryStringParameters"] == {"x": "1,2", "y": "a b", "empty": ""}


async def test_without_query_cookies_and_body_there_are_no_such_keys(front):
    event = (await ask(front)).json()
    assert not {"queryStringParameters", "cookies", "body", "pathParameters"} & set(event)
    assert (event["rawQueryString"], event["isBase64Encoded"]) == ("", False)


async def test_headers_are_in_lower_case_several_values_joined_and_cookies_apart(front):
    headers = CIMultiDict(
        [("X-Several", "1"), ("X-Several", "2"), ("Cookie", "a=1; b=2"), ("Authorization", "Basic x")]
    )
    event = (await ask(front, headers=headers)).json()
    assert event["headers"]["x-several"] == "1,2"
    assert event["headers"]["authorization"] == "Basic x"
    assert event["headers"]["host"] == front.url.removeprefix("http://")
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert {"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"} <= set(event["headers"])


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain"])
async def test_text_arrives_as_text(front, content_type):
    event = (await ask(front, "POST", data="{é}".encode(), headers={"Content-Type": content_type})).json()
    assert (event["body"], event["isBase64Encoded"]) == ("{é}", False)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/octet-stream"])
async def test_a_form_arrives_in_base64_as_everything_does_that_is_no_text(front, content_type):
    event = (await ask(front, "POST", data=b"a=1&b=2", headers={"Content-Type": content_type})).json()
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"a=1&b=2", True)


# --- what the client gets


async def test_status_headers_cookies_and_body_come_back(front):
    headers = {"Content-Type": "application/json", "Vary": "Origin", "X-Number": 7}
    answer = {"statusCode": 401, "headers": headers, "cookies": ["a=1", "b=2"], "body": '{"é": 1}'}
    heard = await answered(front, answer)
    assert (heard.status, heard.json()) == (401, {"é": 1})
    assert (heard.headers["Vary"], heard.headers["X-Number"]) == ("Origin", "7")
    assert heard.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert heard.headers["Content-Type"] == "application/json"
    assert heard.headers["apigw-requestid"]
    assert not [name for name in heard.headers if name.lower().startswith("access-control")]


async def test_a_base64_body_comes_back_as_bytes(front):
    answer = {"statusCode": 200, "body": base64.b64encode(b"\x00\xff").decode(), "isBase64Encoded": True}
    assert (await answered(front, answer)).body == b"\x00\xff"


async def test_an_answer_without_body_is_empty(front):
    heard = await answered(front, {"statusCode": 204})
    assert (heard.status, heard.body) == (204, b"")


@pytest.mark.parametrize(
    "answer",
    [
        {"body": "no status"},
        {"statusCode": 99},
        {"statusCode": True},
        {"statusCode": 200, "body": {"a": 1}},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"x": "a\r\nset-cookie: b=1"}},
        {"statusCode": 200, "headers": ["x"]},
        ["no object"],
    ],
)
async def test_a_malformed_answer_is_500(front, answer, caplog):
    heard = await answered(front, answer)
    assert (heard.status, heard.json()) == (500, {"message": "Internal Server Error"})
    assert "The function of the tested API failed" in caplog.text


async def test_what_a_function_raises_reaches_no_client(front):
    heard = await ask(front, headers={"X-Raise": "1"})
    assert (heard.status, heard.json()) == (500, {"message": "Internal Server Error"})


# --- who is served, and when


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "", "10.0.0.1"])
async def test_a_name_that_was_rebound_to_loopback_is_refused(front, host):
    assert (await ask(front, headers={"Host": host})).status == 403


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:9"])
async def test_every_name_of_loopback_is_served(front, host):
    assert (await ask(front, headers={"Host": host})).status == 200


async def test_before_a_deploy_it_answers_503_and_listens_on_loopback_only(ministack):
    front = Front(ministack.access, name="tested API")
    await front.start(0)
    assert (await ask(front)).status == 503
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", front.port), 5).close()
    await front.stop()


async def test_too_much_is_refused_before_the_function_is_called(front):
    assert (await ask(front, "POST", data=io.BytesIO(b"x" * (MAX_BODY_BYTES + 1)))).status == 413
    assert (await ask(front, headers={f"X-{number}": "x" * 4000 for number in range(3)})).status == 431


async def test_a_port_in_use_is_one_sentence(ministack):
    front = Front(ministack.access, name="tested API")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unable, match=f"Port {port} for the tested API is taken"):
            await front.start(port)


@pytest.mark.parametrize(
    ("changed", "said"), [({"route": "GET /"}, "lead elsewhere"), ({"payload": "1.0"}, "format 2.0")]
)
async def test_an_api_that_is_not_emulated_is_refused(front, ministack, changed, said):
    function = make_function(ministack.access, TOLD_BY_A_HEADER, name=next(iter(changed)))
    with pytest.raises(Unable, match=said):
        await front.attach(make_api(ministack.access, function, **changed))


async def test_headers_that_belong_to_one_hop_are_not_passed_on():
    headers = (("Connection", "keep-alive"), ("TE", "trailers"), ("Upgrade", "h2c"), ("Accept", "*/*"))
    request = http_event.Request("GET", "/", headers, b"", "127.0.0.1", 80)
    made = http_event.event(request, api_id="a", account_id="0", now=0)["headers"]
    assert made["accept"] == "*/*"
    assert not {"connection", "te", "upgrade"} & set(made)
