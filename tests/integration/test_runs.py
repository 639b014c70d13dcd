"""Area B: the life of a run as a client sees it."""

from __future__ import annotations

from itertools import pairwise
from uuid import uuid4

from tests.integration.deployment import LONG
from tests.support.waiting import TIME_FACTOR

EXPORT = """time,model,input_tokens,output_tokens,cost
2026-01-05T09:00:00Z,large,1000,200,0.60
2026-01-05T09:01:00Z,large,1000,3000,2.00
2026-01-05T09:02:00Z,small,1000,200,0.06
"""
LIFECYCLE = ["user_message", "agent_started"]
MIDDLE = {"agent_thinking", "tool_executing", "tool_completed", "partial_result"}
ENDING = ["agent_completed", "final_report"]


async def test_one_run_yields_every_event_in_the_legal_order(deployment):
    """B1 (but for agent_error and agent_recovery): one terminal, final_report last."""
    async with deployment.live() as socket:
        events = await socket.run(EXPORT)
    kinds = [event["type"] for event in events]
    assert (kinds[:2], kinds[-2:]) == (LIFECYCLE, ENDING)
    assert set(kinds[2:-2]) == MIDDLE
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-2]["payload"]["outcome"] == "success"


async def test_the_start_names_agent_run_and_time(deployment):
    """B2."""
    async with deployment.live() as socket:
        _, started, *_ = await socket.run("hello")
    assert started["payload"]["agent_name"] == "usage_analyst"
    assert started["run_id"]
    assert type(started["timestamp"]) is int


async def test_a_tool_starts_before_it_ends(deployment):
    """B3."""
    async with deployment.live() as socket:
        events = await socket.run(EXPORT)
    tools = [(e["type"], e["payload"]["tool_call_id"]) for e in events if e["type"].startswith("tool_")]
    assert tools == [("tool_executing", "1"), ("tool_completed", "1")]


async def test_time_does_not_run_backwards_and_the_run_is_one(deployment):
    """B4."""
    async with deployment.live() as socket:
        events = await socket.run(EXPORT)
    assert all(earlier["timestamp"] <= later["timestamp"] for earlier, later in pairwise(events))
    assert len({event["run_id"] for event in events}) == 1


async def test_the_joined_pieces_are_the_final_text(deployment):
    """B5."""
    async with deployment.live() as socket:
        events = await socket.run(EXPORT)
    pieces = [event["payload"] for event in events if event["type"] == "partial_result"]
    assert len(pieces) > 1
    assert "".join(piece["content"] for piece in pieces) == events[-1]["payload"]["content"]
    assert [piece["offset"] for piece in pieces] == [
        sum(len(piece["content"]) for piece in pieces[:index]) for index in range(len(pieces))
    ]
    assert "You spent $2.66 on 3 calls." in events[-1]["payload"]["content"]


async def test_the_same_message_twice_is_one_run(deployment):
    async with deployment.live() as socket:
        message = {"content": "hello", "message_id": uuid4().hex}
        first = (await socket.ask("user_message", **message))["payload"]
        second = (await socket.ask("user_message", **message))["payload"]
        events = await socket.events_of(first["run_id"])
        conflict = await socket.ask("user_message", **{**message, "content": "other"})
    assert (first["duplicate"], second["duplicate"]) == (False, True)
    assert second["run_id"] == first["run_id"]
    assert [event["type"] for event in events].count("user_message") == 1
    assert conflict["payload"]["code"] == "idempotency_conflict"


async def test_messages_of_one_thread_are_answered_in_order(deployment):
    async with deployment.live() as socket:
        first = (await socket.ask("user_message", content="one", message_id=uuid4().hex))["payload"]
        second = await socket.ask("user_message", content="two", message_id=uuid4().hex, thread_id=first["thread_id"])
        one = await socket.events_of(first["run_id"])
        two = await socket.events_of(second["payload"]["run_id"])
    assert [event["seq"] for event in one + two] == list(range(1, len(one + two) + 1))


async def test_a_pasted_export_of_many_kilobytes_is_read_whole(deployment):
    """Over 24 KB the question travels by its start; the agent reads all of it, from its own row."""
    rows = "\n".join(f"2026-01-05T09:00:00Z,large,1000,{n},0.01" for n in range(1, 2001))
    async with deployment.live() as socket:
        events = await socket.run(rows)
    assert events[0]["payload"]["truncated"] is True
    assert events[0]["payload"]["bytes"] == len(rows)
    assert "You spent $20.00 on 2,000 calls." in events[-1]["payload"]["content"]


async def test_a_run_is_stopped_and_says_nothing_more(deployment):
    """J9: no model output later than a second after the stop was accepted; every device hears how it ended."""
    async with deployment.live("stan") as socket:
        accepted = await socket.ask("user_message", content=LONG, message_id="long")
        await socket.until(lambda frame: frame["type"] == "partial_result")
        stopped = await socket.ask("stop_agent", message_id="long")
        assert stopped["payload"] == {"run_id": accepted["payload"]["run_id"]}
        events = await socket.events_of(accepted["payload"]["run_id"])
        again = await socket.ask("stop_agent", run_id=accepted["payload"]["run_id"])
    assert (events[-1]["type"], events[-1]["payload"]["outcome"]) == ("agent_completed", "stopped")
    late = stopped["timestamp"] + 1000 * TIME_FACTOR
    assert [event for event in events if event["type"] == "partial_result" and event["timestamp"] > late] == []
    assert again["payload"]["code"] == "not_stoppable"


async def test_a_stop_that_overtakes_its_message_stops_it_too(deployment):
    """J9."""
    async with deployment.live("olga") as socket:
        await socket.ask("stop_agent", message_id="early")
        events = await socket.run(LONG, message_id="early")
    assert events[-1]["payload"]["outcome"] == "stopped"
