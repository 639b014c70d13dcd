"""A payload of any shape, made from its types: the least that it says, and all that it can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, inspect, structs

from agentsocket.protocol.payload import Payload

_PLAIN: dict[type[inspect.Type], Any] = {
    inspect.StrType: "text",
    inspect.IntType: 7,
    inspect.BoolType: True,
    inspect.AnyType: "anything",
    inspect.RawType: Raw(b'{"seq":1}'),
}


def least(shape: type[Payload]) -> Any:
    """Required fields alone."""
    return _made(shape, [field for field in structs.fields(shape) if field.required])


def most(shape: type[Payload]) -> Any:
    """Every field, each with another value than its default."""
    return _made(shape, structs.fields(shape))


def written(payload: Payload) -> Any:
    """The JSON that travels."""
    return msgspec.json.decode(msgspec.json.encode(payload))


def _made(shape: type[Any], fields: Iterable[structs.FieldInfo]) -> Any:
    return shape(**{field.name: _value(inspect.type_info(field.type)) for field in fields})


def _value(kind: inspect.Type) -> Any:
    match kind:
        case inspect.Metadata():
            return _value(kind.type)
        case inspect.UnionType():
            return _value(next(one for one in kind.types if not isinstance(one, inspect.CustomType)))
        case inspect.StructType():
            return _made(kind.cls, structs.fields(kind.cls))
        case inspect.ListType():
            return [_value(kind.item_type)]
        case inspect.DictType():
            return {"key": _value(kind.value_type)}
        case inspect.LiteralType():
            return kind.values[0]
    return _PLAIN[type(kind)]
