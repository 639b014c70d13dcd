"""Where Lambda meets the code: each kind of function, by its events, its answers, and what becomes of an error."""

from __future__ import annotations

import json
import logging
from typing import Any, cast

import pytest

from agentsocket import principal
from agentsocket.aws.management_api import ManagementApi
from agentsocket.errors import NotFound, NoToken, RateLimited, RunUnfinished, TokenRejected, Unavailable
from agentsocket.handlers import decorators
from agentsocket.inputs import Check, Deletion, Revocation, RunRecord, RunRequest, SocketRequest, Upgrade
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply
from tests.support import schema_check
from tests.support.fakes import Scripted, Sockets
from tests.support.http_client import ORIGIN, Client
from tests.support.world import World

ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/live/$connect"
ADA = principal.of_claims({"iss": "https://issuer.example", "sub": "ada", "iat": 1, "exp": 2, "scope": "chat"})
PING = '{"type": "ping", "payload": {}, "id": "command-1"}'
SECRET = "what the user said"


def route(event_type, **fields):
    """An event of a WebSocket route."""
    context = {"eventType": event_type, "routeKey": "$default", "connectionId": "c1", "authorizer": ADA.context()}
    return {"requestContext": context, **fields}


def websocket(step):
    return decorators.websocket(cast(ManagementApi, Sockets()))(step)


def raising(error):
    def step(_):
        raise error

    return step


def logged(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


# The authorizer.


def test_whoever_is_known_is_allowed_under_the_principal_s_context(log):
    answer = decorators.authorizer(lambda _: ADA)({"methodArn": ARN}, None)
    [statement] = answer["policyDocument"]["Statement"]
    assert statement == {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": ARN}
    assert (answer["principalId"], answer["context"]) == (ADA.user, ADA.context())
    assert [line["message"] for line in logged(log)] == ["upgrade_admitted"]


def test_a_rejected_token_is_denied_without_a_context(log):
    answer = decorators.authorizer(raising(TokenRejected("expired")))({"methodArn": ARN}, None)
    [statement] = answer["policyDocument"]["Statement"]
    assert (statement["Effect"], answer["principalId"], answer["context"]) == ("Deny", "refused", {})
    [line] = logged(log)
    assert (line["message"], line["reason"]) == ("upgrade_refused", "expired")


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (NoToken("none"), decorators.Unauthorized, "Unauthorized"),
        (Unavailable("the auth service does not answer"), decorators.Undecided, ""),
    ],
)
def test_an_error_says_by_its_text_alone_which_status_it_means(error, raised, text):
    """API Gateway: 401 for this very word, 500 for any other."""
    with pytest.raises(raised) as answered:
        decorators.authorizer(raising(error))({"methodArn": ARN}, None)
    assert str(answered.value) == text


@pytest.mark.parametrize(
    ("event", "upgrade"),
    [
        (
            {
                "headers": {"Origin": "https://b"},
                "multiValueHeaders": {"Origin": ["https://a", "https://b"]},
                "multiValueQueryStringParameters": {"ticket": ["t1", "t2"]},
            },
            Upgrade({"origin": ["https://a", "https://b"]}, {"ticket": ["t1", "t2"]}),
        ),
        ({"headers": {"Origin": "https://b"}, "multiValueHeaders": None}, Upgrade({"origin": ["https://b"]})),
        ({"headers": None, "multiValueHeaders": None, "multiValueQueryStringParameters": None}, Upgrade()),
        ({}, Upgrade()),
    ],
    ids=["several values", "one value", "nothing", "no fields"],
)
def test_every_value_of_every_header_reaches_the_check(event, upgrade):
    """API Gateway's `headers` has only the last of several: a second token would stay unseen."""
    seen: list[Any] = []

    def step(given):
        seen.append(given)
        return ADA

    decorators.authorizer(step)({"methodArn": ARN, **event}, None)
    assert seen == [upgrade]


def test_a_fault_of_ours_lets_nobody_in_and_is_no_final_refusal_either():
    def broken(_):
        raise ZeroDivisionError("a secret")

    with pytest.raises(decorators.Undecided) as raised:
        decorators.authorizer(broken)({"methodArn": ARN}, None)
    assert "secret" not in repr(raised.value)


# The routes of the socket.


@pytest.mark.parametrize(
    ("subprotocol", "headers"), [("agentsocket.v1", {"Sec-WebSocket-Protocol": "agentsocket.v1"}), (None, {})]
)
def test_a_socket_opens_with_the_subprotocol_that_the_step_names(subprotocol, headers):
    seen: list[Any] = []

    def step(request):
        seen.append(request)
        return subprotocol

    event = route("CONNECT", headers={"Sec-WebSocket-Protocol": "agentsocket.v1"})
    assert decorators.connect(step)(event, None) == {"statusCode": 200, "headers": headers}
    assert seen == [SocketRequest(ADA, "c1", upgrade=Upgrade({"sec-websocket-protocol": ["agentsocket.v1"]}))]


@pytest.mark.parametrize(
    ("error", "status"),
    [(TokenRejected("revoked"), 403), (RateLimited("too many", retry_after_ms=1), 429), (KeyError(SECRET), 500)],
)
def test_a_socket_that_may_not_open_gets_a_status_that_says_why(error, status, log):
    assert decorators.connect(raising(error))(route("CONNECT"), None) == {"statusCode": status}
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize(("authorizer", "calls"), [(ADA.context(), 1), (None, 0), ({}, 0)])
def test_a_closed_socket_is_forgotten_if_it_was_ever_let_in(authorizer, calls):
    seen: list[Any] = []
    event = route("DISCONNECT")
    event["requestContext"]["authorizer"] = authorizer
    assert decorators.disconnect(seen.append)(event, None) == {"statusCode": 200}
    assert [request.connection_id for request in seen] == ["c1"] * calls


@pytest.mark.parametrize("decorate", [decorators.connect, decorators.disconnect, websocket])
def test_an_event_of_another_kind_reaches_no_step(decorate, log):
    """security.md, Routes: a frame may name `$disconnect` as its type, and is then routed there."""
    seen: list[Any] = []
    assert decorate(seen.append)(route("ANOTHER", body=PING), None) == {"statusCode": 400}
    assert seen == []
    assert [line["message"] for line in logged(log)] == ["event_type_refused"]


def test_a_reply_rides_the_response():
    answer = websocket(lambda _: [Reply(protocol.Pong())])(route("MESSAGE", body=PING), None)
    frame = schema_check.read(answer["body"])
    assert (answer["statusCode"], frame["type"], frame["reply_to"]) == (200, "pong", "command-1")


def test_a_response_without_a_frame_has_no_body():
    assert websocket(lambda _: [])(route("MESSAGE", body=PING), None) == {"statusCode": 200}


def test_a_refused_command_is_no_fault(log):
    answer = websocket(raising(NotFound("no such thread")))(route("MESSAGE", body=PING), None)
    assert schema_check.read(answer["body"])["payload"]["code"] == "not_found"
    assert [line["message"] for line in logged(log)] == ["route_completed"]


def test_a_fault_of_ours_is_internal_to_the_client_and_a_type_and_a_place_to_the_log(log):
    """security.md, Logs: of a group the first fault, since the group itself says nothing."""
    fault = ExceptionGroup(SECRET, [ExceptionGroup(SECRET, [ZeroDivisionError(SECRET)]), KeyError(SECRET)])
    answer = websocket(raising(fault))(route("MESSAGE", body=PING), None)
    frame = schema_check.read(answer["body"])
    assert (frame["type"], frame["payload"]["code"], frame["reply_to"]) == ("error", "internal", "command-1")
    failed, completed = logged(log)
    assert (failed["message"], failed["error"], failed["level"]) == ("internal_error", "ZeroDivisionError", "ERROR")
    assert (completed["message"], completed["route"], completed["connection_id"]) == (
        "route_completed",
        "$default",
        "c1",
    )
    assert SECRET not in log.getvalue() + json.dumps(frame)


# The queues.


def records(*bodies):
    """An event of a queue; a body that is no text goes as JSON."""
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [{"messageId": f"m{n}", "receiptHandle": f"r{n}", "body": text} for n, text in enumerate(texts)]}


def failed(answer):
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


RUN = {"user": "u", "thread_id": "t", "run_id": "r"}


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (RUN, RunRequest("u", "t", "r")),
        ({**RUN, "retry": True}, RunRequest("u", "t", "r", retry=True)),
        ({"user": "u", "thread_id": "t", "delete": "c1"}, Deletion("u", "t", "c1")),
    ],
)
def test_a_record_of_the_run_queue_is_a_run_or_a_deletion(body, request_):
    seen: list[Any] = []

    async def step(record):
        seen.append(record)

    assert failed(decorators.queue(step)(records(body), None)) == []
    assert seen == [RunRecord(request_, "r0")]


@pytest.mark.parametrize(
    ("body", "order"),
    [
        ({"check": {"user": "u", "connection_id": "c", "number": 2}}, Check("u", "c", 2)),
        ({"revoke": {"iss": "i", "sub": "s", "sid": "x", "not_before": 5}}, Revocation("i", "s", "x", 5)),
        ({"revoke": {"iss": "i", "sub": "s", "not_before": 5}}, Revocation("i", "s", "", 5)),
    ],
)
def test_a_record_of_the_control_queue_is_a_check_or_a_revocation(body, order):
    seen: list[Any] = []
    assert failed(decorators.control(seen.append)(records(body), None)) == []
    assert seen == [order]


@pytest.mark.parametrize("error", [RunUnfinished("another worker has it"), Unavailable("the table does not answer")])
def test_a_record_that_cannot_be_done_yet_comes_back_and_is_no_fault(error, log):
    async def step(_):
        raise error

    assert failed(decorators.queue(step)(records(RUN), None)) == ["m0"]
    assert [(line["message"], line["level"]) for line in logged(log)] == [
        ("record_deferred", "INFO"),
        ("batch_completed", "INFO"),
    ]


def test_one_record_s_fault_is_not_the_others(log):
    seen: list[Any] = []

    def step(order):
        if order.number == 1:
            raise ZeroDivisionError(SECRET)
        seen.append(order.number)

    checks = [{"check": {"user": "u", "connection_id": "c", "number": number}} for number in range(3)]
    assert failed(decorators.control(step)(records(*checks), None)) == ["m1"]
    assert seen == [0, 2]
    assert [line["message"] for line in logged(log)] == ["internal_error", "batch_completed"]
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize("body", ["nonsense", "[]", "{}", '{"check": {}}', '{"user": "u", "thread_id": "t"}'])
def test_a_record_that_says_nothing_reaches_no_step_and_stays_in_the_queue(body):
    seen: list[Any] = []

    async def step(record):
        seen.append(record)

    assert failed(decorators.queue(step)(records(body), None)) == ["m0"]
    assert failed(decorators.control(seen.append)(records(body), None)) == ["m0"]
    assert seen == []


# The HTTP API.


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([]))


@pytest.fixture
def ask(world, clock):
    return Client(world, clock)


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://evil.example"])
@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/health", None, 200),
        ("GET", "/threads", "ada", 200),
        ("GET", "/threads", None, 401),
        ("GET", "/nothing", None, 404),
        ("POST", "/threads", "ada", 201),
        ("PUT", "/threads", "ada", 405),
        ("OPTIONS", "/threads", None, 405),
        ("GET", "/threads", "bug", 500),
        ("GET", "/threads", "outage", 503),
    ],
)
def test_every_answer_says_who_may_read_it(ask, method, path, token, status, origin):
    """L1: also 404, 405 and 500; a refused origin is never echoed, and caches are told."""
    answered, body, headers = ask(method, path, token=token, headers={"Origin": origin} if origin else {})
    assert (answered, headers["Vary"]) == (status, "Origin")
    assert headers.get("Access-Control-Allow-Origin") == (ORIGIN if origin == ORIGIN else None)
    assert headers.get("Access-Control-Allow-Credentials") == ("true" if origin == ORIGIN else None)
    assert "evil" not in json.dumps([body, headers])
    assert "secret" not in json.dumps(body)


def test_a_fault_is_logged_by_its_type_and_place_and_told_without_its_text(ask, log, caplog):
    """security.md, Logs: not even by the resolver."""
    caplog.set_level(logging.DEBUG)
    status, body, _ = ask("GET", "/threads", token="bug")
    assert (status, body["error"]["code"], body["error"]["temporary"]) == (500, "internal", True)
    assert "ZeroDivisionError" in log.getvalue()
    assert "http_client.py" in log.getvalue()
    assert "a secret" not in log.getvalue() + caplog.text


def test_an_event_that_is_none_is_a_fault_of_ours(ask, log):
    answer = ask.handler({"requestContext": {"http": {"method": "GET"}}, "headers": None}, None)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "internal")
    assert answer["headers"]["Vary"] == "Origin"


def test_no_answer_may_be_kept_by_a_cache(ask):
    """What one user's token was shown, another's must not be."""
    assert ask("GET", "/threads", token="ada")[2]["Cache-Control"] == "no-store"
    assert ask("GET", "/threads", token="bug")[2]["Cache-Control"] == "no-store"


def test_a_request_is_logged_by_its_method_and_status_alone(ask, log):
    """security.md, Logs: a path may hold what a client made up, a query more."""
    ask("GET", "/threads/a-thread-id/messages", token="ada", query={"cursor": "a-cursor"})
    [line] = logged(log)
    assert (line["message"], line["method"], line["status"]) == ("request_completed", "GET", 404)
    assert "a-thread-id" not in log.getvalue()
    assert "a-cursor" not in log.getvalue()
