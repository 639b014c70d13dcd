"""One client's conversation, without I/O: frames and the time go in; frames to send and things to tell come out.

    open(now) -> poll(now) sends hello -> receive(welcome) -> poll/receive ... -> open(now) on the next connection

Threads keep their order in `subscriptions`, commands in `outbox`, the token its end in `token_refresh`; here is which
frame goes to whom, and what the client says by itself: hello, ping, refresh_token, and subscribe when something is
missing. Sockets, waiting and fetching tokens are not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias

from agentsocket_client import frames
from agentsocket_client.backoff import Backoff
from agentsocket_client.errors import CommandFailed
from agentsocket_client.frames import Frame, Payload, Position, ResumePoint
from agentsocket_client.limits import Limits
from agentsocket_client.outbox import Command, Outbox
from agentsocket_client.session_outputs import Event, Hangup, Output, Reply
from agentsocket_client.subscriptions import Following, thread_id_of
from agentsocket_client.token_refresh import Renewal

FINAL = frozenset({"unauthorized", "revoked", "bad_request", "connection_limit"})
RECONNECT = frozenset({"shutdown", "connection_age", "token_expired", "slow_consumer", "rate_limited", "no_connection"})

Handler: TypeAlias = Callable[[Frame, float], list[Output]]


class Session:
    """All state of a client that outlives a connection. Times are seconds of the caller's clock."""

    def __init__(
        self, resume: Iterable[ResumePoint], *, limits: Limits, random: Callable[[], float], renews: bool = False
    ) -> None:
        """Not `renews`: there is one token only, and `wants_token` is never true."""
        self.welcome: Payload | None = None
        self._limits = limits
        self._faults = Backoff(limits.backoff_base_s, limits.backoff_cap_s, random)
        self._outbox = Outbox(limits.reply_s)
        self._subscriptions = Following(resume, limits=limits, random=random)
        self._renewal = Renewal(enabled=renews, limits=limits, random=random)
        self._hello = ""
        self._recovery: str | None = None  # the one subscribe of our own that is out
        self._ping: str | None = None
        self._ping_at = math.inf
        self._handlers: dict[str, Handler] = {
            "welcome": self._on_welcome,
            "subscribed": self._subscriptions.subscribed,
            "unsubscribed": self._on_unsubscribed,
            "thread_switched": self._on_thread_switched,
            "batch": self._subscriptions.batch,
            "thread_snapshot": self._subscriptions.snapshot,
            "message_accepted": self._subscriptions.accepted,
            "heartbeat": self._subscriptions.heartbeat,
            "thread_deleted": self._on_thread_deleted,
            "disconnect": self._on_disconnect,
            "token_refreshed": self._on_token_refreshed,
            "token_expiring": self._on_token_expiring,
        }

    # What the client does.

    def open(self, client: dict[str, str], now: float, *, token: str | None = None) -> None:
        """A new connection, by `token` if that is known: say hello, resume, and send again what has no reply."""
        for own in (self._ping, self._recovery, self._renewal.command):
            self._outbox.pop(own)
        self._renewal.opened(token)
        self._ping, self._recovery, self._ping_at = None, None, math.inf
        resume = self._subscriptions.resume(now)
        hello = frames.command("hello", {"protocol": 1, "client": client, "resume": resume})
        self._hello = hello["id"]
        self._outbox.greet(self._command(hello))

    def submit(self, frame: Frame, now: float) -> None:
        """Queue a caller's command. Raises CommandFailed if it cannot be sent at all."""
        if frame["type"] in frames.FOLLOWING:
            frame = {**frame, "payload": self._subscriptions.follow(frame["payload"], now)}
        self._outbox.put(self._command(frame))

    def withdraw(self, command_id: str) -> None:
        """Nobody waits for this command any more."""
        command = self._outbox.pop(command_id)
        if command is not None and command.switches:  # the server may have let go of the others, and nobody will know
            self._subscriptions.mark_stale()

    def largest_in_flight(self) -> str | None:
        """The command that a close with 1009 (message too big) must be about."""
        return self._outbox.largest_in_flight()

    @property
    def live(self) -> bool:
        """Whether the newest connection has been welcomed."""
        return not self._outbox.greeting

    def poll(self, now: float) -> list[str]:
        """The texts to send now."""
        if self.live:
            self._recover(now)
            self._keep_alive(now)
        return [command.text for command in self._outbox.take(now)]

    def deadline(self) -> float:
        """When to poll again if nothing happens before; infinity: never."""
        if not self.live:
            return self._outbox.deadline()
        recovery = math.inf if self._recovery is not None else self._subscriptions.due()
        return min(self._outbox.deadline(), self._ping_at, recovery, self._renewal.due())

    def wants_token(self, now: float) -> bool:
        """Whether to fetch a fresh token now. Then `offer_token` or `token_failed` is to follow; until then, False."""
        return self._renewal.take(now)

    def offer_token(self, token: str, now: float) -> None:
        """The fresh token: have the server take it."""
        frame = self._renewal.offer(token, now)
        if frame is None:
            return
        try:
            self._outbox.put(self._command(frame))
        except CommandFailed as error:
            self._renewal.failed(error.code, now)

    def token_failed(self, reason: str, now: float) -> None:
        """There is no fresh token, for a reason that may be logged: it will be wanted again."""
        self._renewal.failed(reason, now)

    def read(self, event: Event) -> None:
        """The caller has been given this event."""
        self._subscriptions.read(event)

    def position(self, thread_id: str) -> Position:
        """How far the caller has read. Raises KeyError for a thread this client does not follow."""
        return self._subscriptions.position(thread_id)

    # What the server says.

    def receive(self, text: str | bytes, now: float) -> list[Output]:
        """One frame from the server. What this client does not know is ignored."""
        frame = frames.decode(text)
        if frame is None:
            return []
        if frames.is_gateway_fault(frame):
            self._outbox.postpone(now + self._faults.next())
            return []
        if frame["type"] == "error":
            return self._on_error(frame, now)
        outputs = self._handlers.get(frame["type"], self._on_other)(frame, now)
        # A disconnect answers nothing, though it names the command it came of: that goes out again later.
        return outputs if frame["type"] == "disconnect" else outputs + self._settle(frame, now)

    def _on_welcome(self, frame: Frame, now: float) -> list[Output]:
        self.welcome = frame["payload"]
        self._outbox.greeted()
        self._renewal.granted(frame, now)
        self._ping_at = now + self._ping_interval()
        return []

    def _on_unsubscribed(self, frame: Frame, _now: float) -> list[Output]:
        if self._outbox.get(frame.get("reply_to")) is not None:  # one that comes twice may come after a new subscribe
            self._subscriptions.unfollow(thread_id_of(frame))
        return []

    def _on_thread_switched(self, frame: Frame, _now: float) -> list[Output]:
        """The server follows this thread alone. So does the client, if the caller still wants that."""
        command = self._outbox.get(frame.get("reply_to"))
        if command is None:  # it comes twice, or the caller has given up: the others are wanted, and let go by now
            self._subscriptions.mark_stale(but=thread_id_of(frame))
            return []
        self._outbox.pop(self._recovery)  # it may ask for a thread that is left; for another one it is made again
        self._recovery = None
        self._subscriptions.follow_only(thread_id_of(frame), *self._outbox.subscribing())
        return []

    def _on_thread_deleted(self, frame: Frame, now: float) -> list[Output]:
        self._subscriptions.unfollow(thread_id_of(frame))
        return self._on_other(frame, now)

    def _on_token_refreshed(self, frame: Frame, now: float) -> list[Output]:
        self._renewal.granted(frame, now)
        return []

    def _on_token_expiring(self, frame: Frame, now: float) -> list[Output]:
        self._renewal.expiring(frame, now)
        return self._on_other(frame, now)

    def _on_disconnect(self, frame: Frame, _now: float) -> list[Output]:
        payload = frame["payload"]
        code, reason = str(payload.get("code")), str(payload.get("reason", ""))
        final = code in FINAL or (code not in RECONNECT and payload.get("reconnect") is False)
        return [Event(frame), Hangup(code, reason, final, _retry_after_s(frame))]

    def _on_other(self, frame: Frame, now: float) -> list[Output]:
        if isinstance(frame.get("seq"), int):
            return self._subscriptions.event(frame, now)
        return [Event(frame)] if frame["type"] in frames.NOTICES and frame.get("reply_to") is None else []

    def _on_error(self, frame: Frame, now: float) -> list[Output]:
        payload, reply_to = frame["payload"], frame.get("reply_to")
        if reply_to is not None and reply_to == self._renewal.command:  # `token_expired` speaks of the offered one
            self._outbox.pop(reply_to)
            self._renewal.refused(payload, now, retry_after_s=_retry_after_s(frame))
            return []
        if payload.get("code") == "token_expired":  # the commands stay: the next connection comes with a new token
            return [Hangup("token_expired", str(payload.get("message", "")), final=False)]
        if reply_to is None:
            return [Event(frame)]
        if reply_to == self._hello:
            return self._on_hello_failed(frame, now)
        command = self._outbox.get(reply_to)
        wait_s = _retry_after_s(frame)
        if command is not None and payload.get("code") == "rate_limited" and wait_s <= self._limits.quota_s:
            command.sent_at, command.not_before = None, now + wait_s  # it says when: nothing is lost
            return []
        if command is not None and command.subscribes is not None:
            if command.switches:  # it may have failed half way
                self._subscriptions.mark_stale()
            return self._on_subscribe_failed(frame, command.subscribes, now)
        return self._settle(frame, now)

    def _on_hello_failed(self, frame: Frame, now: float) -> list[Output]:
        """Before the welcome it is the hello that failed; after it, the resume of one of its threads."""
        payload = frame["payload"]
        if self.live:
            self._subscriptions.ask_again(now + _retry_after_s(frame))
        elif not payload.get("temporary"):
            return [Hangup(str(payload.get("code")), str(payload.get("message", "")), final=True)]
        else:
            self._outbox.postpone(now + max(self._faults.next(), _retry_after_s(frame)))
        return []

    def _on_subscribe_failed(self, frame: Frame, thread_id: str, now: float) -> list[Output]:
        """Temporary: the thread is asked for again. Otherwise it is given up, and somebody is told."""
        told = self._settle(frame, now)
        if frame["payload"].get("temporary"):
            self._subscriptions.refused(thread_id, now + _retry_after_s(frame))
            return told
        self._subscriptions.unfollow(thread_id)
        return told or [Event({**frame, "thread_id": thread_id})]

    def _settle(self, frame: Frame, now: float) -> list[Output]:
        """The command that `frame` answers is done; whoever waits for it is told."""
        command = self._outbox.pop(frame.get("reply_to"))
        if command is None:
            return []
        self._faults.reset()
        if command.id == self._ping:
            self._ping, self._ping_at = None, now + self._ping_interval()
        elif command.id == self._recovery:
            self._recovery = None
        elif command.id == self._renewal.command:
            self._renewal.answered(now)
        else:
            return [Reply(command.id, frame)]
        return []

    # What the client says by itself.

    def _recover(self, now: float) -> None:
        if self._recovery is not None or (thread := self._subscriptions.missing(now)) is None:
            return
        since = thread.since()
        frame = frames.command("subscribe", {"thread_id": thread.thread_id} | ({"since": since} if since else {}))
        thread.asked(now)
        self._recovery = frame["id"]
        self._outbox.put(self._command(frame))

    def _keep_alive(self, now: float) -> None:
        if now >= self._ping_at:
            frame = frames.command("ping", {})
            self._ping, self._ping_at = frame["id"], math.inf
            self._outbox.put(self._command(frame))

    def _ping_interval(self) -> float:
        interval = (self.welcome or {}).get("ping_interval_s")
        return float(interval) if isinstance(interval, int | float) and interval > 0 else self._limits.ping_s

    def _command(self, frame: Frame) -> Command:
        allowed = (self.welcome or {}).get("max_message_bytes", self._limits.message_bytes)
        text = frames.encode(frame, limit_bytes=min(allowed, self._limits.message_bytes))
        kind = frame["type"]
        return Command(
            frame["id"],
            text,
            ordered=kind not in frames.UNORDERED,
            subscribes=frame["payload"].get("thread_id") if kind in frames.FOLLOWING else None,
            switches=kind == "switch_thread",
        )


def _retry_after_s(frame: Frame) -> float:
    wait_ms = frame["payload"].get("retry_after_ms")
    return wait_ms / 1000 if isinstance(wait_ms, int | float) else 0.0
