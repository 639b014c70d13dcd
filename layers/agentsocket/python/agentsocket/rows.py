"""The rows as values: what a reader of the table gets to see (delivery.md, Rows). No keys, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentsocket.runs import TERMINAL, State

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A connection follows a thread: seen up to `cursor` when `generation` began."""

    cursor: int
    generation: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A socket of the user. `token_exp` is its token's end, in seconds; pushes wait until it is `live`."""

    connection_id: str
    live: bool
    token_exp: int
    subscriptions: dict[str, Subscription] = field(default_factory=dict)

    @classmethod
    def of(cls, item: Item) -> Connection:
        subscriptions = {
            thread: Subscription(entry["cursor"], entry["generation"])
            for thread, entry in item["subscriptions"].items()
        }
        return cls(item["connection_id"], item["state"] == "live", item["token_exp"], subscriptions)


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation. `epoch` names one unbroken numbering of its log."""

    thread_id: str
    epoch: str


@dataclass(frozen=True, slots=True)
class Run:
    """One agent run. Long content is kept apart: `content` then holds its start, `content_bytes` the whole's size.

    `context` is the JSON object that came with the message; `accepted_at` is in milliseconds.
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
            run_id=item["SK"].removeprefix("RUN#"),
            thread_id=item["thread_id"],
            message_id=item["message_id"],
            state=item["state"],
            digest=item["digest"],
            content=item["content"],
            content_bytes=item["content_bytes"],
            sha256=item["sha256"],
            connection_id=item["connection_id"],
            agent=item["agent"],
            context=item["context"],
            attempts=item["attempts"],
            owner=item.get("owner", ""),
            first_seq=item.get("first_seq", 0),
            last_seq=item.get("last_seq", 0),
            accepted_at=item["accepted_at"],
        )


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A stream event as the log holds it: the frame's bytes, ready to be sent again."""

    seq: int
    event_id: str
    run_id: str
    attempt: int
    frame: bytes

    @classmethod
    def of(cls, item: Item) -> LogEvent:
        seq = int(item["SK"].rpartition("#")[2])
        return cls(seq, item["event_id"], item["run_id"], item["attempt"], item["frame"].encode())


@dataclass(frozen=True, slots=True)
class Meta:
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


@dataclass(frozen=True, slots=True)
class Message:
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
