"""Commands on their way: which may be sent now, which must wait, which are to be sent again.

A connection's state-changing commands may be handled concurrently and out of order, so only one of them is in flight;
the id makes sending again safe (delivery.md, Connections). What a reply means is not here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Command:
    """One command's text. `ordered` ones wait for each other; times are seconds of the caller's clock.

    `subscribes` is the thread that it asks for, if it does, and it `switches` when it lets go of all others. The text
    may hold a token: it is not shown.
    """

    id: str
    text: str = field(repr=False)
    ordered: bool = True
    subscribes: str | None = None
    switches: bool = False
    sent_at: float | None = None
    not_before: float = 0.0

    def due(self, reply_s: float) -> float:
        """When it is to be sent, or sent again for want of a reply."""
        return self.not_before if self.sent_at is None else self.sent_at + reply_s


class Outbox:
    """Everything that has no reply yet, in the order it was asked for."""

    def __init__(self, reply_s: float) -> None:
        self._reply_s = reply_s
        self._greeting: Command | None = None
        self._commands: dict[str, Command] = {}

    def greet(self, hello: Command) -> None:
        """A new connection: nothing counts as sent, and nothing but `hello` goes out until `greeted`."""
        self._greeting = hello
        for command in self._commands.values():
            command.sent_at = None

    def greeted(self) -> None:
        """The connection is live: the commands may follow."""
        self._greeting = None

    @property
    def greeting(self) -> bool:
        """Whether a hello is out that has no welcome yet."""
        return self._greeting is not None

    def put(self, command: Command) -> None:
        """Queue a command."""
        self._commands[command.id] = command

    def get(self, command_id: str | None) -> Command | None:
        """A command that has no reply yet."""
        return self._commands.get(command_id) if command_id is not None else None

    def pop(self, command_id: str | None) -> Command | None:
        """Forget a command: it was answered, or nobody waits any more. None if it is not (or no longer) here."""
        return self._commands.pop(command_id, None) if command_id is not None else None

    def subscribing(self) -> list[str]:
        """The threads that commands without a reply ask for."""
        return [command.subscribes for command in self._commands.values() if command.subscribes is not None]

    def take(self, now: float) -> list[Command]:
        """What is to be sent now; it counts as sent from here on."""
        ready = [command for command in self._candidates() if command.due(self._reply_s) <= now]
        for command in ready:
            command.sent_at = now
        return ready

    def deadline(self) -> float:
        """When `take` has something next, if nothing else happens; infinity: never."""
        return min((command.due(self._reply_s) for command in self._candidates()), default=math.inf)

    def postpone(self, until: float) -> None:
        """Some command in flight has failed for a while, nobody says which: send each again, not before `until`."""
        for command in self._candidates():
            if command.sent_at is not None:
                command.sent_at, command.not_before = None, until

    def largest_in_flight(self) -> str | None:
        """The id of the longest command that was sent and not answered."""
        sent = [command for command in self._commands.values() if command.sent_at is not None]
        return max(sent, key=lambda command: len(command.text)).id if sent else None

    def _candidates(self) -> Iterator[Command]:
        """The greeting alone, or the oldest ordered command and all unordered ones."""
        if self._greeting is not None:
            yield self._greeting
            return
        ordered = False
        for command in self._commands.values():
            if not command.ordered:
                yield command
            elif not ordered:
                ordered = True
                yield command
