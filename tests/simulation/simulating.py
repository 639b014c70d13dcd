"""One seed: its story, its faults, its world; played until everything has come to rest, then judged.

When the story is over the faults stop, and within `SETTLE_S` all must converge: every run has ended, the queue is
empty, every device has read what it follows. The bound is what one bad moment may cost, and as much again: a record
whose worker died before it hid it returns after 15 minutes; a frozen process sleeps a minute, a call hangs for 45 s; a
client that hears nothing asks after 45 s, at most every 30 s.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from agentsocket import ids, principal
from agentsocket_client import Client
from agentsocket_client.frames import ResumePoint
from agentsocket_client.transport import Transport
from tests.simulation import efforts, epilogues, faults, generating, history, staging
from tests.simulation.deployment import ISSUER, Deployment, Making
from tests.simulation.devices import SignedOut
from tests.simulation.faults import Faults
from tests.simulation.loop import Deadlock, VirtualLoop
from tests.simulation.playing import Play
from tests.simulation.processes import task_factory
from tests.simulation.stories import Story
from tests.simulation.tables import Rows

SETTLE_S = 1800.0
_STOP_DELAY_MS = 1000
_QUIET_SHARE = 0.06  # of the seeds: nothing goes wrong there, so that nobody may need to ask twice
_ULID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")


@dataclass(slots=True)
class Outcome:
    """What came of a seed: broken promises, the trace, and how much virtual time passed."""

    seed: int
    violations: list[str]
    trace: list[str] = field(repr=False)
    elapsed_s: float = 0.0

    @property
    def digest(self) -> str:
        """The same for the same seed, in every process and on every machine."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def simulate(seed: int) -> Outcome:
    """Play the story of a seed."""
    random = Random(f"story:{seed}")
    if random.random() < _QUIET_SHARE:
        return play(seed, generating.following(random), Faults())
    drawn = faults.drawn(random)
    story = generating.story(random)
    return play(seed, story, drawn, generating.making(random, story))


def play(seed: int, story: Story, given: Faults, made: Making | None = None) -> Outcome:
    """Play a story under faults."""
    loop = VirtualLoop()
    loop.set_task_factory(cast("Any", task_factory))
    stage = _Stage(seed, loop, given, made or Making())
    tell = partial(stage.deployment.tracks.note, "")
    acting = Play(story, stage, prefix="", tell=tell, quiet=given.none)
    acting.record.now_ms = lambda: int(stage.deployment.now() * 1000)
    stage.play = acting
    try:
        found = loop.run_until_complete(_story(acting, stage, given))
    except Deadlock as error:
        found = [str(error)]
    finally:
        loop.finish()
    trace = [
        f"faults: {given.rates}",
        f"story: {story}",
        *(_ULID.sub("…", line) for line in stage.deployment.tracks.lines),
    ]
    return Outcome(seed, found, trace, loop.time())


async def _story(acting: Play, stage: _Stage, given: Faults) -> list[str]:
    deployment = stage.deployment
    deployment.start()
    await acting.run()
    given.on = False
    deployment.tracks.note("", "the faults are over")
    found = await _settle(acting, stage)
    if deployment.queues.dead_letters.messages:
        deployment.tracks.note("", "an operator redrives the dead letters")
        deployment.queues.dead_letters.redrive(deployment.queues.runs, stage.now())
        deployment.queues.arrived()
        found += await _settle(acting, stage)
    found += _judge(acting, deployment, given)
    found += await epilogues.revoked(deployment)
    found += await epilogues.expired(acting, deployment)
    found += [*acting.wrong, *deployment.surprises]
    found += staging.violations(acting.story, acting.history, prefix="", connections=stage.connections)
    await acting.end()
    return found


async def _settle(acting: Play, stage: _Stage) -> list[str]:
    deadline = stage.now() + SETTLE_S
    pause, calm = 0.5, 0
    while True:
        for device in acting.devices.values():
            if device.pending and not device.open:  # whoever still wants an answer comes back for it
                await device.connect()
        left = _unsettled(acting, stage.deployment)
        calm = 0 if left else calm + 1
        if calm >= 3:  # also what comes a little later must not change anything
            return []
        if stage.now() > deadline:
            return [f"after {SETTLE_S:.0f} s: {what}" for what in left]
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, 20.0) if left else 1.0


def _unsettled(acting: Play, deployment: Deployment) -> list[str]:
    """What is still to happen."""
    if deployment.busy:
        names = sorted(deployment.tracks.alive)
        return [f"{len(deployment.queues.runs.messages)} records wait, these processes live: {names}"]
    asking = [device.seen.name for device in acting.devices.values() if device.open and device.pending]
    if asking:
        return [f"these devices wait for answers: {asking}"]
    rows = Rows(deployment.database)
    open_runs = [run.run_id for run in rows.runs() if not run.terminal]
    if open_runs:
        return [f"these runs have not ended: {open_runs}"]
    past = acting.history
    past.logs = rows.logs()
    return [
        f"{device.seen.name} {what}"
        for device in acting.devices.values()
        if device.open
        for what in history.unread(device.seen, past)
    ]


def _judge(acting: Play, deployment: Deployment, given: Faults) -> list[str]:
    rows = Rows(deployment.database)
    past = acting.history
    past.logs = rows.logs()
    known = {each.run_id for each in past.accepted}
    users = {principal.user_id(ISSUER, device.user): device.user for device in past.devices}
    for each in rows.accepted(rows.epochs()):
        if each.run_id not in known:
            past.accepted.append(dataclasses.replace(each, user=users[each.user]))
    past.redriven = rows.redriven()
    for device in acting.devices.values():
        device.seen.present = device.open
    past.stop_delay_ms = _STOP_DELAY_MS if given.none else None
    late_calls = bool(given.rates.keys() & {"hung", "killed", "frozen"})
    left = rows.violations(past.deleted, past.doomed, late_calls=late_calls)
    overdue = [] if "frozen" in given.rates else deployment.sockets.overdue
    return [*history.violations(past), *left, *overdue, *efforts.violations(acting, deployment, given)]


class _Stage:
    """The simulated world as a story needs it."""

    def __init__(self, seed: int, loop: VirtualLoop, given: Faults, made: Making) -> None:
        self.deployment = Deployment(seed, loop, given, made)
        self.play: Play | None = None
        self._seed = seed
        self._loop = loop
        self._clients = 0

    def now(self) -> float:
        return self._loop.time()

    def client(self, device: str, user: str, resume: Sequence[ResumePoint]) -> Client:
        self._clients += 1
        random = Random(f"{self._seed}:client-{self._clients}")

        async def token() -> str:
            await asyncio.sleep(0.02)
            assert self.play is not None
            if not self.play.devices[device].signed_in:
                raise SignedOut
            return self.deployment.token(user)

        async def connect(url: str, token: str, **_: Any) -> Transport:
            return await self.deployment.sockets.open(token, device)

        return Client(
            "wss://simulated.example/stage",
            token,
            resume=resume,
            name=device,
            connect=connect,
            now=self._loop.time,
            sleep=asyncio.sleep,
            random=random.random,
        )

    def cut(self, device: str) -> None:
        for connection_id, socket in self.deployment.sockets.sockets.items():
            if connection_id.startswith(f"{device}-") and socket.client_open:
                self.deployment.sockets.cut(socket)

    def connections(self, device: str) -> int:
        """How many the device has had."""
        return sum(connection_id.startswith(f"{device}-") for connection_id in self.deployment.sockets.sockets)

    def kill(self, user: str, message_id: str) -> None:
        run_id = ids.run_id(principal.user_id(ISSUER, user), message_id)
        for process in self.deployment.working.get(run_id, []):
            if process.name in self.deployment.tracks.alive:
                process.kill()

    def sign_out(self, user: str) -> None:
        self.deployment.sign_out(user)
