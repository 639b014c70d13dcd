"""The deployment's DynamoDB table: rows under a partition key and a sort key, read one, several or in key order.

What the rows mean is `runs.py`'s and `thread_log.py`'s; the calls are `lambdakit.dynamodb`'s. Every conditional write
asks for the row that stood in its way: an SDK retry of a write whose answer was lost meets its own row, and only the
row can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder, Key
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from agentsocket.errors import ConditionFailed, TransactionCancelled, Unavailable
from lambdakit import aws_calls, dynamodb
from lambdakit.dynamodb import (
    ABSENT,
    PRESENT,
    Clock,
    Item,
    Operation,
    Path,
    delete,
    deserialize,
    put,
    serialize,
    update,
)

__all__ = [
    "ABSENT",
    "PRESENT",
    "Clock",
    "Item",
    "Operation",
    "Page",
    "Path",
    "Table",
    "Tables",
    "delete",
    "put",
    "update",
]


class Page(Struct, frozen=True):
    """Rows of one Query in key order (or the reverse), and the key after which more lie; None at the end."""

    items: list[Item]
    next: Item | None

    @property
    def more(self) -> bool:
        return self.next is not None


class Tables(Protocol):
    """Where users' rows are: one table for all, or the table as each one's own role reaches it (`role_per_user.py`)."""

    def for_user(self, user: str, /) -> Table:
        """The table for one user's rows. Raises Unavailable."""


class Table(dynamodb.Table):
    """A table through a boto3 DynamoDB client; `now` is the clock that expiry is judged by, in seconds."""

    shows_rows = True

    def call(self, method: Callable[..., Any], /, *, leftover: str = "", **parameters: Any) -> Any:
        """One call, with DynamoDB's refusals as our errors; anything unexpected stays what it is."""
        try:
            return super().call(method, leftover=leftover, **parameters)
        except dynamodb.ConditionFailed as refused:
            raise ConditionFailed(refused.row) from None
        except dynamodb.TransactionCancelled as cancelled:
            raise TransactionCancelled(str(cancelled)) from None
        except (dynamodb.TransactionConflict, aws_calls.ServiceUnavailable) as error:
            raise Unavailable("the database is busy or does not respond; retry", cause=str(error)) from error
        except BotoCoreError as error:
            raise Unavailable(
                "the database cannot be reached; retry", cause=f"DynamoDB: {type(error).__name__}"
            ) from error

    def for_user(self, _user: str) -> Table:
        """The table as one user's rows are read and written: here the same for everyone."""
        return self

    def get(self, key: Mapping[str, str]) -> Item | None:
        """One row, read consistently; None when absent or expired."""
        response = self.call(self._client.get_item, TableName=self._name, Key=serialize(key), ConsistentRead=True)
        item = deserialize(response.get("Item", {}))
        return item if item and self.is_unexpired(item) else None

    def look(self, key: Mapping[str, str]) -> None:
        """One read. Raises Unavailable also when the table refuses it, as one that is not there does."""
        try:
            self.get(key)
        except ClientError as error:
            cause = f"DynamoDB rejected the read: {aws_calls.code_of(error)}"
            raise Unavailable("the database cannot be read; retry", cause=cause) from error

    def get_many(self, *keys: Mapping[str, str]) -> list[Item | None]:
        """Several rows in one call, read consistently, in the order of `keys`."""
        rows = {(item["PK"], item["SK"]): item for item in self.get_all(keys)}
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
            "ExpressionAttributeValues": serialize(expression.attribute_value_placeholders),
        }
        if limit is not None:
            parameters["Limit"] = limit
        if start is not None:
            parameters["ExclusiveStartKey"] = serialize(start)
        response = self.call(self._client.query, **parameters)
        return self._page(response, expired=expired)

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
        parameters: dict[str, Any] = {"ExclusiveStartKey": serialize(start)} if start else {}
        response = self.call(
            self._client.query,
            TableName=self._name,
            IndexName=index,
            ScanIndexForward=False,
            KeyConditionExpression="PK = :partition",
            ExpressionAttributeValues=serialize({":partition": partition}),
            Limit=limit,
            **parameters,
        )
        return self._page(response)

    def _page(self, response: Any, *, expired: bool = False) -> Page:
        items = [deserialize(item) for item in response["Items"]]
        kept = [item for item in items if expired or self.is_unexpired(item)]
        last = response.get("LastEvaluatedKey")
        return Page(kept, deserialize(last) if last else None)
