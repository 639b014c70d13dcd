"""What a client missed: a replay from the log, or a snapshot when the log cannot give it (protocol.md, Resume).

The cursor is written before the log is read, and moved after the last frame was sent: what is appended in between is
sent twice rather than not at all, and clients drop what they have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import UNSET

from agentsocket import encoded_text
from agentsocket.limits import Limits
from agentsocket.protocol import frames, messages
from agentsocket.protocol.frames import Reply
from agentsocket.protocol.messages import Position
from agentsocket.storage.rows import LogEvent, Message, Thread

if TYPE_CHECKING:
    from agentsocket.storage.thread_log import ThreadLog
    from agentsocket.storage.user import UserStorage

Reason = Literal["epoch", "trimmed", "limit"]
_SNAPSHOT_SHARE = 3  # the text of a running run takes at most a third of a snapshot


def resume(
    store: UserStorage,
    connection_id: str,
    thread_id: str,
    since: Position | None,
    *,
    limits: Limits,
    max_bytes: int,
    only: bool = False,
) -> Iterator[Reply]:
    """Subscribe a connection; yield `subscribed`, then batches of at most `max_bytes` in all, or a snapshot.

    `only`: it follows no other thread from then on. Raises NotFound, or Disconnect when the connection has no row.
    """
    thread = store.threads.get(thread_id)
    if since is None or since.epoch != thread.epoch:
        yield from _start_over(store, connection_id, thread, None if since is None else "epoch", limits, only)
        return
    log = store.log(thread_id)
    generation = store.connections.subscribe(connection_id, thread_id, cursor=since.seq, only=only)
    missed = _missed(log, since, limits, max_bytes)
    if isinstance(missed, str):
        thread = store.threads.renew_epoch(thread_id) if missed == "epoch" else thread
        yield from _start_over(store, connection_id, thread, missed, limits, only)
        return
    top = missed[-1].seq if missed else since.seq
    yield from _replay(thread, top, missed, limits)
    store.connections.move_cursor(connection_id, thread_id, generation=generation, cursor=top)


def _start_over(
    store: UserStorage, connection_id: str, thread: Thread, reason: Reason | None, limits: Limits, only: bool
) -> Iterator[Reply]:
    """Subscribe from nothing, so that no cursor of another numbering keeps a worker's events back; and a snapshot."""
    generation = store.connections.subscribe(connection_id, thread.thread_id, cursor=0, only=only)
    log = store.log(thread.thread_id)
    top = log.top()
    yield Reply(
        messages.Subscribed(
            thread_id=thread.thread_id, epoch=thread.epoch, seq=top, recovered=False, reason=reason or UNSET
        )
    )
    yield Reply(_snapshot(store, log, thread, top, limits), thread.thread_id)
    store.connections.move_cursor(connection_id, thread.thread_id, generation=generation, cursor=top)


def _missed(log: ThreadLog, since: Position, limits: Limits, max_bytes: int) -> list[LogEvent] | Reason:
    """Every event after `since`, or why a replay cannot give them. Two reads, however long the thread is."""
    if max_bytes <= 0:
        return "limit"
    top = log.meta().top
    if top - since.seq > limits.log_max_events:
        return "trimmed"
    events, more = log.events(after=since.seq, limit=limits.replay_max_events + 1)
    if events and events[0].seq != since.seq + 1:
        return "trimmed"
    if not events and top > since.seq:
        return "trimmed"
    if not events and top < since.seq and log.top() < since.seq:
        return "epoch"
    size = sum(len(event.frame) for event in events)
    return "limit" if more or len(events) > limits.replay_max_events or size > max_bytes else events


def _replay(thread: Thread, top: int, events: list[LogEvent], limits: Limits) -> Iterator[Reply]:
    yield Reply(messages.Subscribed(thread_id=thread.thread_id, epoch=thread.epoch, seq=top, recovered=True))
    pages: list[list[bytes]] = [[]]
    size = 0
    for event in events:
        if pages[-1] and size + len(event.frame) + 1 > frames.room(limits):
            pages.append([])
            size = 0
        pages[-1].append(event.frame)
        size += len(event.frame) + 1
    for number, page in enumerate(pages, start=1):
        yield Reply(frames.batch(page, more=number < len(pages)), thread.thread_id)


def _snapshot(store: UserStorage, log: ThreadLog, thread: Thread, top: int, limits: Limits) -> messages.ThreadSnapshot:
    """The thread as of `top`: the newest messages that fit, and the text of a running run."""
    room = frames.room(limits)
    active = _active_run(store, log, top, limits, room // _SNAPSHOT_SHARE)
    if active is not None:
        room -= len(msgspec.json.encode(active))
    newest, _ = log.history(up_to=top, limit=limits.snapshot_max_messages)
    newest_first = frames.fitting([message_info(message, limits) for message in newest], room)
    return messages.ThreadSnapshot(messages=newest_first[::-1], epoch=thread.epoch, seq=top, active_run=active or UNSET)


def message_info(message: Message, limits: Limits) -> messages.MessageInfo:
    """A message of the transcript as clients get it: of a long one the beginning."""
    content = encoded_text.preview(message.content, limits.preview_bytes)
    return messages.MessageInfo(
        message_id=message.message_id,
        seq=message.seq,
        role=message.role,
        content=content,
        truncated=message.truncated or content != message.content,
        created_at=message.created_at,
    )


def _active_run(
    store: UserStorage, log: ThreadLog, top: int, limits: Limits, max_bytes: int
) -> messages.ActiveRun | None:
    """The newest attempt of the run that holds the lease, folded up to `top`."""
    run_id = log.meta().lease_run
    run = store.runs.get(run_id) if run_id else None
    if run is None or run.terminal or not run.first_seq:
        return None
    events, more = log.events(after=run.first_seq - 1, up_to=top, limit=limits.replay_max_events)
    text = "".join(frames.delta(event.frame) for event in events if event.attempt == run.attempts)
    content = encoded_text.preview(text, max_bytes)
    return messages.ActiveRun(
        run_id=run_id, message_id=f"{run_id}.{run.attempts}", content=content, truncated=more or content != text
    )
