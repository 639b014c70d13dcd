"""The evaluator of DynamoDB's expressions, against moto: for each of a table, both say the same."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, ConditionBase
from moto import mock_aws

from agentsocket.errors import ConditionFailed
from agentsocket.storage.table import ABSENT, PRESENT, Operation, Table, delete, put, update
from tests.simulation.expressions import Unsupported, condition
from tests.simulation.faults import Faults
from tests.simulation.worlds import Alone

_KEY = {"PK": "p", "SK": "s"}
_INNER = {"t1": {"cursor": 3, "generation": "g1"}}
_ROW = {**_KEY, "count": 5, "name": "ada", "state": "running", "inner": _INNER, "tags": {"a", "b"}}
_CONDITIONS = [
    None,
    ABSENT,
    PRESENT,
    Attr("count").eq(5),
    Attr("count").eq("5"),
    Attr("count").ne(6),
    Attr("missing").ne(6),
    Attr("count").lt(10),
    Attr("count").gt(10),
    Attr("count").lte(5),
    Attr("count").gte(6),
    Attr("missing").lt(10),
    Attr("name").begins_with("a"),
    Attr("count").between(5, 7),
    Attr("state").is_in(["accepted", "running"]),
    Attr("state").is_in(["completed"]),
    Attr("inner.t1.generation").eq("g1"),
    Attr("inner.t2.generation").eq("g1"),
    Attr("inner.t1.generation").exists(),
    ~Attr("count").eq(5),
    ABSENT | Attr("count").lte(5),
    PRESENT & Attr("missing").not_exists() & Attr("count").eq(5),
    (Attr("count").eq(1) | Attr("name").eq("ada")) & PRESENT,
    Attr("tags").contains("a"),
    Attr("tags").contains("z"),
    Attr("missing").contains("a"),
    Attr("tags").not_exists() | Attr("tags").size().lt(3),
    Attr("tags").not_exists() | Attr("tags").size().lt(2),
]
_WRITES: list[Any] = [
    lambda when: put({**_KEY, "count": 6}, when=when),
    lambda when: delete(_KEY, when=when),
    lambda when: update(_KEY, sets={"count": 7, "name": "bob"}, when=when),
    lambda when: update(_KEY, sets={("inner", "t1"): {"cursor": 9}}, when=when),
    lambda when: update(_KEY, sets={("inner", "t1", "cursor"): 9}, removes=["name"], when=when),
    lambda when: update(_KEY, sets={}, removes=[("inner", "t1")], when=when),
    lambda when: update(_KEY, sets={"state": "x"}, defaults={"count": 1, "since": 2}, when=when),
    lambda when: update(_KEY, sets={}, adds={"count": 3, "new": 4}, when=when),
    lambda when: update(_KEY, sets={}, adds={"tags": {"b", "c"}, "fresh": {"x"}}, when=when),
    lambda when: update(_KEY, sets={}, adds={"count": 1}, discards={"tags": {"a", "z"}, "missing": {"x"}}, when=when),
    lambda when: update(_KEY, sets={}, discards={"tags": {"a", "b"}}, when=when),
]


@pytest.fixture(scope="module")
def moto_table():
    with mock_aws():
        client = boto3.client("dynamodb", "eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK")],
        )
        yield Table(client, "t", now=lambda: 0.0)


def _outcome(table: Table, operation: Operation, *, there: bool) -> Any:
    """What a write does to a row: the row before it and after it, or the row in its way."""
    table.write(delete(_KEY))
    if there:
        table.write(put(_ROW))
    try:
        returned = table.write(operation, returning="ALL_OLD")
    except ConditionFailed as failed:
        return "refused", failed.row, table.get(_KEY)
    return "written", returned, table.get(_KEY)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("when", _CONDITIONS)
def test_a_condition_means_what_it_means_in_moto(moto_table, when: ConditionBase | None, there: bool):
    operation = put({**_KEY, "count": 6}, when=when)
    with Alone(Faults()) as alone:
        assert alone.run(lambda: _outcome(alone.table, operation, there=there)) == _outcome(
            moto_table, operation, there=there
        )


@pytest.mark.parametrize("number", range(len(_WRITES)))
def test_a_write_does_what_it_does_in_moto(moto_table, number: int):
    operation = _WRITES[number](PRESENT)
    with Alone(Faults()) as alone:
        mine = alone.run(lambda: _outcome(alone.table, operation, there=True))
    assert mine == _outcome(moto_table, operation, there=True)


def test_what_nobody_has_needed_is_an_error():
    with pytest.raises(Unsupported):
        condition("attribute_type(#n0, :v0)")
    with pytest.raises(Unsupported):
        condition("#n0 + :v0 = :v1")
