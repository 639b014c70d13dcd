from __future__ import annotations

from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError

from agentsocket.errors import ConditionFailed, TransactionCancelled, Unavailable
from agentsocket.storage.table import ABSENT, PRESENT, Table, delete, put, update

KEY = {"PK": "USER#u", "SK": "A"}


def test_a_row_comes_back_as_it_was_written(table):
    row = {**KEY, "text": "ünï", "number": 2**50, "nested": {"a": [1, {"b": None}]}, "yes": True}
    table.write(put(row))
    assert table.get(KEY) == row
    assert type(table.get(KEY)["number"]) is int


def test_a_conditional_put_shows_the_row_in_its_way(table):
    table.write(put({**KEY, "who": "first"}, when=ABSENT))
    with pytest.raises(ConditionFailed) as refused:
        table.write(put({**KEY, "who": "second"}, when=ABSENT))
    assert refused.value.row == {**KEY, "who": "first"}


def test_an_update_that_demands_a_row_does_not_make_one(table):
    with pytest.raises(ConditionFailed) as refused:
        table.write(update(KEY, sets={"a": 1}, when=PRESENT))
    assert refused.value.row is None
    assert table.get(KEY) is None


def test_an_update_sets_and_removes_paths(table):
    table.write(put({**KEY, "map": {"x": 1, "y": 2}, "old": 1}))
    new = table.write(update(KEY, sets={("map", "z"): 3}, removes=["old", ("map", "x")]), returning="ALL_NEW")
    assert new == {**KEY, "map": {"y": 2, "z": 3}}


def test_reserved_words_are_attributes_like_others(table):
    table.write(update(KEY, sets={"state": "a", "owner": "b", "until": 3}, when=Attr("state").not_exists()))
    assert table.get(KEY) == {**KEY, "state": "a", "owner": "b", "until": 3}


def test_a_transaction_is_all_or_nothing(table):
    other = {"PK": "USER#u", "SK": "B"}
    table.write(put({**KEY, "who": "first"}))
    with pytest.raises(TransactionCancelled):
        table.transact(put({**other, "who": "x"}), put({**KEY, "who": "second"}, when=ABSENT))
    assert table.get(other) is None
    table.transact(put({**other, "who": "x"}), delete(KEY))
    assert table.get_many(other, KEY) == [{**other, "who": "x"}, None]


def test_expired_rows_are_not_seen(table, clock):
    """data-model.md, Rows: TTL deletion lags by days, so every read filters."""
    table.write(put({**KEY, "expires_at": int(clock()) + 10}))
    assert table.get(KEY)
    clock.advance(10)
    assert table.get(KEY) is None
    assert table.get_many(KEY) == [None]
    assert table.query("USER#u", Key("SK").between("A", "Z")).items == []
    assert len(table.query("USER#u", Key("SK").between("A", "Z"), expired=True).items) == 1


def test_a_query_tells_whether_more_lies_beyond(table):
    for name in "ABC":
        table.write(put({"PK": "USER#u", "SK": name}))
    page = table.query("USER#u", Key("SK").between("A", "Z"), limit=2, newest_first=True)
    assert [item["SK"] for item in page.items] == ["C", "B"]
    assert page.more is True
    assert table.query("USER#u", Key("SK").between("A", "Z")).more is False


def test_a_table_that_does_not_answer_is_unavailable(clock):
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    client = boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9", config=config)
    with pytest.raises(Unavailable) as refused:
        Table(client, "agentsocket", now=clock).get(KEY)
    assert refused.value.message == "the database is busy or does not respond; retry"
    assert refused.value.cause == "DynamoDB does not respond: EndpointConnectionError"


def test_a_look_at_a_table_that_refuses_says_so_in_the_log(dynamodb, clock):
    with pytest.raises(Unavailable) as refused:
        Table(dynamodb, "no-such-table", now=clock).look(KEY)
    assert str(refused.value) == (
        "the database cannot be read; retry (DynamoDB rejected the read: ResourceNotFoundException)"
    )


def test_without_credentials_the_database_cannot_be_reached(clock):
    def get_item(**_parameters):
        raise NoCredentialsError

    class Client:
        pass

    client: Any = Client()
    client.get_item = get_item
    with pytest.raises(Unavailable) as refused:
        Table(client, "agentsocket", now=clock).get(KEY)
    assert refused.value.cause == "DynamoDB: NoCredentialsError"


def test_a_fault_of_ours_is_not_called_passing(dynamodb, clock):
    with pytest.raises(ClientError):
        Table(dynamodb, "no-such-table", now=clock).get(KEY)
