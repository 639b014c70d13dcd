"""DynamoDB in memory, shaped like boto3's client: one table, strongly consistent, each call atomic.

What an expression means is `expressions.py`'s; when a call takes effect, and whether its answer arrives, is
`processes.py`'s.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.expressions import Bound, Item, Tree, condition, holds, updated
from tests.simulation.processes import Call, Process, refusal

_PAGE_BYTES = 1024 * 1024
_ITEM_BYTES = 400 * 1024
_TRANSACTION_ITEMS = 100
_OF_QUERIES = {"ConsistentRead", "ExpressionAttributeNames", "ExpressionAttributeValues"}
_OF_QUERIES |= {"ExclusiveStartKey", "Limit", "ScanIndexForward"}
_STALE = "what was just written may not be there yet"
_THROTTLED = "ThrottlingException"


@dataclass(slots=True)
class Partition:
    """The items of one partition key; `order` are their sort keys, sorted."""

    items: dict[str, Item] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def put(self, sort: str, item: Item) -> None:
        if sort not in self.items:
            bisect.insort(self.order, sort)
        self.items[sort] = item

    def delete(self, sort: str) -> None:
        if self.items.pop(sort, None) is not None:
            del self.order[bisect.bisect_left(self.order, sort)]


@dataclass(slots=True)
class Database:
    """What is stored, whoever asks."""

    partitions: dict[str, Partition] = field(default_factory=dict)

    def at(self, key: Item) -> Item | None:
        partition = self.partitions.get(key["PK"]["S"])
        return partition.items.get(key["SK"]["S"]) if partition else None

    def put(self, item: Item) -> None:
        if _size(item) > _ITEM_BYTES:
            raise refusal("ValidationException", "PutItem")
        self.partitions.setdefault(item["PK"]["S"], Partition()).put(item["SK"]["S"], item)

    def delete(self, key: Item) -> None:
        if key["PK"]["S"] in self.partitions:
            self.partitions[key["PK"]["S"]].delete(key["SK"]["S"])

    def rows(self) -> Iterator[Item]:
        """Everything there is, in order of keys."""
        for _, partition in sorted(self.partitions.items()):
            for sort in partition.order:
                yield partition.items[sort]


@dataclass(slots=True)
class _Write:
    """One write of a call or of a transaction, ready to be checked and then applied."""

    kind: str
    parameters: dict[str, Any]

    @property
    def key(self) -> Item:
        source: Item = self.parameters["Item" if self.kind == "Put" else "Key"]
        return {"PK": source["PK"], "SK": source["SK"]}

    def met(self, found: Item | None) -> bool:
        text = self.parameters.get("ConditionExpression")
        return text is None or holds(text, found or {}, self._bound())

    def apply(self, database: Database, found: Item | None) -> Item | None:
        """Carry it out; the item as it is then."""
        if self.kind == "Put":
            database.put(self.parameters["Item"])
            return self.parameters["Item"]  # type: ignore[no-any-return]
        if self.kind == "Delete":
            database.delete(self.key)
            return None
        if self.kind == "ConditionCheck":
            return found
        try:
            new = updated(self.parameters["UpdateExpression"], found or self.key, self._bound())
        except KeyError:
            raise refusal("ValidationException", "UpdateItem") from None
        database.put(new)
        return new

    def _bound(self) -> Bound:
        named = self.parameters.get("ExpressionAttributeNames", {})
        return Bound(named, self.parameters.get("ExpressionAttributeValues", {}))


class DynamoDB:
    """The client of one process."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process

    # Reading.

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool) -> Any:  # noqa: N803 (boto3's names)
        assert ConsistentRead, _STALE

        def commit() -> Any:
            found = self._database.at(Key)
            return {"Item": found} if found is not None else {}

        return self._call(f"get {_label(Key)}", commit)

    def batch_get_item(self, *, RequestItems: Any) -> Any:  # noqa: N803
        [(table, wanted)] = RequestItems.items()
        assert wanted.get("ConsistentRead"), _STALE
        assert wanted.keys() == {"Keys", "ConsistentRead"}, f"a simulation does not know all of {sorted(wanted)}"

        def commit() -> Any:
            found = [self._database.at(key) for key in wanted["Keys"]]
            return {"Responses": {table: [item for item in found if item is not None]}, "UnprocessedKeys": {}}

        return self._call("get " + " ".join(_label(key) for key in wanted["Keys"]), commit)

    def query(self, *, TableName: str, KeyConditionExpression: str, **parameters: Any) -> Any:  # noqa: N803
        assert "IndexName" not in parameters, "nobody in a simulation lists threads"
        assert parameters.get("ConsistentRead"), _STALE
        assert parameters.keys() <= _OF_QUERIES, f"a simulation does not know all of {sorted(parameters)}"
        bound = Bound(parameters.get("ExpressionAttributeNames", {}), parameters["ExpressionAttributeValues"])
        partition, low, high = _range(condition(KeyConditionExpression), bound)
        return self._call(f"query {low.split('#')[0]}", lambda: self._page(partition, low, high, parameters))

    def _page(self, key: str, low: str, high: str, parameters: dict[str, Any]) -> Any:
        partition = self._database.partitions.get(key) or Partition()
        order = partition.order
        start, end = bisect.bisect_left(order, low), bisect.bisect_right(order, high)
        after = parameters["ExclusiveStartKey"]["SK"]["S"] if "ExclusiveStartKey" in parameters else None
        if parameters.get("ScanIndexForward", True):
            found = order[max(start, bisect.bisect_right(order, after)) if after else start : end]
        else:
            found = order[start : bisect.bisect_left(order, after) if after else end][::-1]
        items: list[Item] = []
        size = 0
        for sort in found:
            if len(items) == parameters.get("Limit") or size > _PAGE_BYTES:
                last = items[-1]
                return {"Items": items, "LastEvaluatedKey": {"PK": last["PK"], "SK": last["SK"]}}
            items.append(partition.items[sort])
            size += _size(items[-1])
        return {"Items": items}

    # Writing.

    def put_item(self, *, TableName: str, ReturnValues: str, **parameters: Any) -> Any:  # noqa: N803
        return self._write(_Write("Put", parameters), ReturnValues)

    def update_item(self, *, TableName: str, ReturnValues: str, **parameters: Any) -> Any:  # noqa: N803
        return self._write(_Write("Update", parameters), ReturnValues)

    def delete_item(self, *, TableName: str, ReturnValues: str, **parameters: Any) -> Any:  # noqa: N803
        return self._write(_Write("Delete", parameters), ReturnValues)

    def _write(self, write: _Write, returning: str) -> Any:
        def commit() -> Any:
            before = self._database.at(write.key)
            if not write.met(before):
                raise refusal("ConditionalCheckFailedException", write.kind, row=before)
            after = write.apply(self._database, before)
            shown = {"ALL_OLD": before, "ALL_NEW": after}.get(returning)
            return {"Attributes": shown} if shown else {}

        return self._call(f"{write.kind.lower()} {_label(write.key)}", commit)

    def transact_write_items(self, *, TransactItems: Any) -> Any:  # noqa: N803
        writes = [_Write(kind, parameters) for entry in TransactItems for kind, parameters in entry.items()]
        keys = [(write.key["PK"]["S"], write.key["SK"]["S"]) for write in writes]
        if len(set(keys)) < len(keys) or len(keys) > _TRANSACTION_ITEMS:
            raise refusal("ValidationException", "TransactWriteItems")
        done: list[bool] = []  # the SDK sends one token with all attempts of one call

        def commit() -> Any:
            if done:
                return {}
            found = [self._database.at(write.key) for write in writes]
            if self._process.strike("conflict") or not all(map(_Write.met, writes, found)):
                raise refusal("TransactionCanceledException", "TransactWriteItems")
            for write, before in zip(writes, found, strict=True):
                write.apply(self._database, before)
            done.append(True)
            return {}

        return self._call("transact " + " ".join(_label(write.key) for write in writes), commit)

    def batch_write_item(self, *, RequestItems: Any) -> Any:  # noqa: N803
        [requests] = RequestItems.values()

        def commit() -> Any:
            for request in requests:
                self._database.delete(request["DeleteRequest"]["Key"])
            return {"UnprocessedItems": {}}

        return self._call(f"delete {len(requests)} rows", commit)

    def _call(self, operation: str, commit: Callable[[], Any]) -> Any:
        return self._process.call(Call("dynamodb", operation, commit, _THROTTLED))


def _range(tree: Tree, bound: Bound) -> tuple[str, str, str]:
    """The partition of a key condition, and the lowest and highest sort key that it asks for."""
    _, (_, _, partition), sort = tree
    key = bound.values[partition]["S"]
    match sort:
        case ("begins_with", _, value):
            prefix = bound.values[value]["S"]
            return key, prefix, prefix + "\U0010ffff"
        case ("between", _, low, high):
            return key, bound.values[low]["S"], bound.values[high]["S"]
        case ("<", _, value):  # of ASCII keys, none lies between this and it
            return key, "", _before(bound.values[value]["S"])
    raise AssertionError(f"a key condition that nobody has needed: {sort}")


def _before(text: str) -> str:
    return text[:-1] + chr(ord(text[-1]) - 1) + "\U0010ffff"


def _size(item: Item) -> int:
    return sum(len(name) + len(value.get("S") or value.get("B") or "") for name, value in item.items())


def _label(key: Item) -> str:
    """A key for people, and the same in every run of a seed: a thread's id is random, and left out."""
    sort: str = key["SK"]["S"]
    return sort if not sort.startswith(("THREAD#", "CONTENT#", "LIVE#DELETED")) else sort[: sort.index("#") + 1]
