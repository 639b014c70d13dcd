from __future__ import annotations

import pytest

from agentsocket.errors import DISCONNECTS, Disconnect, NotFound, Unavailable
from agentsocket.handlers import responses
from agentsocket.inputs import SocketRequest
from agentsocket.principal import of_queued
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply
from tests.support import schema_check
from tests.support.fakes import Sockets

REQUEST = SocketRequest(of_queued("u"), "c1", '{"type": "ping", "payload": {}, "id": "command-1"}')
PONG = Reply(protocol.Pong())


@pytest.fixture
def sockets():
    return Sockets()


def respond(step, sockets):
    body = responses.respond(step, REQUEST, sockets, now=lambda: 1.0)
    return schema_check.read(body) if body else None


def test_one_answer_rides_the_route_response(sockets):
    frame = respond(lambda _: [PONG], sockets)
    assert (frame["type"], frame["reply_to"]) == ("pong", "command-1")
    assert sockets.posted == {}


def test_several_answers_are_posted_in_order_and_the_response_is_empty(sockets):
    step = [Reply(protocol.Unsubscribed(thread_id=name)) for name in "abc"]
    assert respond(lambda _: step, sockets) is None
    posted = sockets.posted["c1"]
    assert [frame["payload"]["thread_id"] for frame in posted] == ["a", "b", "c"]
    assert {frame["reply_to"] for frame in posted} == {"command-1"}


def test_what_a_step_does_after_its_last_frame_happens_after_that_was_posted(sockets):
    order = []

    def step(_):
        yield PONG
        yield PONG
        yield PONG
        order.append(len(sockets.posted["c1"]))

    respond(step, sockets)
    assert order == [3]


def test_an_error_names_the_command_it_answers(sockets):
    def step(_):
        raise NotFound("no such thread", field="payload.thread_id")

    frame = respond(step, sockets)
    assert (frame["type"], frame["reply_to"], frame["payload"]["code"]) == ("error", "command-1", "not_found")


def test_a_socket_that_is_gone_ends_the_posting(sockets):
    sockets.gone.add("c1")
    assert respond(lambda _: [PONG, PONG], sockets) is None


def test_an_answer_that_cannot_be_delivered_whole_ends_in_an_error(sockets):
    sockets.busy.add("c1")
    frame = respond(lambda _: [PONG, PONG], sockets)
    assert (frame["payload"]["code"], frame["payload"]["temporary"]) == ("unavailable", True)


def test_an_ended_connection_is_told_why_and_closed(sockets):
    def step(_):
        raise Disconnect("no_connection")

    assert respond(step, sockets) is None
    [frame] = sockets.posted["c1"]
    assert frame["type"] == "disconnect"
    assert frame["payload"] == {"code": "no_connection", "reason": DISCONNECTS["no_connection"][1], "reconnect": True}
    assert sockets.closed == ["c1"]


def test_why_something_is_not_available_is_for_the_log(sockets, caplog):
    def step(_):
        raise Unavailable("the database is not available; retry", cause="DynamoDB: ThrottlingException")

    assert respond(step, sockets)["payload"]["message"] == "the database is not available; retry"
    [line] = caplog.records
    reason = "the database is not available; retry (DynamoDB: ThrottlingException)"
    assert (line.message, vars(line)["reason"]) == ("dependency_unavailable", reason)


def test_a_fault_of_ours_says_only_that(sockets):
    frame = schema_check.read(responses.internal(REQUEST, now=lambda: 1.0))
    assert (frame["payload"]["code"], frame["payload"]["temporary"]) == ("internal", True)
