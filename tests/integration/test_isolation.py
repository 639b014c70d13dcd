"""Area E: nobody sees anybody else's events, threads, runs or messages."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from tests.integration.deployment import is_last


async def quiet(socket):
    """What comes before the answer to one more command: everything that was on its way."""
    before = len(socket.seen)
    await socket.ask("ping")
    return [frame for frame in socket.seen[before:] if "seq" in frame]


async def test_two_users_with_two_runs_each_see_their_own_only(deployment):
    """E1."""
    async with deployment.live("ada") as ada, deployment.live("bob") as bob:
        adas, bobs = await asyncio.gather(ada.run("ada's question"), bob.run("bob's question"))
        more_adas, more_bobs = await asyncio.gather(ada.run("again, ada"), bob.run("again, bob"))
        seen = {name: [f for f in socket.seen if "seq" in f] for name, socket in (("ada", ada), ("bob", bob))}
    assert len(seen["ada"]) == len(adas + more_adas)
    assert len(seen["bob"]) == len(bobs + more_bobs)
    questions = {
        name: [f["payload"]["content"] for f in of if f["type"] == "user_message"] for name, of in seen.items()
    }
    assert questions == {"ada": ["ada's question", "again, ada"], "bob": ["bob's question", "again, bob"]}


async def test_ten_users_at_once_all_finish_and_nothing_leaks(deployment):
    """E4."""

    async def one(number):
        async with deployment.live(f"user-{number}") as socket:
            events = await socket.run(f"question {number}")
            return events, [frame for frame in socket.seen if "seq" in frame]

    results = await asyncio.gather(*(one(number) for number in range(10)))
    for number, (events, seen) in enumerate(results):
        assert events == seen
        assert is_last(events[-1])
        assert events[0]["payload"]["content"] == f"question {number}"
    runs = [events[0]["run_id"] for events, _ in results]
    assert len(set(runs)) == 10


async def test_another_user_s_ids_are_not_found_and_nothing_changes(deployment):
    """E6: every command that names something."""
    async with deployment.live("ada") as ada, deployment.live("eve") as eve:
        message_id = uuid4().hex
        events = await ada.run("mine", message_id=message_id)
        thread = events[0]["thread_id"]
        since = {"epoch": "1", "seq": 0}
        stolen = [
            await eve.ask("subscribe", thread_id=thread),
            await eve.ask("subscribe", thread_id=thread, since=since),
            await eve.ask("unsubscribe", thread_id=thread),
            await eve.ask("user_message", content="x", message_id=uuid4().hex, thread_id=thread),
        ]
        absent = [
            await eve.ask("subscribe", thread_id="nowhere"),
            await eve.ask("user_message", content="x", message_id=uuid4().hex, thread_id="nowhere"),
        ]
        same_id = await eve.ask("user_message", content="mine too", message_id=message_id)
        await ada.ask("subscribe", thread_id=thread, since={"epoch": same_id["payload"]["epoch"], "seq": 0})
        after = await ada.run("still mine", thread_id=thread)
    assert {frame["payload"]["code"] for frame in stolen + absent} == {"not_found"}
    assert {str(frame["payload"]) for frame in stolen} == {str(frame["payload"]) for frame in absent}
    assert same_id["payload"]["run_id"] != events[0]["run_id"]
    assert after[0]["seq"] == events[-1]["seq"] + 1
    assert not [frame for frame in eve.seen if frame.get("thread_id") == thread]


async def test_another_user_s_thread_cannot_be_resumed_by_hello(deployment):
    """E6."""
    async with deployment.live("ada") as ada:
        events = await ada.run("mine")
    point = {"thread_id": events[0]["thread_id"], "epoch": "1", "seq": 0}
    async with deployment.socket(deployment.token("eve")) as eve:
        await eve.ask("hello", protocol=1, resume=[point])
        error = await eve.receive()
        assert (error["type"], error["payload"]["code"]) == ("error", "not_found")
        assert await quiet(eve) == []
