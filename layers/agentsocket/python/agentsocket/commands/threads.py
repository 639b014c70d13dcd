"""The commands about threads, over a socket or HTTP: making, naming, listing, reading, following and deleting them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from agentsocket.commands.connection import CommandContext, tell_others
from agentsocket.commands.replay import resume, shown
from agentsocket.errors import BadRequest
from agentsocket.inputs import Deletion
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply
from agentsocket.storage import keys
from agentsocket.storage.rows import ThreadSummary


def create_thread(command: protocol.CreateThread, asked: CommandContext) -> Iterator[Reply]:
    """Begin a thread, once per command id. The other connections hear of it when it is new."""
    asked.admit()
    thread, fresh = asked.user.threads.create(asked.command_id, title=command.title, metadata=command.metadata)
    created = msgspec.convert(_info(thread), protocol.ThreadCreated, from_attributes=True)
    if fresh:
        tell_others(created, asked)
    yield Reply(created)


def rename_thread(command: protocol.RenameThread, asked: CommandContext) -> Iterator[Reply]:
    """Give a thread of the user's another title. Raises NotFound."""
    asked.admit()
    asked.user.threads.rename(command.thread_id, command.title)
    renamed = protocol.ThreadRenamed(thread_id=command.thread_id, title=command.title)
    tell_others(renamed, asked)
    yield Reply(renamed)


def delete_thread(command: protocol.DeleteThread, asked: CommandContext) -> Iterator[Reply]:
    """Hide a thread at once and have its rows swept. Queued first: what is hidden will be swept, whoever dies now."""
    asked.admit()
    erasure = asked.user.erasure(command.thread_id, by=asked.command_id)
    erasure.require()
    asked.run_queue.delete(Deletion(asked.principal.user, command.thread_id, asked.command_id))
    erasure.hide()
    deleted = protocol.ThreadDeleted(thread_id=command.thread_id)
    tell_others(deleted, asked)
    yield Reply(deleted)


def list_threads(command: protocol.ListThreads, asked: CommandContext) -> Iterator[Reply]:
    """A page of the user's threads, as many as fit a frame. Raises BadRequest for a cursor that is none."""
    asked.admit()
    limit = min(command.limit, asked.limits.max_page)
    try:
        found, cursor = asked.user.threads.page(limit=limit, before=command.cursor)
    except BadRequest as error:
        error.field = f"payload.{error.field}"
        raise
    lines = frames.fitting([_info(thread) for thread in found], frames.room(asked.limits))
    if len(lines) < len(found):
        cursor = found[len(lines) - 1].mark
    yield Reply(protocol.ThreadList(threads=lines, cursor=cursor or UNSET))


def get_thread_history(command: protocol.GetThreadHistory, asked: CommandContext) -> Iterator[Reply]:
    """A page of a thread's transcript, as many messages as fit a frame. New ones shift nothing: a cursor is a seq.

    Raises NotFound, or BadRequest for a cursor that is none.
    """
    asked.enter(command.thread_id)
    found, more = asked.user.log(command.thread_id).history(
        up_to=_before(command.cursor), limit=min(command.limit, asked.limits.max_page)
    )
    lines = frames.fitting([shown(message, asked.limits) for message in found], frames.room(asked.limits))
    more |= len(lines) < len(found)
    cursor = str(lines[-1].seq) if more and lines else UNSET
    yield Reply(protocol.ThreadHistory(messages=lines, cursor=cursor), command.thread_id)


def get_content(command: protocol.GetContent, asked: CommandContext) -> Iterator[Reply]:
    """A page of the text of a message in a thread of the user's own."""
    asked.enter(command.thread_id)
    page = asked.user.log(command.thread_id).contents.page(command.message_id, command.offset)
    payload = protocol.Content(
        content=page.content,
        offset=page.offset,
        bytes=page.bytes,
        sha256=page.sha256,
        next_offset=UNSET if page.next_offset is None else page.next_offset,
    )
    yield Reply(payload, command.thread_id)


def switch_thread(command: protocol.SwitchThread, asked: CommandContext) -> Iterator[Reply]:
    """Follow this thread and no other; then what was missed of it, as `subscribe` has it."""
    since = None if command.since is UNSET else command.since
    replies = resume(
        asked.user,
        asked.connection_id,
        command.thread_id,
        since,
        limits=asked.limits,
        max_bytes=asked.limits.replay_max_bytes,
        only=True,
    )
    first = next(replies)
    yield Reply(protocol.ThreadSwitched(thread_id=command.thread_id))
    yield first
    yield from replies


def _before(cursor: str) -> int:
    """The newest seq of the page that a cursor asks for. Raises BadRequest."""
    if not cursor:
        return keys.LAST_SEQ
    if not (cursor.isascii() and cursor.isdigit() and 0 < int(cursor) <= keys.LAST_SEQ):
        raise BadRequest("no such page", field="payload.cursor")
    return int(cursor) - 1


def _info(thread: ThreadSummary) -> protocol.ThreadInfo:
    return protocol.ThreadInfo(
        thread_id=thread.thread_id,
        title=thread.title,
        metadata=dict(thread.metadata),
        created_at=thread.created_at,
        activity=thread.activity,
    )
