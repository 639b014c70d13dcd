"""Evaluates the policy an authorizer returns, for the one action a WebSocket API has. Conditions are not evaluated.

Source: IAM's "Policy evaluation logic": an explicit Deny wins over any Allow, and what nobody allows is denied.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

ACTION = "execute-api:Invoke"


class Effect(Enum):
    """What a policy says about one resource."""

    ALLOW = "Allow"
    DENY = "Deny"
    SILENT = "no statement matches"


class PolicyError(Exception):
    """The document is not a policy this gateway can evaluate."""


def evaluate(document: object, resource: str) -> Effect:
    """The effect of a policy document on invoking `resource`, an execute-api ARN. Raises PolicyError."""
    effects = {effect for effect, matches in _statements(document, resource) if matches}
    for effect in (Effect.DENY, Effect.ALLOW):
        if effect in effects:
            return effect
    return Effect.SILENT


def _statements(document: object, resource: str) -> list[tuple[Effect, bool]]:
    if not isinstance(document, Mapping):
        raise PolicyError("The policy document is not an object.")
    statements = document.get("Statement")
    listed = [statements] if isinstance(statements, Mapping) else statements
    if not isinstance(listed, list) or not all(isinstance(statement, Mapping) for statement in listed):
        raise PolicyError("The policy document has no statements.")
    return [(_effect(statement), _matches(statement, resource)) for statement in listed]


def _effect(statement: Mapping[str, Any]) -> Effect:
    if statement.get("Condition"):
        raise PolicyError("A statement has a condition, which this gateway does not evaluate.")
    named = statement.get("Effect")
    if named not in {"Allow", "Deny"}:
        raise PolicyError("A statement has no Effect of Allow or Deny.")
    return Effect(named)


def _matches(statement: Mapping[str, Any], resource: str) -> bool:
    return _named(statement, "Action", ACTION, re.IGNORECASE) and _named(statement, "Resource", resource)


def _named(statement: Mapping[str, Any], element: str, value: str, flags: int = 0) -> bool:
    """Whether `element`, or the opposite of its Not form, covers the value."""
    if element in statement:
        return _covers(statement[element], value, flags)
    if f"Not{element}" in statement:
        return not _covers(statement[f"Not{element}"], value, flags)
    raise PolicyError(f"A statement has no {element}.")


def _covers(patterns: object, value: str, flags: int) -> bool:
    regexes = [_regex(pattern) for pattern in (patterns if isinstance(patterns, list) else [patterns])]
    return any(re.fullmatch(regex, value, flags | re.DOTALL) for regex in regexes)


def _regex(pattern: object) -> str:
    """IAM knows two wildcards: * for any characters, ? for one."""
    if not isinstance(pattern, str):
        raise PolicyError("An Action or Resource is not text.")
    return re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
