"""One table's calls: operations as values, rows that have expired, and what DynamoDB refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError
from moto import mock_aws

from lambdakit.aws_calls import ServiceUnavailable
from lambdakit.dynamodb import (
    ABSENT,
    PRESENT,
    ConditionFailed,
    Table,
    TransactionCancelled,
    TransactionConflict,
    delete,
    deserialize,
    put,
    serialize,
    update,
)
from tests.support.fakes import Clock


class Showing(Table):
    """A table that asks for the row in the way of a write."""

    shows_rows = True


@pytest.fixture
def client() -> Iterator[Any]:
    """A DynamoDB client on an empty table with one key."""
    with mock_aws():
        client = boto3.client("dynamodb")
        client.create_table(
            TableName="rows",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
        )
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(client, clock):
    return Table(client, "rows", now=clock)


def test_numbers_come_back_whole():
    row = {"PK": "a", "number": 2**50, "nested": {"list": [1, None, True]}, "text": "ünï"}
    assert deserialize(serialize(row)) == row
    assert type(deserialize(serialize(row))["number"]) is int


def test_an_update_sets_defaults_adds_discards_and_removes(table):
    table.write(put({"PK": "a", "old": 1, "map": {"x": 1}, "count": 1, "names": {"u", "v"}, "kept": "here"}))
    changed = update(
        {"PK": "a"},
        sets={"new": 2, ("map", "y"): 2},
        defaults={"kept": "other", "made": "default"},
        adds={"count": 4},
        discards={"names": {"u"}},
        removes=["old", ("map", "x")],
        when=PRESENT,
    )
    expected = {"PK": "a", "new": 2, "map": {"y": 2}, "count": 5, "names": {"v"}, "kept": "here", "made": "default"}
    assert table.write(changed, returning="ALL_NEW") == expected


def test_an_update_may_only_remove(table):
    table.write(put({"PK": "a", "old": 1}))
    assert table.write(update({"PK": "a"}, sets={}, removes=["old"]), returning="ALL_NEW") == {"PK": "a"}


def test_reserved_words_are_attributes_like_others(table):
    table.write(update({"PK": "a"}, sets={"state": 1, "owner": 2}, when=Attr("state").not_exists()))
    assert table.get_all([{"PK": "a"}]) == [{"PK": "a", "state": 1, "owner": 2}]


def test_the_row_in_the_way_is_shown_only_where_the_table_asks_for_it(client, table, clock):
    table.write(put({"PK": "a", "who": "first"}))
    again = put({"PK": "a", "who": "second"}, when=ABSENT)
    for asking, row in ((table, None), (Showing(client, "rows", now=clock), {"PK": "a", "who": "first"})):
        with pytest.raises(ConditionFailed) as refused:
            asking.write(again)
        assert refused.value.row == row
        assert "first" not in str(refused.value)


def test_a_write_without_a_condition_asks_for_no_row():
    """DynamoDB takes the question beside a condition only."""
    asked: list[dict[str, Any]] = []

    class Client:
        update_item = delete_item = None

        def put_item(self, **parameters):
            asked.append(parameters)
            return {}

    client: Any = Client()
    table = Showing(client, "rows", now=Clock())
    table.write(put({"PK": "a"}))
    table.write(put({"PK": "a"}, when=ABSENT))
    assert ["ReturnValuesOnConditionCheckFailure" in parameters for parameters in asked] == [False, True]


def test_a_transaction_is_all_or_nothing_and_tells_no_rows(client, table, clock):
    table.write(put({"PK": "a", "who": "first"}))
    for asking in (table, Showing(client, "rows", now=clock)):
        with pytest.raises(TransactionCancelled) as cancelled:
            asking.transact(put({"PK": "b"}), put({"PK": "a", "who": "second"}, when=ABSENT))
        assert "first" not in str(cancelled.value)
        assert cancelled.value.__suppress_context__, "what DynamoDB said holds the rows"
    table.transact(put({"PK": "b"}), delete({"PK": "a"}))
    assert table.get_all([{"PK": "a"}, {"PK": "b"}]) == [{"PK": "b"}]


def test_expired_rows_are_not_seen(table, clock):
    table.write(put({"PK": "a", "expires_at": int(clock()) + 10}))
    assert len(table.get_all([{"PK": "a"}])) == 1
    clock.advance(10)
    assert table.get_all([{"PK": "a"}]) == []


def test_many_rows_are_removed(table):
    keys = [{"PK": str(number)} for number in range(60)]
    for key in keys:
        table.write(put(key))
    table.remove(keys[:51])
    left = [row for start in range(0, 60, 20) for row in table.get_all(keys[start : start + 20])]
    assert sorted(row["PK"] for row in left) == [str(number) for number in range(51, 60)]


def test_no_call_removes_more_rows_than_dynamodb_takes():
    sizes: list[int] = []

    class Client:
        def batch_write_item(self, **parameters):
            sizes.append(len(parameters["RequestItems"]["rows"]))
            return {}

    client: Any = Client()
    Table(client, "rows", now=Clock()).remove([{"PK": str(number)} for number in range(60)])
    assert sizes == [25, 25, 10]


class Half:
    """A DynamoDB that leaves some of a batch undone."""

    def batch_get_item(self, **_parameters):
        return {"Responses": {}, "UnprocessedKeys": {"rows": {}}}

    def batch_write_item(self, **_parameters):
        return {"UnprocessedItems": {"rows": []}}


@pytest.mark.parametrize(
    ("ask", "leftover"),
    [
        (lambda table: table.get_all([{"PK": "a"}]), "UnprocessedKeys"),
        (lambda table: table.remove([{"PK": "a"}]), "UnprocessedItems"),
    ],
)
def test_what_is_left_undone_is_no_success(ask, leftover):
    half: Any = Half()
    with pytest.raises(ServiceUnavailable, match=f"^DynamoDB is busy: {leftover}$"):
        ask(Table(half, "rows", now=Clock()))


def test_a_write_that_meets_a_transaction_is_a_conflict():
    def put_item(**_parameters):
        raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "PutItem")

    class Client:
        update_item = delete_item = None

    client: Any = Client()
    client.put_item = put_item
    with pytest.raises(TransactionConflict, match="TransactionConflictException"):
        Table(client, "rows", now=Clock()).write(put({"PK": "a"}))


def test_a_mistake_of_ours_stays_what_it_is(client, clock):
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        Table(client, "no-such-table", now=clock).get_all([{"PK": "a"}])


def test_whoever_extends_the_table_gives_every_refusal_another_type(client, clock):
    """Each package has errors of its own, and all methods rest on `call`."""

    class Ours(Exception):
        pass

    class OurTable(Table):
        def call(self, method, /, *, leftover="", **parameters):
            try:
                return super().call(method, leftover=leftover, **parameters)
            except (ConditionFailed, TransactionCancelled, ServiceUnavailable) as error:
                raise Ours from error

    table = OurTable(client, "rows", now=clock)
    half: Any = Half()
    table.write(put({"PK": "a"}))
    for refused in (
        lambda: table.write(put({"PK": "a"}, when=ABSENT)),
        lambda: table.transact(put({"PK": "a"}, when=ABSENT)),
        lambda: OurTable(half, "rows", now=clock).get_all([{"PK": "a"}]),
        lambda: OurTable(half, "rows", now=clock).remove([{"PK": "a"}]),
    ):
        with pytest.raises(Ours):
            refused()
