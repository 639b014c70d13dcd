"""The named stories of the simulation over real sockets: real processes, real SIGKILLs, and the same judge.

Each is played by people of its own, all at the same time, at limits so short that a killed worker's run goes on after
seconds. What a story is, and what may be seen of it, stands in `tests/simulation`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from agentsocket import ids
from agentsocket.storage import keys
from agentsocket_client import Client, Limits, ResumePoint
from tests.integration.client_log import PATIENCE_S, events, first, heard, log_of, rows_of, text_of
from tests.integration.network_link import Line, line
from tests.integration.scripts import say, script, scripted, think, wait_for
from tests.simulation import history, staging, stories
from tests.simulation.playing import Play
from tests.simulation.tables import Rows
from tests.support.waiting import TIME_FACTOR

QUICK = Limits(backoff_base_s=0.05, backoff_cap_s=1, silence_s=4)
SETTLE_S = 40 * TIME_FACTOR
CALM = 3  # looks in a row at which there was nothing left to come


async def test_the_named_stories_keep_every_promise(strict, tmp_path):
    """D2, D5, D6, D9, E8, F6, F7, H5, J9: see `tests/simulation/stories.py`; and a redrive (F7)."""
    with scripted(strict, tmp_path) as processes:
        *played, _ = await asyncio.gather(
            *(played_out(each, strict, processes) for each in stories.NAMED.values()),
            poisoned(strict, processes, tmp_path / "go"),
        )
    assert dict(zip(stories.NAMED, played, strict=True)) == {name: [] for name in stories.NAMED}


async def poisoned(deployment, processes, go):
    """F7: three attempts, an ending that says so, a copy for the operator, and the next message is answered.

    The copy, sent again, is a new run.
    """
    async with deployment.client("gil") as client:
        accepted = await client.send_message(script(say("half an answer"), wait_for(go), think(1)))
        thread, run_id = accepted["thread_id"], accepted["run_id"]
        following = await client.send_message("hello", thread_id=thread)
        for attempt in (1, 2, 3):
            await processes.kill(run_id, attempt)
        seen = events(await heard(client, run_id, following["run_id"]))
        assert len(processes.of(run_id)) == 3
        go.touch()
        await asyncio.to_thread(redrive, deployment, run_id)
        again = events(await first(client, "final_report"))
    assert seen + again == log_of(deployment, "gil", thread)
    poisoned = [event for event in seen if event["run_id"] == run_id]
    assert [event["type"] for event in poisoned[-2:]] == ["agent_error", "agent_completed"]
    assert poisoned[-2]["payload"]["error_type"] == "attempts_exhausted"
    assert poisoned[-1]["payload"]["outcome"] == "error"
    answered = [event for event in seen if event["run_id"] == following["run_id"]]
    assert answered[0]["seq"] == poisoned[-1]["seq"] + 1
    assert answered[-1]["type"] == "final_report"
    assert {event["run_id"] for event in again}.isdisjoint({run_id, following["run_id"]})
    partition = keys.user(deployment.user_id("gil"))
    [row] = rows_of(deployment, partition, f"RUN#{again[0]['run_id']}")
    assert row["retry_of"] == run_id
    assert text_of(again) == "half an answer"


def redrive(deployment, run_id):
    """What StartMessageMoveTask does, which the local engine does not have: the copy of a run, as it is, to its source.

    Another run's copy stays hidden for half a minute and is found again.
    """
    sqs, outputs = deployment.aws("sqs"), deployment.facts["outputs"]
    dead_letters = outputs["DeadLetterQueueUrl"]
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        received = sqs.receive_message(QueueUrl=dead_letters, MessageSystemAttributeNames=["All"], WaitTimeSeconds=2)
        for copy in received.get("Messages", []):
            if json.loads(copy["Body"])["run_id"] == run_id:
                kept = {name: copy["Attributes"][name] for name in ("MessageGroupId", "MessageDeduplicationId")}
                sqs.send_message(QueueUrl=outputs["QueueUrl"], MessageBody=copy["Body"], **kept)
                sqs.delete_message(QueueUrl=dead_letters, ReceiptHandle=copy["ReceiptHandle"])
                return
    raise AssertionError("no copy of the run")


async def played_out(story, deployment, processes):
    """Every broken promise of one story, as sentences."""
    async with AsyncExitStack() as lines:
        stage = Stage(story.name, deployment, processes)
        for device in story.devices:
            stage.lines[device] = await lines.enter_async_context(line(deployment.url))
        play = Play(story, stage, prefix=f"{story.name}-", tell=stage.said.append)
        play.quiet = True
        try:
            async with asyncio.timeout(SETTLE_S * 2):
                await play.run()
            found = await settled(play, stage)
            found += [*play.wrong, *judged(play, stage)]
        finally:
            failed = await stage.end()
            await play.end()
    return found + failed


async def settled(play, stage):
    """Wait until nothing more is to come. What was still to come when patience ended, as sentences."""
    calm, deadline = 0, time.monotonic() + SETTLE_S
    while calm < CALM:
        left = await asyncio.to_thread(unsettled, play, stage)
        calm = 0 if left else calm + 1
        if time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.3)
    return []


def unsettled(play, stage):
    asking = [device.seen.name for device in play.devices.values() if device.open and device.pending]
    if asking:
        return [f"these devices wait for answers: {asking}"]
    rows = Rows(stage)
    open_runs = [run.run_id for run in rows.runs() if not run.terminal]
    if open_runs:
        return [f"these runs have not ended: {open_runs}"]
    play.history.logs = rows.logs()
    behind = ((device, history.unread(device.seen, play.history)) for device in play.devices.values() if device.open)
    left = [f"{device.seen.name} {what}" for device, found in behind for what in found]
    return left + list(left_in(play, stage))


def left_in(play, stage):
    """What the table has and should not, or has not and should."""
    return Rows(stage).violations(play.history.deleted, play.history.doomed, late_calls=False)


def judged(play, stage):
    """What the devices saw, and what is left of it."""
    play.history.redriven = Rows(stage).redriven()
    play.history.stop_delay_ms = int(1000 * TIME_FACTOR)
    for device in play.devices.values():
        device.seen.present = device.open
    done = staging.violations(play.story, play.history, prefix=f"{play.story.name}-", connections=stage.connections)
    return [*history.violations(play.history), *left_in(play, stage), *done]


class Stage:
    """One story's world: its people are nobody else's. Its `rows` are what the table has of them."""

    def __init__(self, name, deployment, processes):
        self.lines: dict[str, Line] = {}
        self.said: list[str] = []
        self._name, self._deployment, self._processes = name, deployment, processes
        self._kills: dict[str, int] = {}
        self._tasks: list[asyncio.Task[object]] = []

    def client(self, device: str, user: str, resume: Sequence[ResumePoint]) -> Client:
        url = self.lines[device].url
        client: Client = self._deployment.client(self._person(user), url=url, resume=resume, limits=QUICK)
        return client

    def cut(self, device: str) -> None:
        self._begin(f"cut {device}", self.lines[device].cut())

    def connections(self, device: str) -> int:
        """How many the device has had."""
        return self.lines[device].opened

    def kill(self, user: str, message_id: str) -> None:
        run_id = ids.run_id(self._deployment.user_id(self._person(user)), message_id)
        self._kills[run_id] = self._kills.get(run_id, 0) + 1
        self._begin(f"kill {message_id}", self._processes.kill(run_id, self._kills[run_id]))

    def sign_out(self, user: str) -> None:
        self._deployment.logout(self._deployment.token(self._person(user)))

    def now(self) -> float:
        return time.time()

    def rows(self):
        """The items of the people of this story (tests may scan; the system never does)."""
        found = self._deployment.aws("dynamodb").get_paginator("scan")
        user = f"USER#{self._deployment.user_id(self._person('ada'))}"
        pages = found.paginate(
            TableName=self._deployment.facts["outputs"]["TableName"],
            FilterExpression="begins_with(PK, :user)",
            ExpressionAttributeValues={":user": {"S": user}},
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]

    def _person(self, user: str) -> str:
        return f"{self._name}-{user}"

    def _begin(self, what, work) -> None:
        self._tasks.append(asyncio.create_task(work, name=what))

    async def end(self) -> list[str]:
        """What it was told to do and has not done by now, as sentences."""
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        named = zip((task.get_name() for task in self._tasks), ends, strict=True)
        return [f"the stage failed: {what}: {end!r}" for what, end in named if isinstance(end, BaseException)]
