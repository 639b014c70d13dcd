"""The table of routes: each is a command of the wire, and nothing in it contradicts the command or another route."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import fields

from agentsocket.http_api import routes
from agentsocket.http_api.routes import DOCUMENT, HEALTH, ROUTES, Route
from agentsocket.protocol import messages as protocol

ANY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")


def test_no_method_of_a_path_stands_twice():
    assert max(Counter((route.method, route.path) for route in ROUTES).values()) == 1
    assert DOCUMENT not in {route.path for route in ROUTES}


@ANY_ROUTE
def test_a_route_is_a_command_and_is_answered_by_a_reply(route):
    assert route.command in protocol.COMMANDS.values()
    assert route.answer in protocol.CONTROL.values()
    assert 200 <= route.status < 300


@ANY_ROUTE
def test_what_stands_in_a_path_the_command_needs(route):
    required = {field.name for field in fields(route.command) if field.required}
    assert set(route.parameters) <= required
    assert route.has_body or set(route.parameters) == required, "the query may say what has a default, no more"


def test_parameters_are_those_between_braces_in_their_order():
    route = Route("GET", "/threads/{thread_id}/content/{message_id}", protocol.GetContent, protocol.Content)
    assert route.parameters == ["thread_id", "message_id"]
    assert HEALTH.parameters == []


@pytest.mark.parametrize(
    ("method", "has_body"), [("GET", False), ("DELETE", False), ("PATCH", True), ("POST", True), ("HEAD", False)]
)
def test_only_what_changes_something_under_a_path_has_a_body(method, has_body):
    assert Route(method, "/x", protocol.Ping, protocol.Pong).has_body is has_body


def test_health_alone_asks_for_no_token():
    assert [route for route in ROUTES if route.open] == [HEALTH]


def test_whatever_makes_or_ends_something_may_be_repeated_under_its_key():
    """A retry whose first try was done after all makes no second thread, and finds its deletion done."""
    assert {(route.method, route.path) for route in ROUTES if route.keyed} == {
        ("POST", "/threads"),
        ("DELETE", "/threads/{thread_id}"),
    }


def test_methods_are_those_of_all_routes_and_of_the_document():
    methods = routes.methods()
    assert methods[DOCUMENT] == ["GET"]
    assert methods["/threads"] == ["GET", "POST"]
    assert {(method, path) for path, listed in methods.items() for method in listed} == {
        ("GET", DOCUMENT),
        *((route.method, route.path) for route in ROUTES),
    }
