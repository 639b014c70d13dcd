"""SQS in memory: the FIFO queue of runs, its dead letters, and the control queue; and a client shaped like boto3's.

Time is an argument. Who polls, and what happens to a record that was handed out, is `deployment.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.processes import Call, Process, refusal

RUNS, DEAD_LETTERS, CONTROL = "runs", "dead-letters", "control"

VISIBILITY_S = 900.0
CONTROL_VISIBILITY_S = 30.0
MAX_RECEIVES = 1000
_DEDUPLICATED_S = 300.0


@dataclass(slots=True)
class Message:
    """A message in a queue; `receipt` is the handle of its newest receipt, 0 before the first."""

    number: int
    body: str
    group: str = ""
    visible_at: float = 0.0
    receives: int = 0
    receipt: int = 0

    @property
    def handle(self) -> str:
        return f"{self.number}.{self.receipt}"


@dataclass(slots=True)
class Queue:
    """A queue. With `fifo`, a group's messages go one at a time and in order, and are deduplicated for 5 minutes."""

    visibility_s: float
    fifo: bool = True
    max_receives: int = 10**9
    messages: dict[int, Message] = field(default_factory=dict)
    dead: list[Message] = field(default_factory=list)
    _known: dict[tuple[str, str], float] = field(default_factory=dict)
    _sent: int = 0

    def send(self, body: str, now: float, *, group: str = "", deduplication: str = "", delay_s: float = 0.0) -> bool:
        """Returns False for what was sent before."""
        if self.fifo:
            until = self._known.get((group, deduplication), -1.0)
            if now < until:
                return False
            self._known[group, deduplication] = now + _DEDUPLICATED_S
        self._sent += 1
        self.messages[self._sent] = Message(self._sent, body, group, now + delay_s)
        return True

    def receive(self, now: float) -> Message | None:
        """Hand out one message and hide it. One that was received too often goes to the dead letters instead."""
        held: set[str] = set()
        for message in list(self.messages.values()):
            if self.fifo and message.group in held:
                continue
            if message.visible_at > now:
                held.add(message.group)
            elif message.receives >= self.max_receives:
                self.dead.append(self.messages.pop(message.number))
            else:
                message.receives += 1
                message.receipt += 1
                message.visible_at = now + self.visibility_s
                return message
        return None

    def next_at(self, now: float) -> float | None:
        """When a message will be visible that is not now; None if there is none."""
        return min((each.visible_at for each in self.messages.values() if each.visible_at > now), default=None)

    def hide(self, handle: str, seconds: float, now: float) -> bool:
        """Change a record's visibility. False for a receipt that is no longer good."""
        message = self._held(handle, now)
        if message is not None:
            message.visible_at = now + seconds
        return message is not None

    def delete(self, handle: str, now: float) -> bool:
        """Acknowledge. A FIFO queue refuses a receipt whose visibility time-out has passed."""
        message = self._held(handle, now)
        if message is not None:
            del self.messages[message.number]
        return message is not None

    def release(self, handle: str, now: float) -> None:
        """The record becomes visible while it is being handled."""
        self.hide(handle, 0.0, now)

    def redrive(self, into: Queue, now: float) -> None:
        """What an operator does with dead letters: back into the queue, each as a new message."""
        for message in list(self.messages.values()):
            del self.messages[message.number]
            into.send(message.body, now, group=message.group, deduplication=f"redriven {message.number}")

    def _held(self, handle: str, now: float) -> Message | None:
        number, receipt = map(int, handle.split("."))
        message = self.messages.get(number)
        good = message is not None and message.receipt == receipt and message.visible_at > now
        return message if good else None


@dataclass(slots=True)
class Queues:
    """All queues of a deployment. `arrived` is called when a message was sent or became visible earlier."""

    now: Callable[[], float]
    arrived: Callable[[], None] = lambda: None
    runs: Queue = field(default_factory=lambda: Queue(VISIBILITY_S, max_receives=MAX_RECEIVES))
    dead_letters: Queue = field(default_factory=lambda: Queue(VISIBILITY_S))
    control: Queue = field(default_factory=lambda: Queue(CONTROL_VISIBILITY_S, fifo=False))

    def at(self, url: str) -> Queue:
        return {RUNS: self.runs, DEAD_LETTERS: self.dead_letters, CONTROL: self.control}[url]


class SQS:
    """The client of one process."""

    def __init__(self, queues: Queues, process: Process) -> None:
        self._queues = queues
        self._process = process

    def send_message(self, *, QueueUrl: str, MessageBody: str, **parameters: Any) -> Any:  # noqa: N803 (boto3's names)
        queue, now = self._queues.at(QueueUrl), self._queues.now
        group, once = parameters.get("MessageGroupId", ""), parameters.get("MessageDeduplicationId", "")
        delay_s = parameters.get("DelaySeconds", 0)
        assert 0 <= delay_s <= 900, "SQS delays by 15 minutes at most"

        def commit() -> Any:
            new = queue.send(MessageBody, now(), group=group, deduplication=once, delay_s=delay_s)
            if not queue.fifo and self._process.strike("checks_doubled"):
                queue.send(MessageBody, now(), delay_s=delay_s)
            if new:
                self._queues.arrived()
            return {}

        return self._call(f"send to {QueueUrl}: {_label(MessageBody)}", commit)

    def change_message_visibility(self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> Any:  # noqa: N803
        queue, now = self._queues.at(QueueUrl), self._queues.now

        def commit() -> Any:
            if not queue.hide(ReceiptHandle, VisibilityTimeout, now()):
                raise refusal("InvalidParameterValue", "ChangeMessageVisibility")
            self._queues.arrived()
            return {}

        return self._call(f"hide {ReceiptHandle} for {VisibilityTimeout} s", commit)

    def _call(self, operation: str, commit: Callable[[], Any]) -> Any:
        return self._process.call(Call("sqs", operation, commit, "ThrottlingException"))


def _label(body: str) -> str:
    """What a message says, but for what is random in it."""
    said = json.loads(body)
    return " ".join(f"{name}={value}" for name, value in said.items() if name not in ("user", "thread_id", "delete"))
