"""Area H, and E where it speaks of threads: a user's conversations, over several connections at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

from agentsocket.storage import keys
from tests.integration.client_log import events, first, heard, log_of, rows_of, text_of
from tests.integration.deployment import Frame, is_last
from tests.integration.scripts import recall, remember, say, script, wait_for
from tests.support.waiting import TIME_FACTOR, until

ABSENT = ("error", "not_found", "payload.thread_id")


def refusal(frame):
    return (frame["type"], frame["payload"].get("code"), frame["payload"].get("field"))


def of_type(frames, kind):
    return [frame for frame in frames if frame["type"] == kind]


async def test_a_thread_is_created_once_and_all_devices_of_its_user_hear_of_it(deployment):
    """H1, H3: four at once are four; the same command again is the same thread, and no news."""
    async with deployment.live("hal") as socket, deployment.live("hal") as other, deployment.live("hilda") as stranger:
        for number in range(4):
            payload = {"title": f"thread {number}", "metadata": {"number": number}}
            await socket.send(json.dumps({"type": "create_thread", "payload": payload, "id": f"create-{number}"}))
        replies: dict[str, Any] = {}
        while len(replies) < 4:
            frame = await socket.until(lambda frame: frame["type"] == "thread_created")
            replies[frame["reply_to"]] = frame["payload"]
        again = await socket.ask("create_thread", command_id="create-1", title="thread 1", metadata={"number": 1})
        other_one = await socket.ask("create_thread", command_id="create-1", title="another title")
        own, others, strangers = await socket.news(), await other.news(), await stranger.news()
    made = [replies[f"create-{number}"] for number in range(4)]
    assert len({thread["thread_id"] for thread in made}) == 4
    assert [(thread["title"], thread["metadata"]) for thread in made] == [
        (f"thread {number}", {"number": number}) for number in range(4)
    ]
    assert again["payload"] == made[1]
    assert other_one["payload"]["code"] == "idempotency_conflict"
    told = of_type(others, "thread_created")
    assert sorted(frame["payload"]["metadata"]["number"] for frame in told) == [0, 1, 2, 3]
    assert sorted(frame["payload"]["thread_id"] for frame in told) == sorted(thread["thread_id"] for thread in made)
    assert own == strangers == []


async def test_two_users_threads_never_meet(deployment):
    """H7, E6: the same command id makes each a thread; every command about another's is answered as if it were none."""
    async with deployment.live("holly") as holly, deployment.live("evelyn") as eve:
        thread = (await holly.ask("create_thread", command_id="the-same", title="mine"))["payload"]["thread_id"]
        hers = (await eve.ask("create_thread", command_id="the-same", title="hers"))["payload"]["thread_id"]
        run = await holly.run("mine", thread_id=thread, message_id="m1")

        def every_command(thread_id):
            since = {"epoch": "1", "seq": 0}
            return [
                ("rename_thread", {"thread_id": thread_id, "title": "stolen"}),
                ("get_thread_history", {"thread_id": thread_id}),
                ("get_thread_history", {"thread_id": thread_id, "cursor": "2"}),
                ("get_content", {"thread_id": thread_id, "message_id": "m1"}),
                ("switch_thread", {"thread_id": thread_id}),
                ("switch_thread", {"thread_id": thread_id, "since": since}),
                ("delete_thread", {"thread_id": thread_id}),
                ("user_message", {"thread_id": thread_id, "content": "x", "message_id": uuid4().hex}),
            ]

        stolen = [await eve.ask(kind, **payload) for kind, payload in every_command(thread)]
        absent = [await eve.ask(kind, **payload) for kind, payload in every_command("nowhere")]
        listed = (await eve.ask("list_threads"))["payload"]["threads"]
        mark = (await holly.ask("list_threads", limit=1))["payload"]["threads"][0]
        behind = (await eve.ask("list_threads", cursor=f"{mark['activity']}.{thread}"))["payload"]["threads"]
        kept = (await holly.ask("list_threads"))["payload"]["threads"]
        history = (await holly.ask("get_thread_history", thread_id=thread))["payload"]["messages"]
        news = await eve.news()
    assert thread != hers
    assert [refusal(frame) for frame in stolen] == [ABSENT] * len(stolen)
    assert [frame["payload"] for frame in stolen] == [frame["payload"] for frame in absent]
    assert [each["thread_id"] for each in listed] == [hers]
    assert {each["thread_id"] for each in behind} <= {hers}
    assert [(each["thread_id"], each["title"]) for each in kept] == [(thread, "mine")]
    assert [message["content"] for message in history] == [run[-1]["payload"]["content"], "mine"]
    assert news == []


async def test_metadata_survives_every_operation_and_the_newest_activity_stands_first(deployment):
    """H4."""
    metadata = {"customer": {"id": 7}, "tags": ["a", "ü"], "none": None}
    async with deployment.live("humphrey") as socket, deployment.live("humphrey") as other:
        made = (await socket.ask("create_thread", title="old", metadata=metadata))["payload"]
        thread = made["thread_id"]
        newer = (await socket.ask("create_thread", title="newer"))["payload"]["thread_id"]

        async def listed():
            threads = (await socket.ask("list_threads"))["payload"]["threads"]
            return [each["thread_id"] for each in threads], next(t for t in threads if t["thread_id"] == thread)

        order, entry = await listed()
        assert (order, entry) == ([newer, thread], made)
        renamed = await socket.ask("rename_thread", thread_id=thread, title="new")
        assert renamed["payload"] == {"thread_id": thread, "title": "new"}
        await socket.run("hello", thread_id=thread)
        await socket.ask("switch_thread", thread_id=thread)
        await socket.until(lambda frame: frame["type"] == "thread_snapshot")
        order, entry = await listed()
        told = of_type(await other.news(), "thread_renamed")
        page = (await socket.ask("list_threads", limit=1))["payload"]
        rest = (await socket.ask("list_threads", limit=1, cursor=page["cursor"]))["payload"]
    assert order == [thread, newer]
    assert entry == made | {"title": "new", "activity": entry["activity"]}
    assert entry["activity"] > made["activity"]
    assert [frame["payload"] for frame in told] == [{"thread_id": thread, "title": "new"}]
    assert [each["thread_id"] for each in page["threads"] + rest["threads"]] == [thread, newer]


async def test_a_switch_loads_the_right_history_and_each_thread_keeps_its_context(speaking):
    """H2: what an agent remembers of a thread stays there; what it remembers of the user is known in all of them."""
    async with speaking.client("hector") as client, speaking.client("hector") as other:
        threads = {}
        for name in ("first", "second"):
            threads[name] = (await client.create_thread(name))["thread_id"]
            question = script(remember("thread.notes", topic=name), remember("user.notes", **{name: True}), say(name))
            accepted = await client.send_message(question, thread_id=threads[name])
            await heard(client, accepted["run_id"])
        answers = {}
        for name in ("first", "second"):
            await other.switch_thread(threads[name])
            snapshot = (await first(other, "thread_snapshot"))[-1]
            assert snapshot["thread_id"] == threads[name]
            asked, answer = snapshot["payload"]["messages"]
            assert json.loads(asked["content"])[-1][1] == answer["content"] == name
            accepted = await other.send_message(
                script(recall("thread.notes"), recall("user.notes")), thread_id=threads[name]
            )
            frames = await heard(other, accepted["run_id"])
            assert {event["thread_id"] for event in events(frames)} == {threads[name]}
            answers[name] = text_of(frames)
            history = [message["content"] async for message in other.history(threads[name], page=3)]
            assert (history[0], history[2]) == (answers[name], name)
            assert len(history) == 4
    both = '{"first": true, "second": true}'
    assert answers == {name: f'{{"topic": "{name}"}}{both}' for name in ("first", "second")}


async def test_a_switch_in_the_middle_of_a_run_mixes_nothing(speaking, tmp_path):
    """E3: of the thread that was left nothing more comes; it is all there on the way back."""
    go = tmp_path / "go"
    async with speaking.client("harriet") as client:
        left = await client.send_message(script(say("before "), wait_for(go), say("after {n} ", 5)))
        before = events(await first(client, "partial_result"))
        position = client.position(left["thread_id"])
        other = (await client.create_thread("other"))["thread_id"]
        await client.switch_thread(other)
        go.touch()
        accepted = await client.send_message(script(say("elsewhere")), thread_id=other)
        there = await heard(client, accepted["run_id"])
        await until(lambda: is_last(log_of(speaking, "harriet", left["thread_id"])[-1]), within_s=20)
        accepted = await client.send_message(script(say("still")), thread_id=other)
        there += await heard(client, accepted["run_id"])
        await client.switch_thread(left["thread_id"], since=position)
        back = events(await heard(client, left["run_id"]))
    assert {event["thread_id"] for event in events(there)} == {other}
    assert events(there) == log_of(speaking, "harriet", other)
    assert before + back == log_of(speaking, "harriet", left["thread_id"])
    assert text_of(before + back) == "before after 1 after 2 after 3 after 4 after 5 "


async def test_a_thread_deleted_in_the_middle_of_a_run_is_gone_and_stays_gone(speaking, tmp_path):
    """H5: history, log and what was remembered, with a message queued behind the run; every device is told once."""
    go = tmp_path / "go"
    async with speaking.live("heidi") as socket, speaking.live("heidi") as other:
        question = script(remember("thread.notes", secret="hush"), say("said"), wait_for(go), say("late"))
        accepted = (await socket.ask("user_message", content=question, message_id="h5"))["payload"]
        thread = accepted["thread_id"]
        await socket.until(lambda frame: frame["type"] == "partial_result")
        queued = (await socket.ask("user_message", content=script(say("queued")), message_id="h5b", thread_id=thread))[
            "payload"
        ]
        partition = keys.log(speaking.user_id("heidi"), thread)
        assert rows_of(speaking, partition, keys.CONTEXT)
        deleted = await socket.ask("delete_thread", thread_id=thread)
        told = await other.news()
        assert deleted["payload"] == {"thread_id": thread}
        later = [
            await socket.ask(kind, thread_id=thread, **payload)
            for kind, payload in (
                ("get_thread_history", {}),
                ("switch_thread", {}),
                ("rename_thread", {"title": "back"}),
                ("user_message", {"content": "hello?", "message_id": "h5c"}),
                ("delete_thread", {}),
            )
        ]

        def left():
            return [row["SK"] for row in rows_of(speaking, partition) if row["SK"] != keys.META]

        def ended():
            rows = rows_of(speaking, keys.user(speaking.user_id("heidi")), keys.RUN)
            return {row["run_id"]: row["state"] for row in rows}

        await until(lambda: not left(), within_s=60)
        go.touch()
        runs = {accepted["run_id"]: "stopped", queued["run_id"]: "stopped"}
        await until(lambda: ended() == runs, within_s=60)
        listed = (await socket.ask("list_threads"))["payload"]["threads"]
        news = await other.news()
    assert left() == []
    assert "hush" not in str(rows_of(speaking, keys.user(speaking.user_id("heidi"))))
    assert [refusal(frame) for frame in later] == [ABSENT] * len(later)
    assert [each["payload"] for each in of_type(news, "thread_deleted")] == [{"thread_id": thread}]
    assert of_type(told, "thread_deleted") == of_type(news, "thread_deleted")
    assert listed == []


async def test_pages_of_a_history_neither_overlap_nor_shift(speaking):
    """H6: a hundred messages in pages of 25, and new ones come in between."""
    async with speaking.live("hope") as socket:
        thread = (await socket.ask("create_thread", title="long"))["payload"]["thread_id"]
        fill(speaking, "hope", thread, 100)
        pages: list[list[str]] = []
        said: list[Frame] = []
        cursor: dict[str, str] = {}
        while True:
            page = (await socket.ask("get_thread_history", thread_id=thread, limit=25, **cursor))["payload"]
            pages.append([message["content"] for message in page["messages"]])
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}
            if len(pages) < 3:
                said += await socket.run(script(say("new")), thread_id=thread)
        newest = (await socket.ask("get_thread_history", thread_id=thread, limit=4))["payload"]["messages"]
    assert [len(page) for page in pages if page] == [25, 25, 25, 25]
    assert [content for page in pages for content in page] == [f"message {number}" for number in range(100, 0, -1)]
    assert said[0]["seq"] == 101
    assert [message["role"] for message in newest] == ["assistant", "user"] * 2


def fill(deployment, name, thread_id, size):
    """A transcript of so many messages, not as they would have come."""
    partition = keys.log(deployment.user_id(name), thread_id)
    dynamodb, table = deployment.aws("dynamodb"), deployment.facts["outputs"]["TableName"]
    rows = [
        {
            "PK": {"S": partition},
            "SK": {"S": keys.message_sort(seq)},
            "message_id": {"S": f"m{seq}"},
            "role": {"S": "user"},
            "content": {"S": f"message {seq}"},
            "truncated": {"BOOL": False},
            "created_at": {"N": str(seq)},
        }
        for seq in range(1, size + 1)
    ]
    for start in range(0, size, 25):
        put = [{"PutRequest": {"Item": row}} for row in rows[start : start + 25]]
        assert not dynamodb.batch_write_item(RequestItems={table: put})["UnprocessedItems"]
    key = {name: {"S": text} for name, text in keys.meta(partition).items()}
    top = {":top": {"N": str(size)}}
    dynamodb.update_item(TableName=table, Key=key, UpdateExpression="SET top = :top", ExpressionAttributeValues=top)


async def test_many_commands_about_threads_in_a_row(deployment):
    """H8: 5 creates, 5 switches, history, 5 deletes."""
    async with asyncio.timeout(30 * TIME_FACTOR), deployment.client("harvey") as client:
        made = [(await client.create_thread(f"thread {number}"))["thread_id"] for number in range(5)]
        for thread in made:
            await client.switch_thread(thread)
        accepted = await client.send_message("hello", thread_id=made[2])
        frames = await heard(client, accepted["run_id"])
        history = [message async for message in client.history(made[2])]
        before = [thread["thread_id"] async for thread in client.threads(page=2)]
        for thread in made:
            await client.delete_thread(thread)
        after = [thread async for thread in client.threads()]
    shown = [frame["thread_id"] for frame in frames if frame["type"] == "thread_snapshot"]
    assert shown == made
    assert [message["content"] for message in history] == [frames[-1]["payload"]["content"], "hello"]
    assert before[0] == made[2]
    assert sorted(before) == sorted(made)
    assert after == []
