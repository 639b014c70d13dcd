"""What a DynamoDB client asks for, as IAM looks at it: which action, on which table or index, with which first keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_ROW_OPERATIONS = {"GetItem": "Key", "UpdateItem": "Key", "DeleteItem": "Key", "PutItem": "Item"}
# A transaction's items are looked at one by one, each as the action that it is; all must be allowed.
_OF_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_EQUALS = re.compile(r"([#\w]+) = (:\w+)")


@dataclass(frozen=True)
class Access:
    """One thing that a call needs to be allowed. `table` is its name, with `/index/<name>` for an index.

    `keys` are the values of `dynamodb:LeadingKeys`.
    """

    action: str
    table: str
    keys: tuple[str, ...]


class Recorder:
    """Listens at a client. What it asks for is in `seen` from then on."""

    def __init__(self, client: Any) -> None:
        self.seen: list[Access] = []
        client.meta.events.register("provide-client-params.dynamodb", self._asked)

    def take(self) -> list[Access]:
        """What was asked for since the last time."""
        taken, self.seen = self.seen, []
        return taken

    def _asked(self, params: Any, model: Any, **_rest: Any) -> None:
        self.seen += accesses(model.name, params)


def accesses(operation: str, asked: Any) -> Iterator[Access]:
    """What one call of the API needs. An operation that is not known here is an error."""
    if operation in _ROW_OPERATIONS:
        yield Access(f"dynamodb:{operation}", asked["TableName"], (_first(asked[_ROW_OPERATIONS[operation]]),))
    elif operation == "Query":
        index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
        yield Access("dynamodb:Query", asked["TableName"] + index, (_queried(asked),))
    elif operation == "Scan":
        yield Access("dynamodb:Scan", asked["TableName"], ())
    elif operation == "BatchGetItem":
        for table, wanted in asked["RequestItems"].items():
            yield Access("dynamodb:BatchGetItem", table, tuple(_first(key) for key in wanted["Keys"]))
    elif operation == "BatchWriteItem":
        for table, writes in asked["RequestItems"].items():
            rows = [
                write["PutRequest"]["Item"] if "PutRequest" in write else write["DeleteRequest"]["Key"]
                for write in writes
            ]
            yield Access("dynamodb:BatchWriteItem", table, tuple(_first(row) for row in rows))
    elif operation in {"TransactWriteItems", "TransactGetItems"}:
        for item in asked["TransactItems"]:
            [(kind, write)] = item.items()
            yield from accesses(_OF_TRANSACTIONS[kind], write)
    elif operation == "ConditionCheckItem":
        yield Access("dynamodb:ConditionCheckItem", asked["TableName"], (_first(asked["Key"]),))
    else:
        raise AssertionError(f"which keys does {operation} name?")


def _first(row: Any) -> str:
    return str(row["PK"]["S"])


def _queried(asked: Any) -> str:
    """The partition that a Query is of."""
    names = asked.get("ExpressionAttributeNames", {})
    for name, value in _EQUALS.findall(asked["KeyConditionExpression"]):
        if names.get(name, name) == "PK":
            return str(asked["ExpressionAttributeValues"][value]["S"])
    raise AssertionError("a Query names its partition")
