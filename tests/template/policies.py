"""Whether a policy of the template allows a request: IAM's evaluation, as far as this template needs it.

By the IAM user guide's chapters on policy evaluation, condition operators, multivalued keys and policy variables. What
is not known here is an error, never a guess. Nothing that runs on a laptop can judge these policies: moto looks at no
condition, and ministack knows neither `dynamodb:LeadingKeys` nor variables (it denies all that asks for them).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.template.reading import listed

_TOKEN = re.compile(r"\$\{([^}]*)\}|(\*)|(\?)|(.)", re.DOTALL)
_LITERALS = {"*", "?", "$"}  # ${*} is a star that stands for itself


@dataclass(frozen=True)
class Request:
    """What somebody asks for. `context`: the values of each condition key; a key without any is an absent one."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)
    principal: str = ""

    def values(self, key: str) -> Sequence[str]:
        """The values of a key, whose name is not case-sensitive."""
        [*found] = (values for name, values in self.context.items() if name.lower() == key.lower())
        return found[0] if found else ()


def rendered(value: Any, attributes: Mapping[str, str]) -> Any:
    """A part of the template as CloudFormation makes it, with `Resource.Attribute` from `attributes`."""
    if isinstance(value, list):
        return [rendered(each, attributes) for each in value]
    if not isinstance(value, dict):
        return value
    if "Fn::GetAtt" in value:
        return attributes[".".join(value["Fn::GetAtt"])]
    if "Fn::Sub" in value:
        return re.sub(
            r"\$\{(!?)([^}]*)\}",
            lambda found: f"${{{found[2]}}}" if found[1] else attributes[found[2]],
            value["Fn::Sub"],
        )
    assert not {"Ref", "Fn::If"} & set(value), "render what is asked about"
    return {name: rendered(each, attributes) for name, each in value.items()}


def allows(document: Any, request: Request) -> bool:
    """Whether this policy alone lets the request pass: something allows it, and nothing denies it."""
    assert document["Version"] == "2012-10-17", "earlier versions know no variables"
    effects = {each["Effect"] for each in document["Statement"] if _applies(each, request)}
    return effects == {"Allow"}


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    known = {"Effect", "Action", "Resource", "Principal", "Condition", "Sid"}
    assert not statement.keys() - known, f"not known here: {statement.keys() - known}"
    return (
        _any_like(statement["Action"], request.action, request, ignore_case=True)
        and ("Resource" not in statement or _any_like(statement["Resource"], request.resource, request))
        and ("Principal" not in statement or request.principal in listed(statement["Principal"]["AWS"]))
        and all(
            _holds(operator, key, listed(values), request)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: Sequence[str], request: Request) -> bool:
    """One line of a condition: any of the `wanted` values is enough."""
    values = request.values(key)
    quantifier, _, comparison = operator.rpartition(":")
    if comparison == "Null":
        return [str(not values).lower()] == list(wanted)
    assert comparison in {"StringLike", "StringEquals"}, f"not known here: {operator}"
    like = comparison == "StringLike"
    matching = [any(_matches(each, value, request, wildcards=like) for each in wanted) for value in values]
    if quantifier == "ForAllValues":
        return all(matching)  # true of no value at all
    assert not quantifier, f"not known here: {operator}"
    assert len(values) <= 1, f"{key} has several values: it needs a quantifier"
    return any(matching)


def _any_like(patterns: Any, value: str, request: Request, *, ignore_case: bool = False) -> bool:
    return any(_matches(each, value, request, ignore_case=ignore_case) for each in listed(patterns))


def _matches(pattern: str, value: str, request: Request, *, wildcards: bool = True, ignore_case: bool = False) -> bool:
    """Whether a value is what a pattern says. A variable's value stands for itself, whatever characters it has.

    A variable without a value makes a pattern that matches nothing.
    """
    expression = ""
    for variable, star, mark, character in _TOKEN.findall(pattern):
        if star or mark:
            expression += (".*" if star else ".") if wildcards else re.escape(star or mark)
        elif variable in _LITERALS:
            expression += re.escape(variable)
        elif variable:
            values = request.values(variable)
            if len(values) != 1:
                return False
            expression += re.escape(values[0])
        else:
            expression += re.escape(character)
    return re.fullmatch(expression, value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None
