"""The wire as JSON Schema (2020-12), made from `messages.py`; published as `clients/protocol.schema.json`."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from agentsocket.protocol import messages as protocol

_ID = msgspec.json.schema(protocol.CommandId)


def document() -> dict[str, Any]:
    """The whole schema: `$defs/client` is any frame a client may send, `$defs/server` any frame the server sends."""
    shapes = [*protocol.COMMANDS.values(), *protocol.EVENTS.values(), *protocol.CONTROL.values()]
    references, components = msgspec.json.schema_components(shapes, ref_template="#/$defs/{name}")
    for shape in components.values():
        if "description" in shape:  # a docstring, indented as the source has it
            shape["description"] = inspect.cleandoc(shape["description"])
    by_shape = dict(zip(shapes, references, strict=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentsocket wire protocol, version 1",
        "$defs": {
            **components,
            "client": {"oneOf": [_command(name, by_shape[shape]) for name, shape in protocol.COMMANDS.items()]},
            "server": {
                "oneOf": [
                    *(_event(name, by_shape[shape]) for name, shape in protocol.EVENTS.items()),
                    *(_control(name, by_shape[shape]) for name, shape in protocol.CONTROL.items()),
                ]
            },
        },
    }


def _command(name: str, payload: Any) -> dict[str, Any]:
    return _frame(name, payload, ["type", "payload"], {"id": _ID})


def _event(name: str, payload: Any) -> dict[str, Any]:
    required = ["type", "payload", "id", "timestamp", "thread_id", "run_id", "seq"]
    return _frame(name, payload, required, {"seq": {"type": "integer", "minimum": 1}})


def _control(name: str, payload: Any) -> dict[str, Any]:
    return _frame(name, payload, ["type", "payload", "id", "timestamp"], {"reply_to": {"type": "string"}})


def _frame(name: str, payload: Any, required: list[str], own: dict[str, Any]) -> dict[str, Any]:
    fields = {"type": {"const": name}, "payload": payload}
    if "timestamp" in required:
        fields |= {"id": {"type": "string"}, "timestamp": {"type": "integer"}}
        fields |= {"thread_id": {"type": "string"}, "run_id": {"type": "string"}}
    return {"type": "object", "properties": fields | own, "required": required, "additionalProperties": False}


def publish() -> bytes:
    """The document as the file holds it."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"
