"""DynamoDB's expressions, as far as boto3's builder and `table.py` write them; anything else is an error.

Items and values are in DynamoDB's own form ({"S": "x"}); a comparison with what is absent, or of another type, is false
as it is there. Parsed once per text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

Attribute = Mapping[str, Any]
Item = dict[str, Attribute]
Tree = tuple[Any, ...]

_TOKEN = re.compile(r"\s*([(),]|<>|<=|>=|=|<|>|[#:]?[A-Za-z_][A-Za-z0-9_]*(?:\.#?[A-Za-z_][A-Za-z0-9_]*)*)")
_COMPARISONS = {"=", "<>", "<", "<=", ">", ">="}
_FUNCTIONS = {"attribute_exists", "attribute_not_exists", "begins_with", "contains"}


class Unsupported(Exception):
    """An expression that this evaluator does not know: it must learn it, or the code must not use it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An expression's placeholders with what they stand for."""

    names: Mapping[str, str]
    values: Mapping[str, Attribute]

    def path(self, text: str) -> list[str]:
        return [self.names[part] if part.startswith("#") else part for part in text.split(".")]


def holds(text: str, item: Item, bound: Bound) -> bool:
    """Whether the condition is true of the item (empty: there is none)."""
    return _true(condition(text), item, bound)


@cache
def condition(text: str) -> Tree:
    """The condition's tree: ("and", left, right), ("=", path, value), ("begins_with", path, value), …"""
    tokens = _tokens(text)
    tree = _either(tokens)
    if tokens:
        raise Unsupported(text)
    return tree


def _tokens(text: str) -> list[str]:
    """In reverse, so that `pop` gives the next."""
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unsupported(text)
        tokens.append(match[1])
        position = match.end()
    return tokens[::-1]


def _either(tokens: list[str]) -> Tree:
    tree = _both(tokens)
    while tokens and tokens[-1] == "OR":
        tokens.pop()
        tree = ("or", tree, _both(tokens))
    return tree


def _both(tokens: list[str]) -> Tree:
    tree = _one(tokens)
    while tokens and tokens[-1] == "AND":
        tokens.pop()
        tree = ("and", tree, _one(tokens))
    return tree


def _one(tokens: list[str]) -> Tree:
    token = tokens.pop()
    if token == "NOT":
        return ("not", _one(tokens))
    if token == "(":
        tree = _either(tokens)
        _expect(tokens, ")")
        return tree
    if token in _FUNCTIONS:
        return (token, *_arguments(tokens))
    if token == "size":
        [path] = _arguments(tokens)
        operator = tokens.pop()
        return ("size", operator, path, tokens.pop())
    operator = tokens.pop()
    if operator in _COMPARISONS:
        return (operator, token, tokens.pop())
    if operator == "IN":
        return ("in", token, _arguments(tokens))
    if operator == "BETWEEN":
        low = tokens.pop()
        _expect(tokens, "AND")
        return ("between", token, low, tokens.pop())
    raise Unsupported(f"{token} {operator}")


def _arguments(tokens: list[str]) -> tuple[str, ...]:
    _expect(tokens, "(")
    found = [tokens.pop()]
    while tokens[-1] == ",":
        tokens.pop()
        found.append(tokens.pop())
    _expect(tokens, ")")
    return tuple(found)


def _expect(tokens: list[str], token: str) -> None:
    if not tokens or tokens.pop() != token:
        raise Unsupported(f"{token} is missing")


def _true(tree: Tree, item: Item, bound: Bound) -> bool:
    match tree:
        case ("and", left, right):
            return _true(left, item, bound) and _true(right, item, bound)
        case ("or", left, right):
            return _true(left, item, bound) or _true(right, item, bound)
        case ("not", inner):
            return not _true(inner, item, bound)
        case ("attribute_exists", path):
            return _at(item, bound.path(path)) is not None
        case ("attribute_not_exists", path):
            return _at(item, bound.path(path)) is None
        case ("contains", path, value):
            return bound.values[value]["S"] in (_at(item, bound.path(path)) or {}).get("SS", ())
        case ("size", operator, path, value):
            kept = _at(item, bound.path(path))
            sized = None if kept is None else {"N": str(len(kept["SS"]))}
            return _compared(operator, sized, bound.values[value])
        case ("in", path, values):
            return any(_compared("=", _at(item, bound.path(path)), bound.values[value]) for value in values)
        case ("between", path, low, high):
            found = _at(item, bound.path(path))
            return _compared(">=", found, bound.values[low]) and _compared("<=", found, bound.values[high])
        case (operator, path, value):
            return _compared(operator, _at(item, bound.path(path)), bound.values[value])
    raise Unsupported(str(tree))


def _at(item: Item, path: list[str]) -> Attribute | None:
    found: Any = item.get(path[0])
    for name in path[1:]:
        if found is None or "M" not in found:
            return None
        found = found["M"].get(name)
    return found  # type: ignore[no-any-return]


def _compared(operator: str, found: Attribute | None, wanted: Attribute) -> bool:
    if found is None:
        return operator == "<>"
    if operator in ("=", "<>"):
        return (found == wanted) == (operator == "=")
    [(kind, left)], [(other, right)] = found.items(), wanted.items()
    if kind != other:
        return False
    if kind == "N":
        left, right = int(left), int(right)
    elif kind != "S":
        raise Unsupported(f"{operator} of {kind}")
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
        case "begins_with":
            return bool(left.startswith(right))
    raise Unsupported(operator)


# Updates.


@cache
def assignments(
    text: str,
) -> tuple[list[tuple[str, str, str]], list[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """An update's SETs as (path, value, path of the value that stands before it, or empty), REMOVEs, ADDs, DELETEs."""
    sets: list[tuple[str, str, str]] = []
    removes: list[str] = []
    adds: list[tuple[str, str]] = []
    deletes: list[tuple[str, str]] = []
    tokens = _tokens(text)
    section = ""
    while tokens:
        token = tokens.pop()
        if token in ("SET", "REMOVE", "ADD", "DELETE"):
            section = token
        elif token == ",":
            continue
        elif section == "SET":
            sets.append(_assignment(token, tokens))
        elif section == "REMOVE":
            removes.append(token)
        elif section == "ADD":
            adds.append((token, tokens.pop()))
        elif section == "DELETE":
            deletes.append((token, tokens.pop()))
        else:
            raise Unsupported(text)
    return sets, removes, adds, deletes


def _assignment(path: str, tokens: list[str]) -> tuple[str, str, str]:
    _expect(tokens, "=")
    value = tokens.pop()
    if value == "if_not_exists":
        kept, default = _arguments(tokens)
        return path, default, kept
    if not value.startswith(":"):
        raise Unsupported(value)
    return path, value, ""


def updated(text: str, item: Item, bound: Bound) -> Item:
    """The item after the update. Raises KeyError for a path through what is not there, which DynamoDB refuses."""
    sets, removes, adds, deletes = assignments(text)
    new = dict(item)
    for path, value, kept in sets:
        before = _at(item, bound.path(kept)) if kept else None
        _put(new, bound.path(path), bound.values[value] if before is None else before)
    for path in removes:
        _remove(new, bound.path(path))
    for path, value in adds:
        _put(new, bound.path(path), _sum(_at(item, bound.path(path)), bound.values[value]))
    for path, value in deletes:
        left = set((_at(item, bound.path(path)) or {"SS": []})["SS"]) - set(bound.values[value]["SS"])
        if left:
            _put(new, bound.path(path), {"SS": sorted(left)})
        else:  # a set is never empty
            _remove(new, bound.path(path))
    return new


def _sum(before: Attribute | None, more: Attribute) -> Attribute:
    if "SS" in more:
        return {"SS": sorted({*(before or {"SS": []})["SS"], *more["SS"]})}
    return {"N": str(int((before or {"N": "0"})["N"]) + int(more["N"]))}


def _put(item: Item, path: list[str], value: Attribute) -> None:
    if len(path) == 1:
        item[path[0]] = value
        return
    inner = dict(item[path[0]]["M"])
    _put(inner, path[1:], value)
    item[path[0]] = {"M": inner}


def _remove(item: Item, path: list[str]) -> None:
    if len(path) == 1:
        item.pop(path[0], None)
        return
    inner = dict(item[path[0]]["M"])
    _remove(inner, path[1:])
    item[path[0]] = {"M": inner}
