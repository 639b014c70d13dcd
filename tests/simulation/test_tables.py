"""The judge of the table can fail: what may be left of a deleted thread, and what may not."""

from __future__ import annotations

from typing import Any

import pytest

from lambdakit.dynamodb import serialize
from tests.simulation.dynamodb import Database, DynamoDB
from tests.simulation.faults import Faults
from tests.simulation.tables import Rows
from tests.simulation.worlds import Alone

_HEAD: dict[str, Any] = {"SK": "META", "expires_at": 9}


def _left(*rows: dict[str, Any], late_calls: bool) -> list[str]:
    database = Database()
    thread = {"PK": "USER#ada", "SK": "THREAD#t", "thread_id": "t", "epoch": "e", "deleted_at": 1}
    for row in (thread, *({"PK": "USER#ada#THREAD#t", **row} for row in rows)):
        database.put(serialize(row))
    return list(Rows(database).violations({"t"}, {"t"}, late_calls=late_calls))


def _event(seq: int) -> dict[str, Any]:
    return {
        "SK": f"EVENT#{seq:012}",
        "expires_at": 9,
        "owner": "w",
        "attempt": 1,
        "run_id": "r",
        "event_id": "i",
        "frame": f'{{"seq": {seq}}}',
    }


def test_of_a_deleted_thread_a_head_may_be_left_that_expires():
    assert _left(_HEAD, late_calls=False) == []
    assert _left({"SK": "META"}, late_calls=False) == ["META of a deleted thread is left"]


def test_where_calls_are_late_a_few_events_may_be_left_and_nothing_else():
    assert _left(_HEAD, _event(7), late_calls=True) == []
    assert _left(_HEAD, _event(7), late_calls=False) == ["EVENT#000000000007 of a deleted thread is left"]
    events = [_event(seq) for seq in range(7, 13)]
    assert _left(_HEAD, *events, late_calls=True) == ["EVENT#000000000012 of a deleted thread is left"]
    content = {"SK": "CONTENT#m#000001", "expires_at": 9, "content": "hello"}
    assert _left(_HEAD, content, late_calls=True) == ["CONTENT#m#000001 of a deleted thread is left"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "not be there yet"),
        ({"ConsistentRead": False}, "not be there yet"),
        ({"ConsistentRead": True, "FilterExpression": "a = :p"}, "does not know"),
        ({"ConsistentRead": True, "ProjectionExpression": "a"}, "does not know"),
    ],
)
def test_a_query_that_the_fake_cannot_answer_as_dynamodb_would_is_an_error(parameters: dict[str, Any], said: str):
    with Alone(Faults()) as alone:
        client = DynamoDB(alone.database, alone.process)
        with pytest.raises(AssertionError, match=said):
            client.query(TableName="t", KeyConditionExpression="PK = :p", ExpressionAttributeValues={}, **parameters)


def test_a_read_that_is_not_consistent_is_an_error():
    key: Any = {"PK": {"S": "p"}, "SK": {"S": "s"}}
    with Alone(Faults()) as alone:
        client = DynamoDB(alone.database, alone.process)
        with pytest.raises(AssertionError, match="not be there yet"):
            client.get_item(TableName="t", Key=key, ConsistentRead=False)
        for wanted in ({"Keys": [key]}, {"Keys": [key], "ConsistentRead": False}):
            with pytest.raises(AssertionError, match="not be there yet"):
                client.batch_get_item(RequestItems={"t": wanted})
