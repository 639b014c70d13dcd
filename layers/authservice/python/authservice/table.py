"""The auth service's own DynamoDB table: flat rows under one key `PK`. The calls are `lambdakit.dynamodb`'s.

Every condition that matters stands in a transaction: the SDK gives each its ClientRequestToken, so that a retry of one
whose answer was lost succeeds instead of meeting its own write (DynamoDB, TransactWriteItems, Idempotency).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from botocore.exceptions import ClientError

from authservice.errors import ConditionFailed, TransactionCancelled, Unavailable
from lambdakit import dynamodb
from lambdakit.aws_calls import ServiceUnavailable
from lambdakit.dynamodb import ABSENT, PRESENT, Item, Operation, deserialize, put, serialize

__all__ = ["ABSENT", "PRESENT", "Item", "Operation", "Table", "put", "update"]


def update(
    key: str, sets: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None, when: ConditionBase | None = None
) -> Operation:
    """Change attributes of a row, creating it unless `when` forbids that; `defaults` where there is none yet."""
    return dynamodb.update({"PK": key}, sets=sets, defaults=defaults, when=when)


class Table(dynamodb.Table):
    """A table through a boto3 DynamoDB client; `now` is the clock that expiry is judged by, in seconds."""

    def call(self, method: Callable[..., Any], /, *, leftover: str = "", **parameters: Any) -> Any:
        """One call, with DynamoDB's refusals as our errors; anything unexpected stays what it is."""
        try:
            return super().call(method, leftover=leftover, **parameters)
        except dynamodb.ConditionFailed as refused:
            raise ConditionFailed(str(refused)) from None
        except (dynamodb.TransactionCancelled, dynamodb.TransactionConflict) as error:
            raise TransactionCancelled(str(error)) from None
        except ServiceUnavailable as error:
            text = "the database is busy or does not respond; send the request again"
            raise Unavailable(text, cause=str(error)) from error

    def get(self, *keys: str) -> list[Item | None]:
        """Rows in the order of `keys`, read consistently; None when absent or expired. Raises Unavailable."""
        rows = {item["PK"]: item for item in self.get_all({"PK": key} for key in keys)}
        return [rows.get(key) for key in keys]

    def is_reachable(self) -> bool:
        """Whether the table responds."""
        try:
            self.get("HEALTH")
        except (Unavailable, ClientError):
            return False
        return True

    def scan(self, having: ConditionBase) -> Iterator[Item]:
        """Every row like that, expired ones too: reads the whole table. For the operator. Raises Unavailable."""
        expression = ConditionExpressionBuilder().build_expression(having)
        parameters: dict[str, Any] = {
            "TableName": self._name,
            "ConsistentRead": True,
            "FilterExpression": expression.condition_expression,
            "ExpressionAttributeNames": dict(expression.attribute_name_placeholders),
            "ExpressionAttributeValues": serialize(expression.attribute_value_placeholders),
        }
        start: Any = {}
        while start is not None:
            response = self.call(self._client.scan, **parameters, **start)
            yield from map(deserialize, response["Items"])
            last = response.get("LastEvaluatedKey")
            start = {"ExclusiveStartKey": last} if last else None
