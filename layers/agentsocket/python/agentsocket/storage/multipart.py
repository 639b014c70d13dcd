"""A message on its way in: whole, or in parts that wait here until all have come (delivery.md, Parts).

One row per user, UPLOADS, knows which uploads are open and which parts have come: it bounds them, however many
requests come at once. A part's own row is written before it is noted there, so that a noted part is there; whoever
dies in between is healed by the client's retry. What is accepted in the end is `runs.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.conditions import Attr
from msgspec import Struct
from msgspec.structs import replace

from agentsocket import encoded_text, ids, wording
from agentsocket.errors import Busy, ConditionFailed, IdempotencyConflict, TooLarge, Unavailable
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.connections import Connections
from agentsocket.storage.rows import Run
from agentsocket.storage.table import ABSENT, Item, Path, Table, put, update

_logger = logging.getLogger("agentsocket.storage.multipart")
_TRIES = 5  # of a request that always finds another one's write in its way


class NewMessage(Struct, frozen=True):
    """A message to accept. `thread_id` is None for a new thread; `context` is JSON text.

    `part_digests` are those of the parts that it came in, if it did.
    """

    message_id: str
    content: str
    thread_id: str | None
    connection_id: str
    agent: str
    context: str
    part_digests: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What makes two messages the same one."""
        return encoded_text.sha256("\x00".join((self.content, self.agent, self.context)))


class Part(Struct, frozen=True):
    """The part `number` of `parts` of a message; `message.content` is the part's own text."""

    message: NewMessage
    number: int
    parts: int

    @property
    def digest(self) -> str:
        """What makes two texts of one part the same."""
        return _short(self.message.content)

    @property
    def common(self) -> str:
        """What has to be the same in all parts of a message."""
        message = self.message
        return _short("\x00".join((message.thread_id or "", message.agent, message.context, str(self.parts))))


class PartResult(Struct, frozen=True):
    """What a part has led to: the `missing` ones, or the whole `message`, or its `run`, accepted before."""

    missing: tuple[int, ...] = ()
    message: NewMessage | None = None
    run: Run | None = None


class Uploads:
    """One user's messages that arrive in parts."""

    def __init__(self, table: Table, user_id: str, connections: Connections, *, limits: Limits) -> None:
        self._table = table
        self._user_id = user_id
        self._connections = connections
        self._limits = limits

    def add(self, part: Part) -> PartResult:
        """Keep a part, unless it is kept already. Safe to repeat.

        Raises IdempotencyConflict when it contradicts what came before, TooLarge, Busy when too many messages are
        under way, Unavailable, or Disconnect for a connection that may do nothing.
        """
        size = len(part.message.content.encode())
        if size > self._limits.max_part_bytes:
            raise TooLarge(wording.too_large("part", size, self._limits.max_part_bytes), field="content")
        for _ in range(_TRIES):
            run, row = self._found(part)
            if run is not None:
                if part.message.message_id in (row or {}).get("open", {}):
                    self.close(part.message.message_id)
                return PartResult(run=run)
            upload = self._opened(part, row)
            self._require_room(part, size, upload)
            self._keep(part, upload)
            here = self._note(part, size, upload)
            if here is not None:
                missing = tuple(number for number in range(1, part.parts + 1) if str(number) not in here)
                return PartResult(missing=missing) if missing else self._joined(part, upload)
        raise Unavailable("a concurrent request used the same message_id; retry")

    def close(self, message_id: str) -> None:
        """The message has been accepted: its place is another's. Best effort; the upload's end is the guarantee.

        The parts' rows are left to TTL, which deletes them for nothing; a delete would cost as much as the write.
        """
        there = Attr(f"open.{message_id}").exists()
        try:
            self._table.write(update(keys.uploads(self._user_id), sets={}, removes=[("open", message_id)], when=there))
        except ConditionFailed:
            return
        except Unavailable:
            _logger.warning("upload_not_closed", extra={"message_id": message_id})

    def _found(self, part: Part) -> tuple[Run | None, Item | None]:
        """The run of a message that these parts made, and what is under way: one read."""
        message = part.message
        wanted = self._connections.admission(message.connection_id)
        run_key = keys.run(self._user_id, ids.run_id(self._user_id, message.message_id))
        *admission, run, row = self._table.get_many(*wanted, run_key, keys.uploads(self._user_id))
        self._connections.admit(admission)
        digests = run.get("part_digests", ()) if run else ()
        if run is None or len(digests) != part.parts:  # split otherwise, it is gathered anew, and compared as a whole
            return None, row
        found = Run.of(run)
        same = digests[part.number - 1] == part.digest and (found.agent, found.context) == (
            message.agent,
            message.context,
        )
        if not same or message.thread_id not in (None, found.thread_id):
            raise message_id_used()
        return found, row

    def _opened(self, part: Part, row: Item | None) -> Item:
        """The upload of this message, opened if it is not; `row` is UPLOADS as it was read."""
        message_id = part.message.message_id
        for _ in range(_TRIES):
            now = int(self._table.now())
            under_way: dict[str, Item] = row["open"] if row else {}
            open_ = {name: upload for name, upload in under_way.items() if upload["until"] > now}
            if message_id in open_:
                if open_[message_id]["common"] != part.common:
                    raise message_id_used()
                return open_[message_id]
            if len(open_) >= self._limits.max_uploads:
                soonest = min(upload["until"] for upload in open_.values())
                wait_ms = (soonest - now) * 1000
                raise Busy(
                    f"{len(open_)} messages are already arriving in parts; {wording.retry(wait_ms)}",
                    retry_after_ms=wait_ms,
                )
            until = now + self._limits.upload_row_s
            mine = {"id": self._new_id(), "common": part.common, "until": until, "parts": {}}
            try:
                self._write_opened(message_id, mine, row, kept=open_)
            except ConditionFailed as failed:  # another's write; or my own, whose answer was lost; or a row of long ago
                row = failed.row
            else:
                return mine
        raise Unavailable("concurrent requests began other messages; retry")

    def _write_opened(self, message_id: str, mine: Item, row: Item | None, *, kept: Mapping[str, Item]) -> None:
        key, revision, expiry = keys.uploads(self._user_id), mine["id"], mine["until"]
        if row is None:
            fresh = {**key, "revision": revision, "open": {message_id: mine}, "expires_at": expiry}
            self._table.write(put(fresh, when=ABSENT))
            return
        ended = [("open", name) for name in row["open"].keys() - kept.keys() - {message_id}]
        unchanged = Attr("revision").eq(row["revision"])
        sets: dict[Path, Any] = {("open", message_id): mine, "revision": revision, "expires_at": expiry}
        self._table.write(update(key, sets=sets, removes=ended, when=unchanged))

    def _require_room(self, part: Part, size: int, upload: Item) -> None:
        others = sum(received for number, received in upload["parts"].items() if number != str(part.number))
        if others + size > self._limits.max_content_bytes:
            raise self._too_large(others + size)

    def _keep(self, part: Part, upload: Item) -> None:
        row = {
            **keys.part(self._user_id, part.message.message_id, part.number),
            "upload": upload["id"],
            "digest": part.digest,
            "content": part.message.content,
            "expires_at": upload["until"],
        }
        try:
            self._table.write(put(row, when=ABSENT | Attr("upload").ne(upload["id"])))
        except ConditionFailed as failed:
            if failed.row is None or failed.row["digest"] != part.digest:
                raise message_id_used() from None

    def _note(self, part: Part, size: int, upload: Item) -> Mapping[str, int] | None:
        """The sizes of the parts that are here, this one among them; None when the upload is over."""
        path = ("open", part.message.message_id)
        going_on = Attr(f"open.{part.message.message_id}.id").eq(upload["id"])
        noted = update(keys.uploads(self._user_id), sets={(*path, "parts", str(part.number)): size}, when=going_on)
        try:
            row = self._table.write(noted, returning="ALL_NEW")
        except ConditionFailed:
            return None
        here: Mapping[str, int] = row["open"][part.message.message_id]["parts"]
        return here

    def _joined(self, part: Part, upload: Item) -> PartResult:
        """The whole message, or what is missing of it when its rows have just expired."""
        message_id, numbers = part.message.message_id, range(1, part.parts + 1)
        rows = self._table.get_many(*(keys.part(self._user_id, message_id, number) for number in numbers))
        found = [row for row in rows if row is not None and row["upload"] == upload["id"]]
        if len(found) < part.parts:
            here = {int(row["SK"].rpartition("#")[2]) for row in found}
            return PartResult(missing=tuple(sorted(set(numbers) - here)))
        content = "".join(row["content"] for row in found)
        size = len(content.encode())
        if size > self._limits.max_content_bytes:
            self.close(message_id)
            raise self._too_large(size)
        digests = tuple(row["digest"] for row in found)
        return PartResult(message=replace(part.message, content=content, part_digests=digests))

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(wording.too_large("message", size, self._limits.max_content_bytes), field="content")

    def _new_id(self) -> str:
        return ids.new(self._table.now())


def message_id_used() -> IdempotencyConflict:
    """Another message has this message_id."""
    return IdempotencyConflict(
        "this message_id was used with another content, thread, agent or context; use a new message_id",
        field="message_id",
    )


def _short(text: str) -> str:
    """Half a SHA-256: 40 of them stay small, and they keep no secret."""
    return encoded_text.sha256(text)[:32]
