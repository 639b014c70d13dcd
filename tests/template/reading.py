"""The template as data: what a function is given, and what it may do. Tags such as !Ref are read as {"Ref": …}."""

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
SOCKET_FUNCTIONS = ("Authorizer", "Connect", "Message", "Disconnect", "Worker", "Control", "Http")
AUTH_FUNCTIONS = ("Auth", "Jwks")  # the auth service's: another package, another layer
FUNCTIONS = SOCKET_FUNCTIONS + AUTH_FUNCTIONS


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms. cfn-lint's reader agrees (a test), but takes 50 MB of every process."""


def _intrinsic(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    """`!Sub x` as {"Fn::Sub": "x"}, `!GetAtt A.B` as {"Fn::GetAtt": ["A", "B"]}."""
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
        case _:
            raise TypeError(f"!{name} stands before something that is no value")
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


@cache
def template() -> dict[str, Any]:
    """The whole template."""
    read: dict[str, Any] = yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
    return read


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Logical id and definition of every resource of one type."""
    return {name: value for name, value in template()["Resources"].items() if value["Type"] == kind}


def properties(logical_id: str) -> dict[str, Any]:
    found: dict[str, Any] = template()["Resources"][logical_id]["Properties"]
    return found


def function(name: str) -> dict[str, Any]:
    """Properties of one function, with those it has from Globals."""
    return {**template()["Globals"]["Function"], **properties(f"{name}Function")}


def environment(name: str) -> dict[str, Any]:
    shared = template()["Globals"]["Function"]["Environment"]["Variables"]
    return {**shared, **properties(f"{name}Function")["Environment"]["Variables"]}


def grants(name: str, *, holding: Collection[str] = ()) -> set[tuple[str, str]]:
    """What one function's role allows: pairs of an action and a resource. `holding` are the conditions that hold."""
    return {
        (action, written(resource))
        for statement in statements(f"{name}Role", holding=holding)
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }


def statements(role: str, *, holding: Collection[str] = ()) -> list[Any]:
    """The statements of a role's own policy, and of those that are attached to it."""
    attached = [
        policy["Properties"]
        for policy in resources("AWS::IAM::Policy").values()
        if policy["Condition"] in holding and {"Ref": role} in policy["Properties"]["Roles"]
    ]
    documents = [policy["PolicyDocument"] for policy in properties(role)["Policies"] + attached]
    chosen = [_chosen(each, holding) for document in documents for each in document["Statement"]]
    return [statement for statement in chosen if statement != {"Ref": "AWS::NoValue"}]


def _chosen(value: Any, holding: Collection[str]) -> Any:
    """A value, or the side of an !If."""
    while "Fn::If" in value:
        condition, then, otherwise = value["Fn::If"]
        value = then if condition in holding else otherwise
    return value


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def written(resource: Any) -> str:
    """A resource in one line: `Table.Arn` for an attribute, else the text (of !Sub); both sides of an !If."""
    if isinstance(resource, str):
        return str(resource)
    if "Fn::If" in resource:
        condition, *sides = resource["Fn::If"]
        return f"{condition}: " + " or ".join(written(side) for side in sides if side != {"Ref": "AWS::NoValue"})
    return ".".join(resource["Fn::GetAtt"]) if "Fn::GetAtt" in resource else str(resource["Fn::Sub"])
