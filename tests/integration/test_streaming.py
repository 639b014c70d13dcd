"""Area J: how an answer streams, whatever its size (J7, J8: `test_at_length.py`; J2, J3: `test_auth_sockets.py`)."""

from __future__ import annotations

import asyncio
import hashlib

from tests.integration.client_log import PATIENCE_S, events, first, heard, log_of, text_of
from tests.integration.deployment import Frame, is_last
from tests.integration.scripts import say, script, wait_for

MANY_BYTES = 1024 * 1024


async def test_what_is_said_is_heard_before_the_next_is_said(speaking, tmp_path):
    """J1: a stream, not an answer in pieces: each piece is on the client's side while the agent still waits."""
    steps = [step for n in (1, 2, 3) for step in (say(f"{n} "), wait_for(tmp_path / str(n)))]
    async with speaking.client("jill") as client:
        accepted = await client.send_message(script(*steps))
        seen: list[Frame] = []
        for n in (1, 2, 3):
            seen += await first(client, "partial_result")
            assert seen[-1]["payload"]["content"] == f"{n} "
            (tmp_path / str(n)).touch()
        seen += await heard(client, accepted["run_id"])
    assert events(seen) == log_of(speaking, "jill", accepted["thread_id"])
    assert seen[-1]["payload"]["content"] == "1 2 3 "


async def test_three_streams_at_once_all_complete(speaking, tmp_path):
    """J5, E2: three threads of one user on one connection, none of which ends before all three have begun."""
    go = tmp_path / "go"
    async with speaking.client("joan") as client:
        questions = [script(say(f"{name}{{n}} ", 5), wait_for(go), say(f"{name}{{n}} ", 50, 50)) for name in "abc"]
        accepted = await asyncio.gather(*(client.send_message(question) for question in questions))
        seen: list[Frame] = []
        while {event["thread_id"] for event in events(seen) if event["type"] == "partial_result"} != {
            each["thread_id"] for each in accepted
        }:
            seen += await first(client, "partial_result")
        assert not any(is_last(event) for event in events(seen))
        go.touch()
        seen += await heard(client, *(each["run_id"] for each in accepted))
    for each, name in zip(accepted, "abc", strict=True):
        own = events(seen, each["thread_id"])
        assert own == log_of(speaking, "joan", each["thread_id"])
        assert {event["run_id"] for event in own} == {each["run_id"]}
        assert text_of(own) == "".join(f"{name}{n} " for n in (*range(1, 6), *range(1, 51)))
    middle = [event["thread_id"] for event in events(seen)]
    assert middle != sorted(middle, key=middle.index), "they took turns"


async def test_an_answer_of_a_megabyte_arrives_whole_and_is_read_again(speaking):
    """J6: in order, piece by piece, with its length and digest at the end; later by get_content."""
    async with speaking.client("jess") as client:
        accepted = await client.send_message(script(say("{n} " + "é" * 500, 1040)))
        seen = await heard(client, accepted["run_id"])
        text = "".join(f"{n} " + "é" * 500 for n in range(1, 1041))
        size = len(text.encode())
        assert MANY_BYTES - 8192 < size <= MANY_BYTES
        assert text_of(seen) == text
        report = seen[-1]["payload"]
        assert (report["truncated"], report["bytes"]) == (True, size)
        assert report["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        assert await client.content(accepted["thread_id"], report["message_id"]) == text


async def test_a_question_of_a_megabyte_is_sent_in_parts_and_read_whole(speaking):
    """J6: the agent sums up every row of it, and another device can read it again."""
    rows = [f"2026-01-05T09:00:00Z,large,1000,{n},0.01" for n in range(1, 25001)]
    question = "\n".join(rows)[: MANY_BYTES - 100].rpartition("\n")[0]
    calls = question.count("\n") + 1
    assert len(question) > MANY_BYTES - 200
    async with speaking.client("jude") as client, speaking.client("jude") as other:
        accepted = await client.send_message(question)
        seen = await heard(client, accepted["run_id"])
        asked = seen[0]["payload"]
        assert (asked["bytes"], asked["sha256"]) == (len(question), hashlib.sha256(question.encode()).hexdigest())
        assert f"You spent ${calls / 100:.2f} on {calls:,} calls." in seen[-1]["payload"]["content"]
        assert await other.content(accepted["thread_id"], accepted["message_id"]) == question


async def test_who_asks_too_much_is_told_when_to_ask_again_and_loses_nothing(speaking):
    """J4: subscribing costs most; the same command passes at the time that the refusal names, and no message is lost.

    Three connections ask at once, so that also a slow machine empties the bucket: it belongs to the user.
    """
    async with speaking.live("jane") as one, speaking.live("jane") as two, speaking.live("jane") as three:
        thread = (await one.run("hello"))[0]["thread_id"]
        refused = asyncio.Event()
        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(*(insist(socket, thread, refused) for socket in (one, two, three)))
        for socket in (one, two, three):
            assert (await socket.ask("unsubscribe", thread_id=thread))["type"] == "unsubscribed", "which costs nothing"
        async with speaking.client("jane") as client:
            accepted = [await client.send_message(f"question {n}", thread_id=thread) for n in range(3)]
            seen = events(await heard(client, *(each["run_id"] for each in accepted)))
        error = next(answer["payload"] for answer in answers if answer["type"] == "error")
        assert (error["code"], error["temporary"]) == ("rate_limited", True)
        assert (await one.ask("ping"))["type"] == "pong"
        await asyncio.sleep(error["retry_after_ms"] / 1000)
        assert (await one.ask("subscribe", thread_id=thread))["type"] == "subscribed"
    questions = [event["payload"]["content"] for event in seen if event["type"] == "user_message"]
    assert questions == ["hello", "question 0", "question 1", "question 2"]


async def insist(socket, thread, refused):
    """Subscribe again and again until one of the three is refused; the last answer."""
    while True:
        answer = await socket.ask("subscribe", thread_id=thread)
        if answer["type"] == "error":
            refused.set()
        if refused.is_set():
            return answer
