"""Every way in which a field of a command can be wrong, made from the shapes: a new field is covered by itself."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect, structs

from agentsocket.limits import Limits
from agentsocket.protocol import messages as protocol
from tests.support import command_samples

LIMITS = Limits()
VALUES = ["text", 5, 1.5, True, None, [], {}]  # one of each kind of JSON
SIZES = {
    "context": LIMITS.max_context_bytes,
    "metadata": LIMITS.max_metadata_bytes,
    "patch": LIMITS.max_remembered_bytes,
}
Step = str | int


class Wrong(NamedTuple):
    """A payload with one fault. `field` is to blame; the error's text must have `code`, and each of `states` in it."""

    fault: str
    payload: dict[str, Any]
    field: str
    states: tuple[str, ...]
    code: str = "bad_request"


class Place(NamedTuple):
    """A field of a payload, or of an object within it."""

    path: tuple[Step, ...]
    required: bool
    type: Any  # as it is annotated


def sample(kind: str) -> dict[str, Any]:
    """A payload with as many fields as the command's samples have."""
    least, most = command_samples.PAYLOADS[kind]
    return copy.deepcopy({**least, **most})


def every(kind: str) -> Iterator[Wrong]:
    """All faults of one command."""
    shape, whole = protocol.COMMANDS[kind], sample(kind)
    for path, inner in objects(shape, ()):
        given = {**reached(whole, path), "strange": 1}
        yield Wrong("unknown", changed(whole, path, given), dotted((*path, "strange")), ("unknown field",))
        for place in places(inner, path):
            yield from of_field(place, whole)


def objects(shape: Any, path: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """The shape itself, and those of the objects within it."""
    yield path, shape
    for place in places(shape, path):
        found = plain(place.type)
        if isinstance(found, inspect.StructType):
            yield from objects(found.cls, place.path)
        if isinstance(found, inspect.ListType) and isinstance(found.item_type, inspect.StructType):
            yield from objects(found.item_type.cls, (*place.path, 0))


def places(shape: Any, path: tuple[Step, ...]) -> Iterator[Place]:
    for field in structs.fields(shape):
        yield Place((*path, field.encode_name), field.required, field.type)


def of_field(place: Place, whole: dict[str, Any]) -> Iterator[Wrong]:
    """A field that is missing, of another type, and beyond each of its bounds."""
    field = dotted(place.path)
    if place.required:
        yield Wrong("missing", without(whole, place.path), field, ("is missing",))
    for value in VALUES:
        if is_of_another_type(value, place.type):
            yield Wrong(f"{value!r}", changed(whole, place.path, value), field, ("must be",))
    for fault, value, states in beyond(place.type):
        yield Wrong(fault, changed(whole, place.path, value), field, states)
    name = str(place.path[-1])
    if isinstance(plain(place.type), inspect.DictType):
        value = {"k": "v" * SIZES[name]}
        states = (f"{len(msgspec.json.encode(value)):,}", f"{SIZES[name]:,}")
        yield Wrong("too large", changed(whole, place.path, value), field, states, "too_large")


def beyond(annotated: Any) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Values beyond the bounds of a type, and what a text must say of each."""
    found, extra = plain(annotated), words(annotated)
    match found:
        case inspect.StrType():
            if found.pattern:
                for value in ("", "a b", "x" * 65):
                    yield f"pattern: {value[:9]}", value, (extra["pattern"],)
            elif found.max_length:
                size = found.max_length + 1
                yield "too long", "x" * size, (f"{size:,}", f"{found.max_length:,}")
            if found.min_length and not found.pattern:
                yield "empty", "", ("must not be empty",)
        case inspect.IntType(ge=int(least), le=int(most)):
            yield "too small", least - 1, (f"{least:,}", f"{most:,}", f"{least - 1:,}")
            yield "too large", most + 1, (f"{least:,}", f"{most:,}", f"{most + 1:,}")
        case inspect.ListType(max_length=int(most)):
            yield "too many", [{}] * (most + 1), (f"{most + 1:,}", f"{most:,}")
        case inspect.LiteralType():
            yield "another version", 2, ("2", "is not supported", *map(str, found.values))
            yield "text", "1", ("must be 1",)


def is_of_another_type(value: Any, annotated: Any) -> bool:
    """An empty object lacks a field, and a number that is another version is no other type: they are cases by name."""
    found = plain(annotated)
    if isinstance(found, inspect.LiteralType) or (isinstance(found, inspect.StructType) and value == {}):
        return False
    return not fits(value, annotated)


def plain(annotated: Any) -> Any:
    found = inspect.type_info(annotated)
    return found.type if isinstance(found, inspect.Metadata) else found


def words(annotated: Any) -> dict[str, str]:
    found = inspect.type_info(annotated)
    return found.extra or {} if isinstance(found, inspect.Metadata) else {}


def fits(value: Any, annotated: Any) -> bool:
    try:
        msgspec.convert(value, annotated)
    except msgspec.ValidationError:
        return False
    return True


def dotted(path: tuple[Step, ...]) -> str:
    """As an error names a field: `resume[0].seq`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def reached(whole: Any, path: tuple[Step, ...]) -> Any:
    for step in path:
        whole = whole[step]
    return whole


def changed(whole: dict[str, Any], path: tuple[Step, ...], value: Any) -> dict[str, Any]:
    """The payload with another value at a place."""
    if not path:
        return dict(value)
    result = copy.deepcopy(whole)
    reached(result, path[:-1])[path[-1]] = value
    return result


def without(whole: dict[str, Any], path: tuple[Step, ...]) -> dict[str, Any]:
    result = copy.deepcopy(whole)
    del reached(result, path[:-1])[path[-1]]
    return result
