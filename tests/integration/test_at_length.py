"""What takes long, at the limits of a real deployment: areas F, B and J where they speak of half a minute."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from agentsocket_client import Limits
from tests.integration.client_log import events, first, heard, log_of, text_of
from tests.integration.deployment import is_last
from tests.integration.network_link import line
from tests.integration.scripts import rest, say, script
from tests.support.waiting import TIME_FACTOR

QUICK = Limits(backoff_base_s=0.05, backoff_cap_s=0.4, silence_s=2)


async def test_what_takes_its_time_at_the_limits_of_a_real_deployment(speaking, processes):
    """F6, E5, B6, J7, J8: side by side, each a user of its own."""
    await asyncio.gather(
        killed_in_the_middle(speaking, processes),
        beside_the_killed(speaking),
        silent_for_a_while(speaking),
        a_thousand_tokens(speaking),
        slow_and_dead_connections(speaking),
    )


async def killed_in_the_middle(deployment, processes):
    """F6: within a minute the run goes on as attempt 2, which takes back what the first has said, and ends once."""
    async with deployment.client("fay") as client:
        accepted = await client.send_message(script(say("{n} ", 30, 20)))
        seen = await first(client, "partial_result")
        killed_at = await processes.kill(accepted["run_id"])
        seen += await heard(client, accepted["run_id"], within_s=60 * TIME_FACTOR)
    seen = events(seen)
    assert seen == log_of(deployment, "fay", accepted["thread_id"])
    kinds = [event["type"] for event in seen]
    starts = [event for event in seen if event["type"] == "agent_started"]
    assert [start["payload"]["attempt"] for start in starts] == [1, 2]
    assert starts[1]["timestamp"] / 1000 - killed_at < 60 * TIME_FACTOR
    once = ("user_message", "agent_completed", "final_report")
    assert [kinds.count(kind) for kind in once] == [1, 1, 1]
    assert seen[-1]["payload"]["content"] == text_of(seen) == "".join(f"{n} " for n in range(1, 31))
    assert len(set(processes.of(accepted["run_id"]))) == 2


async def beside_the_killed(deployment):
    """E5: what others ask meanwhile is answered as ever."""
    async with deployment.live("faith") as socket:
        for _ in range(3):
            run = await socket.run("hello")
            starts = [event["payload"]["attempt"] for event in run if event["type"] == "agent_started"]
            assert (starts, run[-1]["type"]) == ([1], "final_report")


async def silent_for_a_while(deployment):
    """B6: a run that has nothing to say still says that it goes on, to who follows it."""
    async with deployment.live("beth") as socket, deployment.live("beth") as other:
        accepted = await socket.ask("user_message", content=script(say("well"), rest(18)), message_id="b6")
        run_id = accepted["payload"]["run_id"]
        run = await socket.events_of(run_id)
        await other.ask("ping")
        await socket.ask("ping")
    beats = [frame for frame in socket.seen if frame["type"] == "heartbeat"]
    assert [(beat["payload"], beat["thread_id"]) for beat in beats] == [({"run_id": run_id}, run[0]["thread_id"])]
    assert "seq" not in beats[0]
    assert run[2]["timestamp"] < beats[0]["timestamp"] < run[-1]["timestamp"]
    spoken = sorted(frame["timestamp"] for frame in (*run, *beats))
    assert max(later - earlier for earlier, later in pairwise(spoken)) < 15_000 * TIME_FACTOR
    assert not [frame for frame in other.seen if frame["type"] == "heartbeat"]


async def a_thousand_tokens(deployment):
    """J7: at 50 a second they cost at most 100 posts and 100 rows, and the first is not kept waiting for others."""
    async with deployment.live("jay") as socket:
        run = await socket.run(script(say("{n} ", 1000, 50)))
    pieces = [event for event in run if event["type"] == "partial_result"]
    logged = [event for event in log_of(deployment, "jay", run[0]["thread_id"]) if event["type"] == "partial_result"]
    posted = [frame for frame in socket.seen if frame["type"] == "partial_result"]
    assert len(posted) <= 100
    assert logged == pieces
    assert len(pieces) <= 100
    assert pieces[0]["payload"]["content"] == "1 "
    assert text_of(run) == run[-1]["payload"]["content"] == "".join(f"{n} " for n in range(1, 1001))


async def slow_and_dead_connections(deployment):
    """J8: two devices take nothing from the gateway, one of them for good; the third hears all of it at once.

    Six answers of a megabyte are more than the buffers in between can hold. What the slow device has not got by then it
    gets when it reads again: the events, or a snapshot where they are too many.
    """
    async with line(deployment.url) as narrow, line(deployment.url) as dead, deployment.client("jack") as quick:
        opening = await quick.send_message("hello")
        thread = opening["thread_id"]
        await heard(quick, opening["run_id"])
        since = quick.position(thread)
        async with (
            deployment.client("jack", url=narrow.url, limits=QUICK) as slow,
            deployment.client("jack", url=dead.url, limits=QUICK) as gone,
        ):
            for each in (slow, gone):
                await each.subscribe(thread, since)
            narrow.stall()
            dead.stall()
            said = []
            for _ in range(6):
                accepted = await quick.send_message(script(say("x" * 10_000, 100, 200)), thread_id=thread)
                run, lags = await timed(quick, accepted["run_id"])
                assert max(lags) < 1 * TIME_FACTOR, "seconds from the log to the client"
                said += run
            narrow.flow()
            left_out = await caught_up(slow, thread, since["seq"], said)
            assert left_out, "the slow device was not slow enough to be left behind"
            following = await quick.send_message("hello", thread_id=thread)
            live = [events(await heard(each, following["run_id"])) for each in (quick, slow)]
    assert said == log_of(deployment, "jack", thread)[since["seq"] : -len(live[0])]
    assert live[0] == live[1]


async def timed(client, run_id):
    """The events of a run to its last, and how many seconds after it was said each has come."""
    run, lags = [], []
    async with asyncio.timeout(30 * TIME_FACTOR):
        async for frame in client.frames():
            if "seq" in frame:
                lags.append(time.time() - frame["timestamp"] / 1000)
                run.append(frame)
                if frame["run_id"] == run_id and is_last(frame):
                    return run, lags
    raise AssertionError("the client ended before the run did")


async def caught_up(client, thread, position, said):
    """Read on to the end of what was said: every event from `position` on, or a snapshot. How many that left out."""
    by_seq = {event["seq"]: event for event in said}
    left_out = 0
    async with asyncio.timeout(30 * TIME_FACTOR):
        async for frame in client.frames():
            if frame["type"] == "thread_snapshot":
                left_out += frame["payload"]["seq"] - position
                position = frame["payload"]["seq"]
            elif "seq" in frame:
                assert (frame["seq"], frame) == (position + 1, by_seq[position + 1])
                position = frame["seq"]
            if position == said[-1]["seq"]:
                return left_out
    raise AssertionError("the client ended before it had caught up")
