"""Calls of one DynamoDB table: typed values in and out, conditional writes, and reads that do not see expired rows.

What the rows mean, which keys they have and which reads there are is the caller's, who extends `Table`. Operations are
values, so that one write and a transaction of several are made of the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from lambdakit import aws_calls
from lambdakit.aws_calls import ServiceUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Path = str | tuple[str, ...]
Clock = Callable[[], float]

ABSENT = Attr("PK").not_exists()
PRESENT = Attr("PK").exists()
_BATCH = 25  # BatchWriteItem takes no more


class ConditionFailed(Exception):
    """A conditional write found `row` in its way; None when there was no row, or the table is not asked for rows."""

    def __init__(self, row: Item | None) -> None:
        super().__init__("the condition of a write does not hold")
        self.row = row


class TransactionCancelled(Exception):
    """None of a transaction's writes happened. Why is found by reading, since the rows may have moved on."""


class TransactionConflict(Exception):
    """A single write met a transaction of the same row; it may succeed later."""


class Operation(NamedTuple):  # no dataclass: making one costs a cold start half a millisecond
    """One write: its kind as TransactWriteItems names it, and the parameters of that kind."""

    kind: Literal["Put", "Update", "Delete", "ConditionCheck"]
    parameters: dict[str, Any]


def put(item: Item, *, when: ConditionBase | None = None) -> Operation:
    """Write `item`, replacing what is there."""
    return Operation("Put", {"Item": serialize(item), **_conditions(when)})


def delete(key: Mapping[str, str], *, when: ConditionBase | None = None) -> Operation:
    """Remove the row; removing nothing is no error."""
    return Operation("Delete", {"Key": serialize(key), **_conditions(when)})


def update(
    key: Mapping[str, str],
    *,
    sets: Mapping[Any, Any],
    defaults: Mapping[str, Any] | None = None,
    adds: Mapping[str, int | set[str]] | None = None,
    discards: Mapping[str, set[str]] | None = None,
    removes: Sequence[Path] = (),
    when: ConditionBase | None = None,
) -> Operation:
    """Change attributes of a row, creating it unless `when` forbids that. A key of `sets` is a `Path`.

    `defaults` are set where the row has no such attribute yet; `adds` are added to the number or set that is there,
    `discards` are taken out of a set.
    """
    parameters = _conditions(when)
    names = parameters.setdefault("ExpressionAttributeNames", {})
    values = parameters.setdefault("ExpressionAttributeValues", {})
    assignments = []
    for index, (path, value) in enumerate(sets.items()):
        values[f":s{index}"] = _SERIALIZER.serialize(value)
        assignments.append(f"{_placeholder(path, names)} = :s{index}")
    for index, (name, value) in enumerate((defaults or {}).items()):
        values[f":d{index}"] = _SERIALIZER.serialize(value)
        placeholder = _placeholder(name, names)
        assignments.append(f"{placeholder} = if_not_exists({placeholder}, :d{index})")
    expression = f"SET {', '.join(assignments)}" if assignments else ""
    for section, changes in (("ADD", adds or {}), ("DELETE", discards or {})):
        for index, (name, change) in enumerate(changes.items()):
            values[f":{section}{index}"] = _SERIALIZER.serialize(change)
            expression += f"{f' {section}' if index == 0 else ','} {_placeholder(name, names)} :{section}{index}"
    if removes:
        expression += " REMOVE " + ", ".join(_placeholder(path, names) for path in removes)
    if not values:
        del parameters["ExpressionAttributeValues"]
    return Operation("Update", {"Key": serialize(key), "UpdateExpression": expression.strip(), **parameters})


class Table:
    """A table through a boto3 DynamoDB client; `now` is the clock that expiry is judged by, in seconds.

    `shows_rows` makes every conditional write ask for the row that stood in its way.
    """

    shows_rows = False

    def __init__(self, client: DynamoDBClient, name: str, *, now: Clock) -> None:
        self._client = client
        self._name = name
        self.now = now

    def call(self, method: Callable[..., Any], /, *, leftover: str = "", **parameters: Any) -> Any:
        """One call, on which all methods rest: whoever extends this class gives its refusals other types here.

        `leftover` names a member of the response that is empty when all was done. Raises ConditionFailed,
        TransactionCancelled, TransactionConflict, ServiceUnavailable; anything unexpected stays what it is.
        """
        try:
            response = aws_calls.call("DynamoDB", method, **parameters)
        except ClientError as error:
            raise _refusal(error) or error from None
        if leftover and response.get(leftover):
            raise ServiceUnavailable(f"DynamoDB is busy: {leftover}")
        return response

    def get_all(self, keys: Iterable[Mapping[str, str]]) -> list[Item]:
        """Those rows of `keys` that are there, in any order, read consistently in one call."""
        wanted = {self._name: {"Keys": [serialize(key) for key in keys], "ConsistentRead": True}}
        response = self.call(self._client.batch_get_item, leftover="UnprocessedKeys", RequestItems=wanted)
        found = map(deserialize, response["Responses"].get(self._name, []))
        return [item for item in found if self.is_unexpired(item)]

    def write(self, operation: Operation, *, returning: Literal["ALL_OLD", "ALL_NEW", "NONE"] = "NONE") -> Item:
        """Carry out one write. Raises ConditionFailed with the row in its way."""
        calls: dict[str, Callable[..., Any]] = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }
        parameters = self._parameters(operation)
        response = self.call(calls[operation.kind], ReturnValues=returning, **parameters)
        return deserialize(response.get("Attributes", {}))

    def transact(self, *operations: Operation) -> None:
        """Carry out all writes or none. Raises TransactionCancelled."""
        items = [{operation.kind: self._parameters(operation)} for operation in operations]
        self.call(self._client.transact_write_items, TransactItems=items)

    def remove(self, keys: Sequence[Mapping[str, str]]) -> None:
        """Delete rows without conditions, 25 in a call. Raises ServiceUnavailable when some are still there."""
        for start in range(0, len(keys), _BATCH):
            requests: Any = [{"DeleteRequest": {"Key": serialize(key)}} for key in keys[start : start + _BATCH]]
            items = {self._name: requests}
            self.call(self._client.batch_write_item, leftover="UnprocessedItems", RequestItems=items)

    def is_unexpired(self, item: Item) -> bool:
        """TTL deletes rows days late."""
        return "expires_at" not in item or bool(item["expires_at"] > self.now())

    def _parameters(self, operation: Operation) -> dict[str, Any]:
        parameters = {"TableName": self._name, **operation.parameters}
        if self.shows_rows and "ConditionExpression" in parameters:
            parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return parameters


class _Integers(TypeDeserializer):
    """Our numbers are whole; Decimal would leak into JSON and comparisons."""

    def _deserialize_n(self, value: str) -> int:
        return int(Decimal(value))


_SERIALIZER = TypeSerializer()
_DESERIALIZER = _Integers()


def serialize(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in DynamoDB's form."""
    return {name: _SERIALIZER.serialize(value) for name, value in values.items()}


def deserialize(attributes: Mapping[str, Any]) -> Item:
    """Values out of DynamoDB's form."""
    return {name: _DESERIALIZER.deserialize(value) for name, value in attributes.items()}


def _conditions(when: ConditionBase | None) -> dict[str, Any]:
    if when is None:
        return {}
    expression = ConditionExpressionBuilder().build_expression(when)
    parameters: dict[str, Any] = {
        "ConditionExpression": expression.condition_expression,
        "ExpressionAttributeNames": dict(expression.attribute_name_placeholders),
    }
    if expression.attribute_value_placeholders:
        parameters["ExpressionAttributeValues"] = serialize(expression.attribute_value_placeholders)
    return parameters


def _placeholder(path: Path, names: dict[str, str]) -> str:
    parts = (path,) if isinstance(path, str) else path
    placeholders = []
    for part in parts:
        placeholder = f"#s{len(names)}"
        names[placeholder] = part
        placeholders.append(placeholder)
    return ".".join(placeholders)


def _refusal(error: ClientError) -> Exception | None:
    """What a refusal means; None for one that should not happen.

    Of a cancelled transaction not the reasons: they hold the rows, and an exception's text may be logged.
    """
    code = aws_calls.code_of(error)
    if code == "ConditionalCheckFailedException":
        row: Any = error.response.get("Item")
        return ConditionFailed(deserialize(row) if row else None)
    if code == "TransactionCanceledException":
        return TransactionCancelled("a condition of a transaction does not hold")
    if code == "TransactionConflictException":
        return TransactionConflict(f"DynamoDB is busy: {code}")
    return None
