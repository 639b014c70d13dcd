"""Keeping an open connection authorized: when a fresh token is wanted, what became of it, when to try again.

What the server says of the token's end and the time go in; `due` says when to fetch a token, `offer` makes the command
of it. The end is reckoned from the frame that names it, by that frame's own timestamp: this machine's wall clock may be
wrong. Fetching and sending are not here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from agentsocket_client import frames
from agentsocket_client.backoff import Backoff
from agentsocket_client.frames import Frame
from agentsocket_client.limits import Limits

_EXACT = 2**53  # whatever is larger is no time

_log = logging.getLogger(__name__)


class Renewal:
    """The token of the open connection. Times are seconds of the caller's clock, expires_at of the server's."""

    def __init__(self, *, enabled: bool, limits: Limits, random: Callable[[], float]) -> None:
        """Not `enabled`: there is no other token to be had, and nothing is ever due."""
        self._enabled = enabled
        self._limits = limits
        self._backoff = Backoff(limits.backoff_base_s, limits.backoff_cap_s, random)
        self.opened(None)

    def opened(self, token: str | None) -> None:
        """A new connection, made with `token` (None: with a ticket). What was under way ended with the last one."""
        self.command: str | None = None  # the id of the refresh_token that is out
        self._in_force, self._offered, self._refused = token, "", ""
        self._fetching = self._failing = False
        self._expires_at = 0
        self._end = self._due = math.inf

    # What the server says.

    def granted(self, frame: Frame, now: float) -> None:
        """A welcome or a token_refreshed. One that names no later end than is known is a repetition."""
        if _time(frame["payload"].get("expires_at")) > self._expires_at:
            self._learn(frame, now)
            # Of a short life a quarter, or a token of 30 s would be renewed at once, and so would the next.
            self._due = self._end - min(self._limits.token_lead_s, (self._end - now) / 4)
            self._failing = False
            self._backoff.reset()

    def expiring(self, frame: Frame, now: float) -> None:
        """A token_expiring: renew now, unless it speaks of a token that has been renewed since."""
        if _time(frame["payload"].get("expires_at")) >= self._expires_at:
            self._learn(frame, now)
            if not self._failing:
                self._due = min(self._due, now)

    def answered(self, now: float) -> None:
        """The refresh_token has a reply; if that granted anything, `granted` was told before."""
        self.command = None
        if self._due > now:
            self._in_force = self._offered
        else:
            self._postpone("the answer names no later end", now)

    def refused(self, payload: frames.Payload, now: float, *, retry_after_s: float) -> None:
        """The refresh_token was answered with an error. Unless that is temporary, its token is of no use any more."""
        self.command = None
        if not payload.get("temporary"):
            self._refused = self._offered
        self._postpone(f"the server answers {payload.get('code')}", now, retry_after_s)

    # What the client does.

    def due(self) -> float:
        """When to fetch a token; infinity: not as things stand. After the grace the server ends the connection."""
        busy = self._fetching or self.command is not None
        too_late = self._due > self._end + self._limits.token_grace_s
        return math.inf if busy or too_late or not self._enabled else self._due

    def take(self, now: float) -> bool:
        """Whether to fetch a token now. It counts as being fetched until `offer` or `failed` is called."""
        if self.due() > now:
            return False
        self._fetching = True
        return True

    def offer(self, token: str, now: float) -> Frame | None:
        """The refresh_token for what was fetched; None if the server has that token already, or does not want it."""
        self._fetching = False
        if token in (self._in_force, self._refused):
            self._postpone("it is the same as before", now)
            return None
        self._offered = token
        frame = frames.command("refresh_token", {"token": token})
        self.command = frame["id"]
        return frame

    def failed(self, reason: str, now: float) -> None:
        """No token was to be had, or it cannot be sent. `reason` is logged: it must not hold a token."""
        self._fetching, self.command = False, None
        self._postpone(reason, now)

    def _postpone(self, reason: str, now: float, retry_after_s: float = 0.0) -> None:
        self._failing = True
        self._due = now + max(self._backoff.next(), retry_after_s)
        then = "too late to try again" if math.isinf(self.due()) else "trying again"
        _log.warning("The connection's token is not refreshed (%s); %s.", reason, then)

    def _learn(self, frame: Frame, now: float) -> None:
        self._expires_at, timestamp = _time(frame["payload"].get("expires_at")), _time(frame.get("timestamp"))
        self._end = now + self._expires_at - timestamp / 1000 if self._expires_at and timestamp else math.inf


def _time(value: object) -> int:
    """A time of the server; 0 for what is none."""
    return value if isinstance(value, int) and 0 < value < _EXACT else 0
