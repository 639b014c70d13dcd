"""JSON as strangers may send it: RFC 8259, and none of what two parsers read differently.

Refused beyond the RFC: duplicate keys, NaN and infinities, integers over 2^53 (a JavaScript peer would round them),
lone surrogates (not encodable again), and deep nesting.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

MAX_INTEGER = 2**53
# The closing quote is optional, so that an unterminated string is one match and the scan stays linear.
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class StrictJSONError(ValueError):
    """The text is not JSON that every reader understands alike; the message says why, quoting none of it."""


def loads(text: str, *, max_nesting: int) -> Any:
    """Decode `text`. Raises StrictJSONError, and nothing else, on any input."""
    if _depth(text) > max_nesting:
        raise StrictJSONError(f"nested deeper than {max_nesting} levels")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"not JSON: {error.msg} at character {error.pos}") from None
    if _SURROGATE_ESCAPE.search(text):
        _require_encodable(value)
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _STRINGS_AND_BRACKETS.finditer(text):
        if token[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in "]}":
            depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJSONError("an object has the same key twice")
    return result


def _constant(_name: str) -> NoReturn:
    raise StrictJSONError("NaN and infinities are not JSON")


def _integer(digits: str) -> int:
    # The length first: int() itself refuses very long digit strings with a ValueError of its own.
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise StrictJSONError("an integer is larger than 2^53")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise StrictJSONError("a number is too large")
    return value


def _require_encodable(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StrictJSONError("a string holds half of a surrogate pair") from None
