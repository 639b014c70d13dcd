"""What a client of the library hears of runs, and what the server's log has of them: the two that must agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from boto3.dynamodb.types import TypeDeserializer

from agentsocket.storage import keys
from agentsocket.storage.rows import LogEvent
from agentsocket_client import Client
from tests.integration.deployment import Deployment, Frame, is_last
from tests.support.waiting import TIME_FACTOR

PATIENCE_S = 30 * TIME_FACTOR


async def heard(client: Client, *run_ids: str, within_s: float = PATIENCE_S) -> list[Frame]:
    """Every frame the library hands out, in its order, until each of these runs has ended."""
    frames: list[Frame] = []
    waiting = set(run_ids)
    async with asyncio.timeout(within_s):
        async for frame in client.frames():
            frames.append(frame)
            if "seq" in frame and is_last(frame):
                waiting.discard(frame["run_id"])
            if not waiting:
                return frames
    raise AssertionError("the client ended before its runs did")


async def first(client: Client, kind: str, within_s: float = PATIENCE_S) -> list[Frame]:
    """Every frame up to the first of that type."""
    frames: list[Frame] = []
    async with asyncio.timeout(within_s):
        async for frame in client.frames():
            frames.append(frame)
            if frame["type"] == kind:
                return frames
    raise AssertionError("the client ended before that came")


def events(frames: Sequence[Frame], thread_id: str | None = None) -> list[Frame]:
    """Those that stand in a log, of one thread or of all."""
    return [frame for frame in frames if "seq" in frame and thread_id in (None, frame["thread_id"])]


def log_of(deployment: Deployment, name: str, thread_id: str) -> list[Frame]:
    """A thread's log as it stands in the table, from its beginning, whatever a replay would give."""
    partition = keys.log(deployment.user_id(name), thread_id)
    return [json.loads(LogEvent.of(row).frame) for row in rows_of(deployment, partition, keys.EVENT)]


def rows_of(deployment: Deployment, partition: str, prefix: str = "") -> list[dict[str, Any]]:
    """The rows of a partition whose sort key begins so, or all of them."""
    pages = deployment.aws("dynamodb").get_paginator("query")
    beginning = {":prefix": {"S": prefix}} if prefix else {}
    found = pages.paginate(
        TableName=deployment.facts["outputs"]["TableName"],
        KeyConditionExpression="PK = :partition" + (" AND begins_with(SK, :prefix)" if prefix else ""),
        ExpressionAttributeValues={":partition": {"S": partition}, **beginning},
        ConsistentRead=True,
    )
    plain = TypeDeserializer().deserialize
    return [{name: plain(value) for name, value in row.items()} for page in found for row in page["Items"]]


def text_of(frames: Sequence[Frame]) -> str:
    """The answer as a client shows it: the pieces of the last attempt, each where the one before it ended."""
    pieces = [frame["payload"] for frame in frames if frame["type"] == "partial_result"]
    text = ""
    for piece in pieces:
        if piece["message_id"] == pieces[-1]["message_id"]:
            assert piece["offset"] == len(text)
            text += piece["content"]
    return text
