"""The rows as values: what a reader of the table gets to see (data-model.md, Rows). No keys, no I/O."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from agentsocket.storage import keys
from agentsocket.storage.run_states import TERMINAL, State

Item = Mapping[str, Any]


class Subscription(Struct, frozen=True):
    """A connection follows a thread: seen up to `cursor` when `generation` began."""

    cursor: int
    generation: str


class Connection(Struct, frozen=True):
    """A socket of the user; pushes wait until it is `live`. Times are in seconds.

    `token_exp` is when its authorization ends, `token_iat` and `session` say which revocations are meant for it;
    `checks` counts the checks of it that `connection_checks.py` has done.
    """

    connection_id: str
    live: bool
    token_exp: int
    token_iat: int = 0
    session: str = ""
    opened_at: int = 0
    checks: int = 0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    @classmethod
    def of(cls, item: Item) -> Connection:
        subscriptions = {
            thread: Subscription(entry["cursor"], entry["generation"])
            for thread, entry in item["subscriptions"].items()
        }
        return cls(
            connection_id=item["connection_id"],
            live=item["state"] == "live",
            token_exp=item["token_exp"],
            token_iat=item["token_iat"],
            session=item["session"],
            opened_at=item["opened_at"],
            checks=item["checks"],
            subscriptions=subscriptions,
        )


class RevokedTokens(Struct, frozen=True):
    """Which of a user's tokens are dead: those issued up to a moment, in seconds; of all sessions, or of one."""

    everything: int = -1
    sessions: Mapping[str, int] = field(default_factory=dict)

    def covers(self, session: str, issued_at: int) -> bool:
        """Whether a token of that session (empty when it names none) is dead."""
        return issued_at <= max(self.everything, self.sessions.get(keys.session_hash(session), -1))

    @classmethod
    def of(cls, items: Iterable[Item | None]) -> RevokedTokens:
        moments = {item["SK"].removeprefix(keys.REVOKED): item["not_before"] for item in items if item}
        everything = moments.pop("ALL", -1)
        return cls(everything, {name.removeprefix("SID#"): moment for name, moment in moments.items()})


class Running(Struct, frozen=True):
    """A run under way: its thread, and the connection that sent its message."""

    thread_id: str
    connection_id: str

    def concerns(self, connection: Connection) -> bool:
        """Whether the run's events go to that connection."""
        return self.thread_id in connection.subscriptions or self.connection_id == connection.connection_id

    @classmethod
    def of(cls, item: Item) -> Running:
        return cls(item["thread_id"], item["connection_id"])


class UserActivity(Struct, frozen=True):
    """What goes on just now for a user: their sockets and runs, which tokens are dead, what is to stop.

    `stops` are runs that somebody wants ended, `deleted` are threads that have just been deleted.
    """

    connections: list[Connection]
    revocations: RevokedTokens
    running: list[Running] = field(default_factory=list)
    stops: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, items: Iterable[Item]) -> UserActivity:
        found = list(items)
        connections = [Connection.of(item) for item in found if item["SK"].startswith(keys.CONNECTION)]
        running = [Running.of(item) for item in found if item["SK"].startswith(keys.RUNNING)]
        revoked = [item for item in found if item["SK"].startswith(keys.REVOKED)]
        stops, deleted = _named(found, keys.STOP), _named(found, keys.DELETED)
        return cls(connections, RevokedTokens.of(revoked), running, stops, deleted)

    def must_stop(self, run: Run) -> bool:
        """Whether somebody has asked for that run's end, its thread is gone, or the sign-in it was sent under ended."""
        unwanted = run.run_id in self.stops or run.thread_id in self.deleted
        return unwanted or self.revocations.covers(run.session, run.token_iat)

    def surplus(self, newest: str, *, at_most: int) -> list[Connection]:
        """Which connections have to go so that `newest` may stay: first those that follow no run, the oldest first."""
        others = [each for each in self.connections if each.live and each.connection_id != newest]
        others.sort(key=lambda each: (any(run.concerns(each) for run in self.running), each.opened_at))
        return others[: max(0, len(others) + 1 - at_most)]

    def revoked(self, connection: Connection) -> bool:
        """Whether that connection's token is dead."""
        return self.revocations.covers(connection.session, connection.token_iat)


def _named(items: Iterable[Item], prefix: str) -> frozenset[str]:
    """What the keys with that prefix name."""
    return frozenset(item["SK"].removeprefix(prefix) for item in items if item["SK"].startswith(prefix))


class Thread(Struct, frozen=True):
    """A conversation. `epoch` names one unbroken numbering of its log."""

    thread_id: str
    epoch: str


class ThreadSummary(Struct, frozen=True):
    """A line in a list of threads. Times are in milliseconds."""

    thread_id: str
    title: str
    metadata: Mapping[str, Any]
    created_at: int
    activity: int

    @property
    def cursor(self) -> str:
        """Where a list goes on after this line."""
        return f"{self.activity}.{self.thread_id}"

    @classmethod
    def of(cls, item: Item) -> ThreadSummary:
        return cls(item["thread_id"], item["title"], json.loads(item["metadata"]), item["created_at"], item["activity"])


class Run(Struct, frozen=True):
    """One agent run. Long content is kept apart: `content` then holds its start, `content_bytes` the whole's size.

    `context` is the JSON object that came with the message; `accepted_at` is in milliseconds. `session` and `token_iat`
    are those of the token it was sent under.
    """

    run_id: str
    thread_id: str
    message_id: str
    state: State
    digest: str
    content: str
    content_bytes: int
    sha256: str
    connection_id: str
    session: str
    token_iat: int
    agent: str
    context: str
    attempts: int
    owner: str
    first_seq: int
    last_seq: int
    accepted_at: int

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def truncated(self) -> bool:
        return self.content_bytes > len(self.content.encode())

    @classmethod
    def of(cls, item: Item) -> Run:
        return cls(
            run_id=item["SK"].removeprefix(keys.RUN),
            thread_id=item["thread_id"],
            message_id=item["message_id"],
            state=item["state"],
            digest=item["digest"],
            content=item["content"],
            content_bytes=item["content_bytes"],
            sha256=item["sha256"],
            connection_id=item["connection_id"],
            session=item["session"],
            token_iat=item["token_iat"],
            agent=item["agent"],
            context=item["context"],
            attempts=item["attempts"],
            owner=item.get("owner", ""),
            first_seq=item.get("first_seq", 0),
            last_seq=item.get("last_seq", 0),
            accepted_at=item["accepted_at"],
        )


class LogEvent(Struct, frozen=True):
    """A stream event as the log holds it: the frame's bytes, ready to be sent again."""

    seq: int
    event_id: str
    run_id: str
    attempt: int
    frame: bytes

    @classmethod
    def of(cls, item: Item) -> LogEvent:
        seq = int(item["SK"].rpartition("#")[2])
        frame = item["frame"]
        raw = frame.encode() if isinstance(frame, str) else zlib.decompress(frame.value)
        return cls(seq, item["event_id"], item["run_id"], item["attempt"], raw)


class Meta(Struct, frozen=True):
    """The head of a thread's log: the highest seq known to it, and who may write.

    Times are in milliseconds. `unreleased_since` is when the first of the leases ran out, or will, that no ending has
    followed; 0 when the last run ended.
    """

    top: int = 0
    lease_owner: str = ""
    lease_run: str = ""
    lease_until: int = 0
    unreleased_since: int = 0

    @classmethod
    def of(cls, item: Item | None) -> Meta:
        item = item or {}
        return cls(
            item.get("top", 0),
            item.get("lease_owner", ""),
            item.get("lease_run", ""),
            item.get("lease_until", 0),
            item.get("unreleased_since", 0),
        )


class Message(Struct, frozen=True):
    """A line of the transcript. Long content is kept apart: `content` then holds its start and `truncated` is true."""

    seq: int
    message_id: str
    role: str
    content: str
    truncated: bool
    created_at: int

    @classmethod
    def of(cls, item: Item) -> Message:
        return cls(
            seq=int(item["SK"].rpartition("#")[2]),
            message_id=item["message_id"],
            role=item["role"],
            content=item["content"],
            truncated=item["truncated"],
            created_at=item["created_at"],
        )
