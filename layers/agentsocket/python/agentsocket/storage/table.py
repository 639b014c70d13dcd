"""One DynamoDB table: typed values in and out, conditional writes, and reads that do not see expired rows.

What the rows mean is `user.py`'s and `thread_log.py`'s. Operations are values, so that one write and a transaction of
several are made of the same parts. Every conditional write asks for the row that stood in its way: an SDK retry of a
write whose answer was lost meets its own row, and only the row can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol

from boto3.dynamodb.conditions import Attr, ConditionBase, ConditionExpressionBuilder, Key
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from agentsocket.errors import ConditionFailed, TransactionCancelled, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Path = str | tuple[str, ...]
Clock = Callable[[], float]

ABSENT = Attr("PK").not_exists()
PRESENT = Attr("PK").exists()
_BATCH = 25  # BatchWriteItem takes no more
_PASSING = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


class Operation(Struct, frozen=True):
    """One write: its kind as TransactWriteItems names it, and the parameters of that kind."""

    kind: Literal["Put", "Update", "Delete", "ConditionCheck"]
    parameters: dict[str, Any]


class Page(Struct, frozen=True):
    """Rows of one Query in key order (or the reverse), and the key after which more lie; None at the end."""

    items: list[Item]
    next: Item | None

    @property
    def more(self) -> bool:
        return self.next is not None


def put(item: Item, *, when: ConditionBase | None = None) -> Operation:
    """Write `item`, replacing what is there."""
    return Operation("Put", {"Item": _serialize(item), **_conditions(when)})


def delete(key: Mapping[str, str], *, when: ConditionBase | None = None) -> Operation:
    """Remove the row; removing nothing is no error."""
    return Operation("Delete", {"Key": _serialize(key), **_conditions(when)})


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
    return Operation("Update", {"Key": _serialize(key), "UpdateExpression": expression.strip(), **parameters})


class Tables(Protocol):
    """Where users' rows are: one table for all, or the table as each one's own role reaches it (`role_per_user.py`)."""

    def for_user(self, user: str, /) -> Table:
        """The table for one user's rows. Raises Unavailable."""


class Table:
    """A table through a boto3 DynamoDB client; `now` is the clock that expiry is judged by, in seconds."""

    def __init__(self, client: DynamoDBClient, name: str, *, now: Clock) -> None:
        self._client = client
        self._name = name
        self.now = now

    def for_user(self, _user: str) -> Table:
        """The table as one user's rows are read and written: here the same for everyone."""
        return self

    def get(self, key: Mapping[str, str]) -> Item | None:
        """One row, read consistently; None when absent or expired."""
        answer = _call(self._client.get_item, TableName=self._name, Key=_serialize(key), ConsistentRead=True)
        item = _deserialize(answer.get("Item", {}))
        return item if item and self._unexpired_item(item) else None

    def look(self, key: Mapping[str, str]) -> None:
        """One read. Raises Unavailable also when the table refuses it, as one that is not there does."""
        try:
            self.get(key)
        except ClientError as error:
            raise Unavailable("the database refuses") from error

    def get_many(self, *keys: Mapping[str, str]) -> list[Item | None]:
        """Several rows in one call, read consistently, in the order of `keys`."""
        wanted = {self._name: {"Keys": [_serialize(key) for key in keys], "ConsistentRead": True}}
        answer = _call(self._client.batch_get_item, RequestItems=wanted)
        if answer.get("UnprocessedKeys"):
            raise Unavailable("the database is busy")
        found: list[Item] = [_deserialize(item) for item in answer["Responses"][self._name]]
        rows = {(item["PK"], item["SK"]): item for item in found if self._unexpired_item(item)}
        return [rows.get((key["PK"], key["SK"])) for key in keys]

    def query(
        self,
        partition: str,
        sort: ConditionBase,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        expired: bool = False,
        start: Item | None = None,
    ) -> Page:
        """One Query (at most 1 MB), read consistently, after the key `start`.

        `expired` includes rows that TTL has not deleted yet.
        """
        expression = ConditionExpressionBuilder().build_expression(
            Key("PK").eq(partition) & sort, is_key_condition=True
        )
        parameters: dict[str, Any] = {
            "TableName": self._name,
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
            "KeyConditionExpression": expression.condition_expression,
            "ExpressionAttributeNames": expression.attribute_name_placeholders,
            "ExpressionAttributeValues": _serialize(expression.attribute_value_placeholders),
        }
        if limit is not None:
            parameters["Limit"] = limit
        if start is not None:
            parameters["ExclusiveStartKey"] = _serialize(start)
        answer = _call(self._client.query, **parameters)
        return self._page(answer, expired=expired)

    def query_all(self, partition: str, sort: ConditionBase) -> list[Item]:
        """All rows in key order, read consistently, however many Queries that takes."""
        found: list[Item] = []
        page = self.query(partition, sort)
        while page.next is not None:
            found += page.items
            page = self.query(partition, sort, start=page.next)
        return found + page.items

    def query_index(self, index: str, partition: str, *, limit: int, start: Item | None = None) -> Page:
        """One Query of an index with the table's partitions, newest first, after the key `start`. Lags behind."""
        parameters: dict[str, Any] = {"ExclusiveStartKey": _serialize(start)} if start else {}
        answer = _call(
            self._client.query,
            TableName=self._name,
            IndexName=index,
            ScanIndexForward=False,
            KeyConditionExpression="PK = :partition",
            ExpressionAttributeValues={":partition": _SERIALIZER.serialize(partition)},
            Limit=limit,
            **parameters,
        )
        return self._page(answer)

    def write(self, operation: Operation, *, returning: Literal["ALL_OLD", "ALL_NEW", "NONE"] = "NONE") -> Item:
        """Carry out one write. Raises ConditionFailed with the row in its way."""
        calls: dict[str, Callable[..., Any]] = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }
        answer = _call(calls[operation.kind], TableName=self._name, ReturnValues=returning, **operation.parameters)
        return _deserialize(answer.get("Attributes", {}))

    def transact(self, *operations: Operation) -> None:
        """Carry out all writes or none. Raises TransactionCancelled."""
        items = [{operation.kind: {"TableName": self._name, **operation.parameters}} for operation in operations]
        _call(self._client.transact_write_items, TransactItems=items)

    def remove(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Delete rows without conditions, 25 in a call. Raises Unavailable when some are still there."""
        for start in range(0, len(rows), _BATCH):
            requests: Any = [{"DeleteRequest": {"Key": _serialize(key)}} for key in rows[start : start + _BATCH]]
            answer = _call(self._client.batch_write_item, RequestItems={self._name: requests})
            if answer.get("UnprocessedItems"):
                raise Unavailable("the database is busy")

    def _page(self, answer: Any, *, expired: bool = False) -> Page:
        items = [_deserialize(item) for item in answer["Items"]]
        kept = [item for item in items if expired or self._unexpired_item(item)]
        last = answer.get("LastEvaluatedKey")
        return Page(kept, _deserialize(last) if last else None)

    def _unexpired_item(self, item: Item) -> bool:
        return "expires_at" not in item or bool(item["expires_at"] > self.now())


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
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if expression.attribute_value_placeholders:
        parameters["ExpressionAttributeValues"] = _serialize(expression.attribute_value_placeholders)
    return parameters


def _placeholder(path: Path, names: dict[str, str]) -> str:
    parts = (path,) if isinstance(path, str) else path
    placeholders = []
    for part in parts:
        placeholder = f"#s{len(names)}"
        names[placeholder] = part
        placeholders.append(placeholder)
    return ".".join(placeholders)


def _call(method: Callable[..., Any], **parameters: Any) -> Any:
    """One call, with DynamoDB's refusals as our errors; anything unexpected stays what it is."""
    try:
        return method(**parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            row: Any = error.response.get("Item")
            raise ConditionFailed(_deserialize(row) if row else None) from None
        if code == "TransactionCanceledException":
            # Not the reasons: they hold the rows, and an exception's text may be logged.
            raise TransactionCancelled("a condition of a transaction does not hold") from None
        if code in _PASSING:
            raise Unavailable("the database is busy") from error
        raise
    except BotoCoreError as error:
        raise Unavailable("the database does not answer") from error
