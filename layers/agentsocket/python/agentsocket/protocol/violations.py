"""What is wrong with a payload, in words of ours: the field, what stands there, what may, and what to do.

Loaded when a payload has been refused. The shapes are asked field by field, in the order in which msgspec reads them;
a pattern's words stand beside the pattern (`commands.py`). Nothing of msgspec's own texts is read or handed on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct, inspect, structs

from agentsocket import wording
from agentsocket.protocol.commands import MISNOMERS

_KINDS: Mapping[type, str] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
_WRITTEN_NUMBER = re.compile(r"-?[0-9]{1,20}")


class Violation(Struct, frozen=True):
    """`field` is a path below the payload, such as `resume[0].seq`; empty for the payload itself."""

    field: str
    text: str


class Violations:
    """Finds the first violation. `strict` as in `msgspec.convert`; nobody can mean the fields named `elsewhere`."""

    def __init__(self, *, strict: bool, elsewhere: Collection[str] = ()) -> None:
        self._strict = strict
        self._elsewhere = elsewhere

    def of(self, value: Any, shape: type[Struct], path: str = "") -> Violation:
        """What `value`, which is not of this shape, has against it."""
        if not isinstance(value, dict):
            return Violation(path, f"{path or 'payload'} must be an object, not {kind(value)}")
        fields = {field.encode_name: field for field in structs.fields(shape)}
        for name, given in value.items():
            here = f"{path}.{name}" if path else name
            if name not in fields:
                return Violation(here, self._unknown(here, name, fields))
            if not self._fits(given, fields[name].type):
                return self._wrong(given, fields[name].type, here)
        missing = next((name for name, field in fields.items() if field.required and name not in value), "")
        here = f"{path}.{missing}" if path and missing else missing or path
        return Violation(here, f"{here} is missing" if missing else f"{here or 'payload'} is not valid")

    def _fits(self, value: Any, shape: Any) -> bool:
        try:
            msgspec.convert(value, shape, strict=self._strict)
        except msgspec.ValidationError:
            return False
        return True

    def _unknown(self, here: str, name: str, known: Collection[str]) -> str:
        allowed = [field for field in known if field not in self._elsewhere]
        if meant := likely(name, allowed):
            return f"unknown field `{wording.quoted(here)}`; did you mean `{meant}`?"
        advice = f"allowed: {', '.join(allowed)}" if allowed else "no field is allowed here"
        return f"unknown field `{wording.quoted(here)}`; {advice}"

    def _wrong(self, value: Any, shape: Any, path: str) -> Violation:
        found = inspect.type_info(shape)
        words: Mapping[str, str] = {}
        if isinstance(found, inspect.Metadata):
            words, found = found.extra or {}, found.type
        if isinstance(found, inspect.StructType):
            return self.of(value, found.cls, path)
        if isinstance(found, inspect.ListType) and isinstance(value, list):
            return self._wrong_item(value, found, path)
        return Violation(path, f"{path} {_fault(value, found, words, strict=self._strict)}")

    def _wrong_item(self, items: list[Any], found: inspect.ListType, path: str) -> Violation:
        if found.max_length is not None and len(items) > found.max_length:
            return Violation(path, f"{path} has {len(items):,} items; the limit is {found.max_length:,}")
        for number, item in enumerate(items):
            if isinstance(found.item_type, inspect.StructType) and not self._fits(item, found.item_type.cls):
                return self.of(item, found.item_type.cls, f"{path}[{number}]")
        return Violation(path, f"{path} is not valid")


def likely(name: str, known: Collection[str]) -> str:
    """Which of the `known` names is probably meant by another one; empty when none is like it."""
    misnamed = MISNOMERS.get(name, "")
    if misnamed in known:
        return misnamed
    return next(iter(difflib.get_close_matches(name[: wording.MAX_QUOTED], known, n=1)), "")


def kind(value: Any) -> str:
    """What a JSON value is, for a person."""
    return _KINDS.get(type(value), "another value")


def _fault(value: Any, found: inspect.Type, words: Mapping[str, str], *, strict: bool) -> str:
    """Why a value is none of a plain type: what follows its name."""
    match found:
        case inspect.StrType():
            return _text_fault(value, found, words)
        case inspect.IntType():
            return f"must be a whole number{_range(found)}, not {_number(value, strict=strict)}"
        case inspect.LiteralType():
            return _literal_fault(value, found, words)
        case inspect.DictType():
            return f"must be an object, not {kind(value)}"
        case inspect.ListType():
            return f"must be a list, not {kind(value)}"
    return "is not valid"


def _text_fault(value: Any, found: inspect.StrType, words: Mapping[str, str]) -> str:
    if not isinstance(value, str):
        return f"must be text, not {kind(value)}"
    if "pattern" in words:
        return f"must be {words['pattern']}"
    if found.max_length is not None and len(value) > found.max_length:
        return wording.too_large("", len(value), found.max_length, "characters").strip()
    return "must not be empty" if not value else "is not valid"


def _literal_fault(value: Any, found: inspect.LiteralType, words: Mapping[str, str]) -> str:
    allowed = " or ".join(str(one) for one in found.values)
    if "other" in words and type(value) in (int, float):
        return words["other"].format(value=value, allowed=allowed)
    return f"must be {allowed}, not {kind(value)}"


def _range(found: inspect.IntType) -> str:
    return f" from {found.ge:,} to {found.le:,}" if found.ge is not None and found.le is not None else ""


def _number(value: Any, *, strict: bool) -> str:
    """The number itself, also where it may be written out, as in a query; of anything else what it is."""
    if not strict and isinstance(value, str) and _WRITTEN_NUMBER.fullmatch(value):
        return f"{int(value):,}"
    return f"{value:,}" if type(value) in (int, float) else kind(value)
