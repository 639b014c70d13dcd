"""The published OpenAPI document is the code's, valid, complete, and true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agentsocket.http_api import openapi, routes
from agentsocket.protocol import messages as protocol
from tests.support.fakes import Scripted
from tests.support.http_client import DOCUMENT, Client
from tests.support.world import World

PUBLISHED = Path(__file__).parents[3] / "clients" / "openapi.json"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
OPERATIONS = [
    (path, method, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
ANY_OPERATION = pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=[f"{method} {path}" for path, method, _ in OPERATIONS]
)


def found(value: Any, name: str) -> Iterator[Any]:
    """What stands under a name, however deep."""
    if isinstance(value, dict):
        yield from ([value[name]] if name in value else [])
        for below in value.values():
            yield from found(below, name)
    elif isinstance(value, list):
        for below in value:
            yield from found(below, name)


def test_the_published_document_is_the_code_s():
    assert PUBLISHED.read_bytes() == openapi.publish(), "run `make schema`"


def test_the_document_is_served_to_anyone(storage, runtime, clock):
    ask = Client(World(storage, runtime, Scripted([])), clock)
    status, body, headers = ask("GET", "/openapi.json")
    assert (status, body, headers["Content-Type"]) == (200, DOCUMENT, "application/json")


def test_its_fixed_fields_are_those_of_openapi():
    """OpenAPI 3.1.0, 4.8.1: OpenAPI Object."""
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= {"openapi", "info", "servers", "paths", "components", "security", "tags"}
    assert DOCUMENT["components"].keys() <= {"schemas", "responses", "securitySchemes"}
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in DOCUMENT["components"]["schemas"])


def test_every_reference_leads_somewhere():
    for reference in found(DOCUMENT, "$ref"):
        where: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            where = where[part]
        assert isinstance(where, dict)


def test_every_schema_is_one():
    for schema in [*found(DOCUMENT, "schema"), *DOCUMENT["components"]["schemas"].values()]:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_shape_that_is_described_is_used():
    named = {reference.rpartition("/")[2] for reference in found(DOCUMENT, "$ref")}
    assert named == set(DOCUMENT["components"]["schemas"])


def test_every_operation_has_a_name_of_its_own():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert set(names) - {"get_openapi"} <= set(protocol.COMMANDS)


@ANY_OPERATION
def test_an_operation_is_well_formed(path, method, operation):
    """4.8.10 Operation, 4.8.12 Parameter, 4.8.17 Response Object."""
    assert path.startswith("/")
    assert method in METHODS
    parameters = operation.get("parameters", [])
    in_path = {each["name"] for each in parameters if each["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", path))
    assert all(each["required"] for each in parameters if each["in"] == "path")
    assert all(each["in"] in ("path", "query", "header") and "schema" in each for each in parameters)
    assert len({(each["name"], each["in"]) for each in parameters}) == len(parameters)
    assert ("requestBody" in operation) == (method in ("post", "patch"))
    assert any(status.startswith("2") for status in operation["responses"])
    assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"])
    assert all(response["description"] for response in operation["responses"].values())
    for requirement in operation["security"]:
        assert requirement.keys() <= DOCUMENT["components"]["securitySchemes"].keys()


def test_every_route_is_in_it_and_nothing_else():
    served = {(path, method.lower()) for path, methods in routes.methods().items() for method in methods}
    assert {(path, method) for path, method, _ in OPERATIONS} == served


@pytest.mark.parametrize("route", routes.ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_command_s_fields_are_parameters_or_in_the_body(route):
    operation = DOCUMENT["paths"][route.path][route.method.lower()]
    said = {each["name"] for each in operation["parameters"] if each["in"] != "header"}
    if route.has_body:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert said.isdisjoint(body["properties"])
        assert body["additionalProperties"] is False
        said |= set(body["properties"])
    assert said == set(route.command.__struct_fields__)
    assert (operation["security"] == []) == route.open


THREAD = "/threads/{thread_id}"
ASKED: dict[tuple[str, str], tuple[str, str, Any]] = {
    ("/openapi.json", "get"): ("GET", "/openapi.json", None),
    ("/health", "get"): ("GET", "/health", None),
    ("/threads", "get"): ("GET", "/threads", None),
    ("/threads", "post"): ("POST", "/threads", {"title": "a title"}),
    (THREAD, "patch"): ("PATCH", "/threads/{id}", {"title": "a title"}),
    (THREAD, "delete"): ("DELETE", "/threads/{id}", None),
    (f"{THREAD}/messages", "get"): ("GET", "/threads/{id}/messages", None),
    (f"{THREAD}/content/{{message_id}}", "get"): ("GET", "/threads/{id}/content/m1", None),
}
WRONG: dict[str, Any] = {"GET": {"query": {"nonsense": "x"}}, "DELETE": {"query": {"nonsense": "x"}}}


@ANY_OPERATION
async def test_every_status_that_is_described_is_one_that_is_answered(
    storage, runtime, clock, ada, path, method, operation
):
    """As far as one can bring it about here: each answer is held against the document by `Asking`."""
    world = World(storage, runtime, Scripted([]))
    ask = Client(world, clock)
    world.connect(ada, "a1")
    thread = world.send(ada, "a1", "a question", message_id="m1")["thread_id"]
    await world.work()
    verb, target, body = ASKED[path, method]
    here, nowhere = target.replace("{id}", thread), target.replace("{id}", "nowhere")
    wrong = WRONG.get(verb) or {"body": {"nonsense": 1}}
    if not operation["security"]:
        ask(verb, here)
        ask.seen |= {(path, method, 500), (path, method, 503)}  # test_health.py
    else:
        ask(verb, here)
        ask(verb, here, token="bug", body=body)
        ask(verb, here, token="outage", body=body)
        ask(verb, here, token="ada", **wrong)
        ask(verb, nowhere, token="ada", body=body)
        if "413" in operation["responses"]:
            ask(verb, here, token="ada", body={"title": "x" * 200_000})
        if "Idempotency-Key" in {each["name"] for each in operation["parameters"]} and verb == "POST":
            again = {"Idempotency-Key": "k"}
            made = ask(verb, here, token="ada", headers=again)[1]["thread_id"]
            ask(verb, here, token="ada", headers=again, body={"title": "another"})
            ask("DELETE", f"/threads/{made}", token="ada")
            ask(verb, here, token="ada", headers=again)
        ask(verb, here, token="ada", body=body)
        storage.for_user(ada).quotas.spend(80)
        for _ in range(40):
            ask(verb, nowhere, token="ada", body=body)
    answered = {status for where, verb, status in ask.seen if (where, verb) == (path, method)}
    described = {int(status) for status in operation["responses"]}
    assert described <= answered
