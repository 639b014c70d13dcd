"""The auth service's own DynamoDB table: flat rows under one key `PK`, and reads that do not see expired ones.

Every condition that matters stands in a transaction: the SDK gives each its ClientRequestToken, so that a retry of one
whose answer was lost succeeds instead of meeting its own write (DynamoDB, TransactWriteItems, Idempotency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from authservice import aws_calls
from authservice.errors import ConditionFailed, TransactionCancelled, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Clock = Callable[[], float]

ABSENT = Attr("PK").not_exists()
PRESENT = Attr("PK").exists()
_BATCH = 25  # BatchWriteItem takes no more


@dataclass(frozen=True, slots=True)
class Operation:
    """One write: its kind as TransactWriteItems names it, and the parameters of that kind."""

    kind: Literal["Put", "Update"]
    parameters: dict[str, Any]


def put(row: Item, *, when: ConditionBase | None = None) -> Operation:
    """Write a row."""
    return Operation("Put", {"Item": _serialize(row), **_conditions(when)})


def update(
    key: str, sets: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None, when: ConditionBase | None = None
) -> Operation:
    """Change attributes of a row, creating it unless `when` forbids that; `defaults` where there is none yet."""
    parameters = _conditions(when)
    names = parameters.setdefault("ExpressionAttributeNames", {})
    values = parameters.setdefault("ExpressionAttributeValues", {})
    assignments = []
    for index, (name, value) in enumerate({**sets, **(defaults or {})}.items()):
        names[f"#s{index}"], values[f":s{index}"] = name, _SERIALIZER.serialize(value)
        new = f":s{index}" if name in sets else f"if_not_exists(#s{index}, :s{index})"
        assignments.append(f"#s{index} = {new}")
    expression = "SET " + ", ".join(assignments)
    return Operation("Update", {"Key": _serialize({"PK": key}), "UpdateExpression": expression, **parameters})


class Table:
    """A table through a boto3 DynamoDB client; `now` is the clock that expiry is judged by, in seconds."""

    def __init__(self, client: DynamoDBClient, name: str, *, now: Clock) -> None:
        self._client = client
        self._name = name
        self.now = now

    def get(self, *keys: str) -> list[Item | None]:
        """Rows in the order of `keys`, read consistently; None when absent or expired. Raises Unavailable."""
        wanted = {self._name: {"Keys": [_serialize({"PK": key}) for key in keys], "ConsistentRead": True}}
        answer = _call(self._client.batch_get_item, RequestItems=wanted)
        if answer.get("UnprocessedKeys"):
            raise Unavailable("the database is busy")
        found = [_deserialize(item) for item in answer["Responses"].get(self._name, [])]
        rows = {item["PK"]: item for item in found if item.get("expires_at", self.now() + 1) > self.now()}
        return [rows.get(key) for key in keys]

    def reachable(self) -> bool:
        """Whether the table answers."""
        try:
            self.get("HEALTH")
        except (Unavailable, ClientError):
            return False
        return True

    def update(self, operation: Operation) -> Item:
        """Carry out one update that may be repeated; the row as it is then. Raises ConditionFailed, Unavailable."""
        answer = _call(self._client.update_item, TableName=self._name, ReturnValues="ALL_NEW", **operation.parameters)
        return _deserialize(answer["Attributes"])

    def transact(self, *operations: Operation) -> None:
        """Carry out all writes or none. Raises TransactionCancelled, Unavailable."""
        items = [{operation.kind: {"TableName": self._name, **operation.parameters}} for operation in operations]
        _call(self._client.transact_write_items, TransactItems=items)

    def scan(self, having: ConditionBase) -> Iterator[Item]:
        """Every row like that, expired ones too: reads the whole table. For the operator. Raises Unavailable."""
        expression = ConditionExpressionBuilder().build_expression(having)
        parameters: dict[str, Any] = {
            "TableName": self._name,
            "ConsistentRead": True,
            "FilterExpression": expression.condition_expression,
            "ExpressionAttributeNames": dict(expression.attribute_name_placeholders),
            "ExpressionAttributeValues": _serialize(expression.attribute_value_placeholders),
        }
        start: Any = {}
        while start is not None:
            answer = _call(self._client.scan, **parameters, **start)
            yield from map(_deserialize, answer["Items"])
            last = answer.get("LastEvaluatedKey")
            start = {"ExclusiveStartKey": last} if last else None

    def remove(self, keys: Sequence[str]) -> None:
        """Delete rows, 25 in a call. Raises Unavailable when some are still there."""
        for start in range(0, len(keys), _BATCH):
            requests: Any = [
                {"DeleteRequest": {"Key": _serialize({"PK": key})}} for key in keys[start : start + _BATCH]
            ]
            answer = _call(self._client.batch_write_item, RequestItems={self._name: requests})
            if answer.get("UnprocessedItems"):
                raise Unavailable("the database is busy")


class _Integers(TypeDeserializer):
    """Our numbers are whole; Decimal would leak into JSON and comparisons."""

    def _deserialize_n(self, value: str) -> int:
        return int(Decimal(value))


_SERIALIZER = TypeSerializer()
_DESERIALIZER = _Integers()


def _serialize(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _SERIALIZER.serialize(value) for name, value in values.items()}


def _deserialize(attributes: Mapping[str, Any]) -> Item:
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
        parameters["ExpressionAttributeValues"] = _serialize(expression.attribute_value_placeholders)
    return parameters


def _call(method: Callable[..., Any], **parameters: Any) -> Any:
    """One call, with DynamoDB's refusals as our errors; anything unexpected stays what it is."""
    try:
        return aws_calls.call(method, **parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed("the condition of a write does not hold") from None
        if code in {"TransactionCanceledException", "TransactionConflictException"}:
            # Not the reasons: an exception's text may be logged.
            raise TransactionCancelled("a transaction was cancelled") from None
        raise
