"""What reaches the system: values that carry no more than they need, and that nobody can change on the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentsocket import inputs
from agentsocket.inputs import (
    Check,
    Deletion,
    HttpAnswer,
    HttpRequest,
    Revocation,
    RunRecord,
    RunRequest,
    SocketRequest,
    Upgrade,
)
from agentsocket.principal import of_queued

VALUES: list[Any] = [
    Upgrade(),
    SocketRequest(of_queued("u"), "c1"),
    HttpRequest(),
    HttpAnswer(200, None),
    RunRequest("u", "t", "r"),
    Deletion("u", "t", "c"),
    Check("u", "c", 1),
    Revocation("i", "s", "", 1),
    RunRecord(RunRequest("u", "t", "r"), "receipt"),
]


def test_these_are_all_that_reach_the_system():
    shapes = {value for value in vars(inputs).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)}
    ours = {shape for shape in shapes if shape.__module__ == inputs.__name__}
    assert ours == {type(value) for value in VALUES}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_nobody_changes_what_came_from_outside(value):
    """Who is asking, above all."""
    for name in value.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(value, name, "another")


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        ({}, []),
        ({"sec-websocket-protocol": []}, []),
        ({"sec-websocket-protocol": ["agentsocket.v1"]}, ["agentsocket.v1"]),
        ({"sec-websocket-protocol": ["agentsocket.v1, bearer.a.b"]}, ["agentsocket.v1", "bearer.a.b"]),
        ({"sec-websocket-protocol": ["b ,a", "c"]}, ["b", "a", "c"]),
        ({"sec-websocket-protocol": ["a,,"]}, ["a", "", ""]),
        ({"Sec-WebSocket-Protocol": ["a"], "other": ["b"]}, []),
    ],
)
def test_subprotocols_are_those_of_every_header_in_the_client_s_order(headers, names):
    """RFC 6455, section 11.3.4: the header may come several times."""
    assert Upgrade(headers).subprotocols() == names


def test_what_an_event_does_not_have_is_empty():
    assert (dict(Upgrade().headers), dict(Upgrade().query)) == ({}, {})
    assert SocketRequest(of_queued("u"), "c1") == SocketRequest(of_queued("u"), "c1", "", Upgrade())
    assert HttpRequest() == HttpRequest({}, {}, {}, "")
    assert dict(HttpAnswer(204, None).headers) == {}


def test_no_two_requests_share_their_headers():
    assert Upgrade().headers is not Upgrade().headers
    assert HttpRequest().headers is not HttpRequest().headers
    assert HttpAnswer(200, None).headers is not HttpAnswer(200, None).headers


def test_a_run_is_the_first_of_its_name_unless_it_is_marked():
    """A redriven dead letter is a new run: it must not be taken for the old one."""
    assert RunRequest("u", "t", "r").retry is False


@pytest.mark.parametrize(
    ("shape", "fields"),
    [
        (RunRequest, ("user", "thread_id", "run_id", "retry")),
        (Deletion, ("user", "thread_id", "command_id")),
        (Check, ("user", "connection_id", "number")),
        (Revocation, ("issuer", "subject", "session", "not_before")),
    ],
)
def test_through_a_queue_go_references_and_never_a_token_or_a_text(shape, fields):
    """security.md: queues keep a record for days."""
    assert shape.__struct_fields__ == fields
