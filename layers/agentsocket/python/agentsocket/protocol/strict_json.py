"""JSON as strangers may send it: RFC 8259, and none of what two parsers read differently.

Refused beyond the RFC: duplicate keys, NaN and infinities, integers over 2^53 (a JavaScript peer would round them),
lone surrogates (not encodable again), and deep nesting.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from agentsocket import wording

MAX_INTEGER = 2**53
# The closing quote is optional, so that an unterminated string is one match and the scan stays linear.
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


# What Python's decoder says, and what is said instead: its texts change with its versions.
_CAUSES = {
    "Expecting value": "a value is missing",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Extra data": "more text follows",
    "Unterminated string starting at": "a string is not closed, which begins",
    "Invalid control character at": "a control character must be escaped",
    "Invalid \\escape": "a backslash begins no escape",
    "Invalid \\uXXXX escape": "an escape \\u needs four hexadecimal digits",
    "Illegal trailing comma before end of object": "a comma precedes a closing bracket",
    "Illegal trailing comma before end of array": "a comma precedes a closing bracket",
    "Unexpected UTF-8 BOM (decode using utf-8-sig)": "a byte order mark precedes it",
}


class StrictJSONError(ValueError):
    """The text is not JSON that every reader understands alike.

    The message says why, and follows the name of what is refused: `the body` + ` is not valid JSON: …`. It quotes
    nothing but the name of a duplicate key.
    """


def loads(text: str, *, max_nesting: int) -> Any:
    """Decode `text`. Raises StrictJSONError, and nothing else, on any input."""
    depth = _depth(text)
    if depth > max_nesting:
        raise StrictJSONError(f"is nested {depth:,} levels deep; the limit is {max_nesting}")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float
        )
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"is not valid JSON: {_cause(text, error)}") from None
    if _SURROGATE_ESCAPE.search(text):
        _require_encodable(value)
    return value


def _cause(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "it is empty"
    if error.pos >= len(text.rstrip()):
        return f"it ends too early, after character {len(text.rstrip()):,}"
    return f"{_CAUSES.get(error.msg, 'there is a mistake')} at character {error.pos + 1:,}"


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
        raise StrictJSONError(f'is not valid JSON: duplicate key "{_duplicate(pairs)}"')
    return result


def _duplicate(pairs: list[tuple[str, Any]]) -> str:
    """The first key that stands there again."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return wording.quoted(key)
        seen.add(key)
    return ""


def _constant(name: str) -> NoReturn:
    raise StrictJSONError(f"is not valid JSON: {name} is not a JSON number")


def _integer(digits: str) -> int:
    # The length first: int() itself refuses very long digit strings with a ValueError of its own.
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER:
        raise StrictJSONError(
            f"has an integer of {len(digits.lstrip('-')):,} digits; the limit is 2^53; send it as text"
        )
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise StrictJSONError("has a number beyond 1.8e308, the limit; send it as text")
    return value


def _require_encodable(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise StrictJSONError("holds half of a surrogate pair; escape both halves") from None
