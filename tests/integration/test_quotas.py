"""How much a user may ask for, over sockets (security.md, Cost is an attack surface)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from agentsocket.limits import DAY_S, Limits
from tests.integration.deployment import Deployment
from tests.integration.function_code import misconfigured
from tests.integration.scripts import say, script, wait_for
from tests.support.waiting import TIME_FACTOR, until

OPENED = 101
RUNS = 5  # of one user: three under way, two that wait


@pytest.fixture
def sparing(speaking: Deployment) -> Iterator[Deployment]:
    """The deployment with so few runs that a test can use them up, and a short wait for a run whose turn it is not."""
    few = json.dumps({"max_waiting_runs": 2, "runs_per_day": RUNS + 1})
    with misconfigured(speaking, "message", LIMITS=few), misconfigured(speaking, "worker", LIMITS='{"run_retry_s": 1}'):
        yield speaking


async def test_three_runs_of_a_user_go_on_at_once_and_the_next_ones_wait_for_them(sparing, processes, tmp_path):
    """J5; then `busy`; and the day's runs are used up when they are, not before."""
    go = tmp_path / "go"
    question = script(say("begun"), wait_for(go))
    async with sparing.live("queenie") as socket, sparing.live("quincy") as other:
        runs = []
        for number in range(3):
            runs.append(await accepted(socket, question, f"run-{number}"))
            await until(lambda: processes.of(runs[-1]) != [], within_s=20)
        runs += [await accepted(socket, question, f"run-{number}") for number in range(3, RUNS)]
        busy = await socket.ask("user_message", content=question, message_id="one-too-many")
        assert (await other.run(script(say("mine"))))[-1]["type"] == "final_report"
        await asyncio.sleep(2)  # longer than the wait after which they are looked at again
        waiting = [processes.of(run_id) for run_id in runs[3:]]
        go.touch()
        events = [await socket.events_of(run_id) for run_id in runs]
        last = await socket.run(question, message_id="one-too-many")
        over = await socket.ask("user_message", content=question, message_id="tomorrow")
    assert busy["payload"]["code"] == "busy"
    assert busy["payload"]["temporary"] is True
    assert busy["payload"]["retry_after_ms"] > 0
    assert waiting == [[], []]
    assert [run[-1]["type"] for run in [*events, last]] == ["final_report"] * (RUNS + 1)
    assert at_once(events) == 3
    assert (over["payload"]["code"], over["payload"]["temporary"]) == ("rate_limited", True)
    assert 0 < over["payload"]["retry_after_ms"] <= DAY_S * 1000


async def accepted(socket, content, message_id):
    """The run of a message."""
    answer = await socket.ask("user_message", content=content, message_id=message_id)
    assert answer["type"] == "message_accepted", answer
    return answer["payload"]["run_id"]


def at_once(runs):
    """How many runs went on at the same moment, at most."""
    spans = [(next(e["timestamp"] for e in run if e["type"] == "agent_started"), run[-1]["timestamp"]) for run in runs]
    return max(sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans)


async def test_a_user_who_connects_too_often_is_refused_at_the_upgrade(deployment):
    """30 a minute, and as many at once, in a deployment that says nothing; another user is none the worse."""
    allowed = Limits().connects_per_min
    with misconfigured(deployment, "connect", LIMITS="{}"):
        token, began = deployment.token("connie"), time.monotonic()
        tried: list[int] = []
        async with asyncio.timeout(60 * TIME_FACTOR):
            while set(tried) <= {OPENED}:
                tried += await asyncio.gather(*(opening(deployment, token) for _ in range(4)))
        assert allowed <= tried.count(OPENED) <= allowed * (1 + (time.monotonic() - began) / 60) + 1
        assert set(tried) == {OPENED, 429}
        async with deployment.live("conrad") as other:
            assert await other.news() == []


async def opening(deployment, token):
    """The status that answers the upgrade; what is opened is closed at once."""
    try:
        async with deployment.socket(token):
            return OPENED
    except InvalidStatus as refused:
        return refused.response.status_code
