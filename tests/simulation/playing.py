"""A story, played on devices step by step; what they saw becomes a `History`.

What opens a client, and kills or signs out, is handed in as a `Stage`: the simulation and real sockets differ in
nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.simulation.devices import Device, Record, Stage
from tests.simulation.order import TERMINAL
from tests.simulation.stories import Step, Story

_PATIENCE_S = 60.0


class Play:
    """One story on a stage. `prefix` makes its ids its own; with `quiet`, nothing goes wrong in it."""

    def __init__(
        self, story: Story, stage: Stage, *, prefix: str, tell: Callable[[str], None], quiet: bool = False
    ) -> None:
        self.record = Record(tell)
        self.history = self.record.history
        self.wrong = self.record.wrong
        self.devices = {name: Device(name, user, stage, self.record) for name, user in story.devices.items()}
        self.history.devices = [device.seen for device in self.devices.values()]
        self.history.endings = {f"{prefix}{message}": outcome for message, outcome in story.endings.items()}
        self.story = story
        self._stage = stage
        self._prefix = prefix
        self.threads: dict[str, asyncio.Future[str | None]] = {}
        self.quiet = quiet
        self._tasks: dict[asyncio.Task[None], None] = {}

    async def run(self) -> None:
        """All steps in order; what they began may still go on afterwards."""
        for step in self.story.steps:
            if step.pause_s:
                await asyncio.sleep(step.pause_s)
            await self._until(step)
            self.record.tell(f"* {step.do} {step.device} {step.thread} {step.message}")
            await self._begin(step)

    async def _begin(self, step: Step) -> None:
        device = self.devices[step.device]
        if step.do == "cut":
            self._stage.cut(step.device)
        elif step.do == "kill":
            self._stage.kill(device.seen.user, self._prefix + step.message)
        elif step.do == "sign_out":
            for other in self.devices.values():
                other.signed_in = other.signed_in and other.seen.user != device.seen.user
            self._stage.sign_out(device.seen.user)
        elif step.do == "connect":
            await self._patiently(self._spawn(device.connect()))
        elif step.do == "leave":
            await device.leave()
        elif step.do == "send" and step.thread not in self.threads:
            self.threads[step.thread] = asyncio.get_running_loop().create_future()
            self._spawn(self._make(step, device))
        else:
            self._spawn(self._do(step, device))

    async def _make(self, step: Step, device: Device) -> None:
        """The message that makes a thread."""
        thread = self.threads[step.thread]
        thread_id = await device.send(self._prefix + step.message, step.text, None)
        if not thread.done():
            thread.set_result(thread_id)

    async def _do(self, step: Step, device: Device) -> None:
        message_id = self._prefix + step.message
        if step.do == "stop":
            await device.stop(message_id)
            return
        again = step.do == "send" and any(
            earlier.do == "send" and earlier.message == step.message and earlier is not step and self._makes(earlier)
            for earlier in self.story.steps
        )
        if again:  # the message that makes a thread, from another device, that cannot know the thread yet
            await device.send(message_id, step.text, None)
            return
        thread_id = await asyncio.shield(self.threads[step.thread])
        if thread_id is None:
            return
        if step.do == "send":
            await device.send(message_id, step.text, thread_id)
        elif step.do == "subscribe":
            await device.subscribe(thread_id)
        elif step.do == "unsubscribe":
            await device.unsubscribe(thread_id)
        elif step.do == "read" and self._begun(message_id):
            await device.read(thread_id, message_id, step.text)
        elif step.do == "delete":
            await device.delete(thread_id)

    def _begun(self, message_id: str) -> bool:
        """Whether somebody has seen the message in its thread."""
        seen = (each.frame for device in self.history.devices for each in device.seen)
        return any(f.get("type") == "user_message" and f["payload"]["message_id"] == message_id for f in seen)

    def _makes(self, step: Step) -> bool:
        return next(each for each in self.story.steps if each.do == "send" and each.thread == step.thread) is step

    # Waiting.

    async def _patiently(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait({task}, timeout=_PATIENCE_S)

    async def _until(self, step: Step) -> None:
        """Wait for what the step is to come after; not for ever."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not self._ready(step):
                    self.record.moved.clear()
                    await self.record.moved.wait()
        except TimeoutError:
            self.record.tell(f"nobody waits any longer for {step}")
            if self.quiet:  # without faults nothing takes a minute
                self.wrong.append(f"what {step.do} was to come after did not come")

    def _ready(self, step: Step) -> bool:
        if not (step.seen or step.attempt or step.ended):
            return True
        thread = self.threads.get(step.thread)
        if thread is None or not thread.done():
            return False
        seen = [each.frame for each in self.devices[step.device].seen.seen if each.thread_id == thread.result()]
        events = [frame for frame in seen if "seq" in frame]
        runs = {each.run_id for each in self.history.accepted if each.message_id == self._prefix + step.message}
        mine = [event for event in events if event["run_id"] in runs]
        return (
            len(events) >= step.seen
            and (not step.attempt or any(event["payload"].get("attempt") == step.attempt for event in mine))
            and (not step.ended or any(event["type"] == TERMINAL for event in mine))
        )

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def end(self) -> None:
        """Everyone goes home."""
        for task in list(self._tasks):
            task.cancel()
        for device in self.devices.values():
            await device.leave()
