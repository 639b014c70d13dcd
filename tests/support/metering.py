"""Counts what boto3 clients ask of AWS: every call with its bytes, and the DynamoDB units it consumes.

Units are computed from the rows, by the rules of the DynamoDB developer guide ("DynamoDB item sizes and formats", "read
and write operations"): moto's own figure is a constant, and nothing is asked for on the wire that a deployment would
not ask. Calls must come one after another, in one thread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

_WRITE_UNIT = 1024
_READ_UNIT = 4096
_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_ASPECTS = {"LIVE"}  # rows of several kinds under one first word


@dataclass(frozen=True, slots=True)
class Write:
    """One row that a call writes: its kind as data-model.md names it, and its units (WRU)."""

    kind: str
    units: int


@dataclass(slots=True)
class Call:
    """One HTTP request: bytes of its body and of the answer's, and what DynamoDB charges for it."""

    service: str
    operation: str
    sent: int
    target: str = ""
    received: int = 0
    reads: int = 0
    writes: list[Write] = field(default_factory=list)

    @property
    def reading(self) -> bool:
        return self.operation in {"GetItem", "BatchGetItem", "Query"}

    @property
    def writing(self) -> bool:
        return self.operation in _WRITES or self.operation == "TransactWriteItems"


class Meter:
    """Listens at clients. `look` is a DynamoDB client of its own, for how large a row is before and after a write."""

    def __init__(self, look: Any) -> None:
        self.calls: list[Call] = []
        self._look = look
        self._asked: Any = {}
        self._before: list[tuple[Row, Row]] = []

    def attach(self, client: Any) -> None:
        """Count this client's calls from now on."""
        events = client.meta.events
        events.register_first("before-send", self._sending)
        events.register("response-received", self._received)

    def take(self) -> list[Call]:
        """The calls since the last time."""
        taken, self.calls = self.calls, []
        return taken

    def _sending(self, request: Any, event_name: str, **_rest: Any) -> None:
        _, service, operation = event_name.split(".")
        body = request.body or b""
        self.calls.append(Call(service, operation, len(body)))
        if service == "dynamodb":
            self._asked = json.loads(body)
            self.calls[-1].target = target_of(operation, self._asked)
            self._before = [(key, self._row(key)) for key in written_keys(operation, self._asked)]
        elif service == "apigatewaymanagementapi":
            self.calls[-1].target = request.url.rpartition("/")[2]

    def _received(self, response_dict: Any, event_name: str, **_rest: Any) -> None:
        call = self.calls[-1]
        assert event_name.endswith(call.operation), "calls must come one after another"
        body = response_dict["body"] or b""
        call.received = len(body)
        if call.service == "dynamodb" and response_dict["status_code"] == 200:
            call.reads = read_units(call.operation, self._asked, json.loads(body))
        twice = 2 if call.operation == "TransactWriteItems" else 1
        for key, before in self._before:
            call.writes += written(key, before, self._row(key), twice)
        self._before = []

    def _row(self, key: Row) -> Row:
        row: Row = self._look.get_item(TableName="agentsocket", Key=key, ConsistentRead=True).get("Item", {})
        return row


def written(key: Row, before: Row, after: Row, twice: int) -> Iterator[Write]:
    """The units of one written row, and of its entry in the index; a transaction costs `twice`.

    Whether it does so for the index is not said anywhere: the dearer reading is taken.
    """
    size = max(item_bytes(before), item_bytes(after))
    yield Write(kind_of(key["SK"]["S"]), twice * max(1, math.ceil(size / _WRITE_UNIT)))
    if "activity" in before or "activity" in after:
        # A row that moves within the index is removed there and put anew.
        moved = "activity" in before and "activity" in after and before["activity"] != after["activity"]
        yield Write("by_activity", twice * (2 if moved else 1) * max(1, math.ceil(size / _WRITE_UNIT)))


def written_keys(operation: str, asked: Any) -> list[Row]:
    """The keys of the rows that a request writes, or checks in a transaction."""
    if operation == "TransactWriteItems":
        return [_key(parameters) for item in asked["TransactItems"] for parameters in item.values()]
    return [_key(asked)] if operation in _WRITES else []


def target_of(operation: str, asked: Any) -> str:
    """What kind of rows a request is about, in words for a table."""
    if keys := written_keys(operation, asked):
        return "+".join(dict.fromkeys(kind_of(key["SK"]["S"]) for key in keys))
    if operation == "GetItem":
        return kind_of(asked["Key"]["SK"]["S"])
    if operation == "BatchGetItem":
        [wanted] = asked["RequestItems"].values()
        return "+".join(dict.fromkeys(kind_of(key["SK"]["S"]) for key in wanted["Keys"]))
    values = [value["S"] for value in asked["ExpressionAttributeValues"].values()]
    return next((kind_of(value) for value in values if not value.startswith("USER#")), "")


def read_units(operation: str, asked: Any, answer: Any) -> int:
    """RRU of a consistent read: 1 for each 4 KB of a row, or of all rows of a Query; 1 for what is not there."""
    if operation == "Query":
        return _read(answer["Items"])
    if operation == "GetItem":
        return _read([answer.get("Item", {})])
    if operation == "BatchGetItem":
        found = [row for rows in answer["Responses"].values() for row in rows]
        wanted = sum(len(table["Keys"]) for table in asked["RequestItems"].values())
        return sum(_read([row]) for row in found) + wanted - len(found)
    return 0


def _read(rows: list[Row]) -> int:
    return max(1, math.ceil(sum(map(item_bytes, rows)) / _READ_UNIT))


def kind_of(sort_key: str) -> str:
    """`EVENT#000000000001` is an EVENT; `LIVE#CONN#a` is a LIVE#CONN."""
    first, *rest = sort_key.split("#")
    return f"{first}#{rest[0]}" if first in _ASPECTS and rest and rest[0] else first


def item_bytes(item: Row) -> int:
    """The size of a row as DynamoDB charges it."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Any) -> int:
    [(kind, held)] = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return math.ceil(len(held.lstrip("-").strip("0")) / 2) + 1
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_bytes(inner) for name, inner in held.items())
    if kind == "L":
        return 3 + sum(1 + _value_bytes(inner) for inner in held)
    return 1


def _key(parameters: Any) -> Row:
    row = parameters.get("Item") or parameters["Key"]
    return {"PK": row["PK"], "SK": row["SK"]}
