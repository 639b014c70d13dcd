"""Area K over sockets: what is remembered of a user, by their devices and by agents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from agentsocket_client import Client
from tests.integration.client_log import events, first, heard, text_of
from tests.integration.conftest import STRICT_LIMITS
from tests.integration.function_code import misconfigured
from tests.integration.scripts import recall, remember, say, script, wait_for
from tests.support.redis_server import PASSWORD, RedisProcess, running
from tests.support.waiting import TIME_FACTOR


def contexts(frames):
    return [frame["payload"] for frame in frames if frame["type"] == "context"]


def error(frame):
    return (frame["type"], frame["payload"].get("code"), frame["payload"].get("field"))


async def test_of_two_devices_that_change_the_same_version_one_wins_and_the_other_is_told(deployment):
    """K4, E6: and each hears what the other has changed; nobody else does."""
    async with deployment.live("kim") as one, deployment.live("kim") as two, deployment.live("eva") as eve:
        nothing = (await one.ask("get_context", name="user.profile"))["payload"]
        assert nothing == {"name": "user.profile", "value": {}, "version": 0}
        patch = {"name": "user.profile", "version": 0}
        answers = await asyncio.gather(
            one.ask("update_context", patch={"from": "one", "kept": [1]}, **patch),
            two.ask("update_context", patch={"from": "two", "kept": [1]}, **patch),
        )
        won, lost = sorted(answers, key=lambda frame: frame["type"])
        found = (await one.ask("get_context", name="user.profile"))["payload"]
        news = [contexts(await socket.news()) for socket in (one, two)]
        stale = await one.ask("update_context", name="user.profile", patch={}, version=found["version"] - 1)
        cleared = (await two.ask("update_context", name="user.profile", patch={"from": None, "more": {"a": 1}}))[
            "payload"
        ]
        refused = [
            await one.ask("update_context", name="user.big", patch={"text": "x" * 25_000}),
            await one.ask("update_context", name="thread.notes", patch={}),
            await one.ask("get_context", name="notes"),
            await one.ask("update_context", name="user.profile", patch=[]),
        ]
        strangers = (await eve.ask("get_context", name="user.profile"))["payload"]
        theirs = await eve.ask("update_context", name="user.profile", patch={"mine": True}, version=0)
        kept = (await two.ask("get_context", name="user.profile"))["payload"]
        heard_by_one, heard_by_eve = contexts(await one.news()), await eve.news()
    winner = answers.index(won)
    assert (won["type"], error(lost)) == ("context", ("error", "version_conflict", "payload.version"))
    assert found == won["payload"]
    assert found["value"] == {"from": ("one", "two")[winner], "kept": [1]}
    assert news[1 - winner] == [found]
    assert news[winner] == []
    assert error(stale) == error(lost)
    assert cleared["value"] == {"kept": [1], "more": {"a": 1}}
    assert cleared["version"] > found["version"]
    assert heard_by_one[-1] == kept == cleared
    assert [error(frame)[1:] for frame in refused] == [
        ("too_large", "payload.patch"),
        ("bad_request", "payload.name"),
        ("bad_request", "payload.name"),
        ("bad_request", "payload.patch"),
    ]
    assert (strangers["version"], theirs["payload"]["value"]) == (0, {"mine": True})
    assert heard_by_eve == []


async def test_what_an_agent_remembers_of_the_user_all_devices_hear_and_may_change(speaking):
    """K, H1's rule for contexts: `user.` is for clients to see; what is remembered of a thread is not."""
    async with speaking.client("kate") as client, speaking.live("kate") as other:
        question = script(remember("user.notes", city="Oslo", a=1), remember("thread.notes", secret=1), say("noted"))
        accepted = await client.send_message(question)
        frames = await heard(client, accepted["run_id"])
        read = await client.get_context("user.notes")
        # News go beside the stream, which waits for nobody: they may come after its end.
        heard_here = contexts(frames) or contexts(await first(client, "context"))
        await other.until(lambda frame: frame["type"] == "context")
        heard_there = contexts(await other.news())
        await other.ask("update_context", name="user.notes", patch={"city": "Rome", "a": None})
        told = (await first(client, "context"))[-1]["payload"]
        question = script(recall("user.notes"), recall("thread.notes"))
        elsewhere = await heard(client, (await client.send_message(question))["run_id"])
    assert heard_here == heard_there == [read]
    assert (read["name"], read["value"]) == ("user.notes", {"a": 1, "city": "Oslo"})
    assert (told["value"], told["version"] > read["version"]) == ({"city": "Rome"}, True)
    assert text_of(elsewhere) == '{"city": "Rome"}{}'


@pytest.fixture
def redis() -> Iterator[RedisProcess]:
    """One of its own: it is killed."""
    with running() as process:
        yield process


async def test_redis_and_the_worker_die_in_the_middle_of_a_run_and_nothing_is_forgotten(
    speaking, processes, redis, tmp_path
):
    """K3, D4: what is remembered is a checkpoint; Redis comes back empty, and nothing stale is read."""
    go = tmp_path / "go"
    tiered = {
        "CONTEXT_STORE": "tiered",
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}",
        "REDIS_PASSWORD": PASSWORD,
    }
    worker = misconfigured(speaking, "worker", LIMITS=json.dumps(STRICT_LIMITS), **tiered)
    with worker, misconfigured(speaking, "message", **tiered):
        async with speaking.client("kenneth") as client:
            both = (remember("thread.notes", done=[1, 2]), remember("user.notes", at=2))
            question = script(recall("thread.notes"), recall("user.notes"), *both, say(" so far "), wait_for(go))
            accepted = await client.send_message(question)
            seen = await first(client, "context")
            assert (await client.health())["status"] == "ok"
            redis.kill()
            await processes.kill(accepted["run_id"])
            go.touch()
            seen += await heard(client, accepted["run_id"])
            assert (await client.health())["dependencies"]["contexts"]["status"] == "degraded"
            changed = await client.update_context("user.notes", {"at": 3})
            redis.start()
            await well(client)
            found = await client.get_context("user.notes")
    starts = [event["payload"]["attempt"] for event in events(seen) if event["type"] == "agent_started"]
    assert starts == [1, 2]
    assert text_of(events(seen)) == '{"done": [1, 2]}{"at": 2} so far '
    assert found == changed
    assert found["value"] == {"at": 3}


async def well(client: Client) -> None:
    """Ask until the service is well again."""
    async with asyncio.timeout(30 * TIME_FACTOR):
        while (await client.health())["status"] != "ok":  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.2)
