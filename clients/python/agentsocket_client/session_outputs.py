"""What a session tells its owner about a frame it was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from agentsocket_client.errors import ConnectionLost, Disconnected
from agentsocket_client.frames import Frame


@dataclass(frozen=True)
class Event:
    """A frame for whoever iterates; `epoch` is its thread's, at that moment."""

    frame: Frame
    epoch: str | None = None


@dataclass(frozen=True)
class Reply:
    """The answer to the command `command_id`; an `error` frame is one too."""

    command_id: str
    frame: Frame


@dataclass(frozen=True)
class Hangup:
    """The connection is over: to be made again unless `final`."""

    code: str
    reason: str
    final: bool
    retry_after_s: float = 0.0

    def error(self) -> ConnectionLost | Disconnected:
        """The same as what it means for the client's next step."""
        if self.final:
            return Disconnected(self.code, self.reason)
        return ConnectionLost(self.reason or self.code, retry_after_s=self.retry_after_s)


Output: TypeAlias = Event | Reply | Hangup
