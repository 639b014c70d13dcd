"""On a warm stack: from `user_message` to its acceptance and to `agent_started`; connecting; logging out.

The floor is a `ping` on the same socket: the gateway and one function, with nothing behind them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from uuid import uuid4

from tests.integration.deployment import Deployment, Socket

ROUNDS = 30
CONNECTS = 10
LOGOUTS = 10


def measure() -> None:
    """Start a stack of its own, measure, stop it."""
    deployment = Deployment()
    try:
        asyncio.run(_measure(deployment))
    finally:
        deployment.stop()


async def _measure(deployment: Deployment) -> None:
    welcomes = [await _welcome(deployment) for _ in range(CONNECTS)]
    async with deployment.live("bench") as socket:
        await socket.run("warm up")
        pings = [await _ping(socket) for _ in range(ROUNDS)]
        turns = [await _turn(socket) for _ in range(ROUNDS)]
    logouts = [await _logout(deployment) for _ in range(LOGOUTS)]
    accepted, started = ([turn[index] for turn in turns] for index in (0, 1))
    floor = statistics.median(pings)
    _show("ping (floor)", pings, floor, "")
    _show("user_message to message_accepted", accepted, floor, "")
    _show("user_message to agent_started", started, floor, "aim: p50 at most 250 ms")
    _show("connect to welcome, cold", welcomes[:1], floor, "aim: under 2000 ms")
    _show("connect to welcome, warm", welcomes[1:], floor, "aim: under 2000 ms")
    _show("logout to the socket's end", logouts, floor, "aim: at most 5000 ms")


async def _welcome(deployment: Deployment) -> float:
    token = deployment.token("bench")
    started = time.perf_counter()
    async with deployment.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        return time.perf_counter() - started


async def _logout(deployment: Deployment) -> float:
    token = deployment.token("leaving")
    async with deployment.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        started = time.perf_counter()
        await asyncio.to_thread(deployment.logout, token)
        await socket.until(lambda frame: frame["type"] == "disconnect")
        await socket.bare.wait_closed()
        return time.perf_counter() - started


async def _ping(socket: Socket) -> float:
    started = time.perf_counter()
    await socket.ask("ping")
    return time.perf_counter() - started


async def _turn(socket: Socket) -> tuple[float, float]:
    started = time.perf_counter()
    accepted = await socket.ask("user_message", content="hello", message_id=uuid4().hex)
    accepted_after = time.perf_counter() - started
    run_id = accepted["payload"]["run_id"]
    await socket.until(lambda frame: frame["type"] == "agent_started" and frame["run_id"] == run_id)
    started_after = time.perf_counter() - started
    await socket.events_of(run_id)
    return accepted_after, started_after


def _show(what: str, seconds: Sequence[float], floor: float, aim: str) -> None:
    median, worst = statistics.median(seconds), sorted(seconds)[int(len(seconds) * 0.95)]
    print(
        f"  {what:<34} p50 {median * 1000:6.0f} ms   p95 {worst * 1000:6.0f} ms   {median / floor:5.1f} x floor   {aim}"
    )
