"""The commands about threads, over a socket or HTTP: creating, listing, reading, renaming, deleting."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from agentsocket.commands import notify
from agentsocket.commands.replay import message_info, resume
from agentsocket.commands.request import CommandContext
from agentsocket.errors import BadRequest
from agentsocket.inputs import Deletion
from agentsocket.protocol import frames, messages
from agentsocket.protocol.frames import Reply
from agentsocket.storage import keys
from agentsocket.storage.rows import ThreadSummary


def create_thread(command: messages.CreateThread, request: CommandContext) -> Iterator[Reply]:
    """Create a thread, once per command id. The other connections are notified of a new one."""
    request.admit()
    thread, fresh = request.store.threads.create(request.command_id, title=command.title, metadata=command.metadata)
    created = msgspec.convert(_info(thread), messages.ThreadCreated, from_attributes=True)
    if fresh:
        notify.others(created, request)
    yield Reply(created)


def rename_thread(command: messages.RenameThread, request: CommandContext) -> Iterator[Reply]:
    """Give a thread of the user's another title. Raises NotFound."""
    request.admit()
    request.store.threads.rename(command.thread_id, command.title)
    renamed = messages.ThreadRenamed(thread_id=command.thread_id, title=command.title)
    notify.others(renamed, request)
    yield Reply(renamed)


def delete_thread(command: messages.DeleteThread, request: CommandContext) -> Iterator[Reply]:
    """Hide a thread at once and have its rows swept. Queued first: what is hidden will be swept, even after a crash."""
    request.admit()
    deletion = request.store.thread_deletion(command.thread_id, by=request.command_id)
    deletion.require()
    request.run_queue.delete(Deletion(request.principal.user, command.thread_id, request.command_id))
    deletion.hide()
    deleted = messages.ThreadDeleted(thread_id=command.thread_id)
    notify.others(deleted, request)
    yield Reply(deleted)


def list_threads(command: messages.ListThreads, request: CommandContext) -> Iterator[Reply]:
    """A page of the user's threads, as many as fit a frame. Raises BadRequest for an invalid cursor."""
    request.admit()
    limit = min(command.limit, request.limits.max_page)
    found, cursor = request.store.threads.page(limit=limit, before=command.cursor)
    fitted = frames.fitting([_info(thread) for thread in found], frames.room(request.limits))
    if len(fitted) < len(found):
        cursor = found[len(fitted) - 1].cursor
    yield Reply(messages.ThreadList(threads=fitted, cursor=cursor or UNSET))


def get_thread_history(command: messages.GetThreadHistory, request: CommandContext) -> Iterator[Reply]:
    """A page of a thread's transcript, as many messages as fit a frame. New ones shift nothing: a cursor is a seq.

    Raises NotFound, or BadRequest for an invalid cursor.
    """
    request.enter(command.thread_id)
    found, more = request.store.log(command.thread_id).history(
        up_to=_before(command.cursor), limit=min(command.limit, request.limits.max_page)
    )
    fitted = frames.fitting([message_info(message, request.limits) for message in found], frames.room(request.limits))
    more |= len(fitted) < len(found)
    cursor = str(fitted[-1].seq) if more and fitted else UNSET
    yield Reply(messages.ThreadHistory(messages=fitted, cursor=cursor), command.thread_id)


def get_content(command: messages.GetContent, request: CommandContext) -> Iterator[Reply]:
    """A page of the text of a message in a thread of the user's own."""
    request.enter(command.thread_id)
    page = request.store.log(command.thread_id).contents.page(command.message_id, command.offset)
    payload = messages.Content(
        content=page.content,
        offset=page.offset,
        bytes=page.bytes,
        sha256=page.sha256,
        next_offset=UNSET if page.next_offset is None else page.next_offset,
    )
    yield Reply(payload, command.thread_id)


def switch_thread(command: messages.SwitchThread, request: CommandContext) -> Iterator[Reply]:
    """Follow this thread and no other; then replay what was missed of it, as `subscribe` does."""
    since = None if command.since is UNSET else command.since
    replies = resume(
        request.store,
        request.connection_id,
        command.thread_id,
        since,
        limits=request.limits,
        max_bytes=request.limits.replay_max_bytes,
        only=True,
    )
    first = next(replies)
    yield Reply(messages.ThreadSwitched(thread_id=command.thread_id))
    yield first
    yield from replies


def _before(cursor: str) -> int:
    """The newest seq of the page that a cursor asks for. Raises BadRequest."""
    if not cursor:
        return keys.LAST_SEQ
    if not (cursor.isascii() and cursor.isdigit() and 0 < int(cursor) <= keys.LAST_SEQ):
        raise BadRequest("invalid cursor: pass the cursor of the previous page unchanged", field="cursor")
    return int(cursor) - 1


def _info(thread: ThreadSummary) -> messages.ThreadInfo:
    return messages.ThreadInfo(
        thread_id=thread.thread_id,
        title=thread.title,
        metadata=dict(thread.metadata),
        created_at=thread.created_at,
        activity=thread.activity,
    )
