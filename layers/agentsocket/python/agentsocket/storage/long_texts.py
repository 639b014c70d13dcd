"""The texts of a thread's messages, kept to be read again a page at a time (data-model.md, Rows).

Every message of the transcript has a head. A short one's says where its line is; a long one's, which is written with
the text when the message is accepted or the answer ended, says what each of the text's own rows begins with. So a page
costs two reads, however long the text is. When a line is written is `thread_log.py`'s.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from boto3.dynamodb.conditions import Key
from msgspec import Struct

from agentsocket import encoded_text
from agentsocket.errors import BadRequest, NotFound
from agentsocket.limits import Limits
from agentsocket.storage import keys
from agentsocket.storage.table import Item, Operation, Table, put


class Line(Struct, frozen=True):
    """A message for the transcript. `truncated`: the whole is in CONTENT# rows already, `content` is its start."""

    message_id: str
    role: str
    content: str
    truncated: bool = False


class ContentPage(Struct, frozen=True):
    """A piece of a text from the character `offset` on; `next_offset` is None at the end.

    `bytes` (UTF-8) and `sha256` are those of the whole text.
    """

    content: str
    offset: int
    next_offset: int | None
    bytes: int
    sha256: str


class Contents:
    """The texts of one thread. `partition` is that of its log."""

    def __init__(self, table: Table, partition: str, *, limits: Limits) -> None:
        self._table = table
        self._partition = partition
        self._limits = limits

    def is_long(self, content: str) -> bool:
        """Whether a text has to have rows of its own."""
        return encoded_text.encoded_bytes(content) > self._limits.inline_content_bytes

    def keep(self, message_id: str, content: str) -> list[Operation]:
        """The writes that keep a long text whole, in items that DynamoDB takes."""
        pieces = encoded_text.pieces(content, self._limits.content_chunk_bytes)
        *starts, _ = accumulate(map(len, pieces), initial=0)
        head = {
            **keys.content_head(self._partition, message_id),
            **_measured(content),
            "starts": starts,
        }
        rows = [
            {**keys.content(self._partition, message_id, number), "content": piece}
            for number, piece in enumerate(pieces)
        ]
        return [put(row) for row in (head, *rows)]

    def transcribe(self, seq: int, line: Line) -> list[Operation]:
        """The writes that put a message into the transcript, and keep its text."""
        long = self.is_long(line.content)
        row = {
            **keys.message(self._partition, seq),
            "message_id": line.message_id,
            "role": line.role,
            "content": encoded_text.preview(line.content, self._limits.preview_bytes) if long else line.content,
            "truncated": line.truncated or long,
            "created_at": int(self._table.now() * 1000),
        }
        if line.truncated:
            return [put(row)]
        if long:
            return [put(row), *self.keep(line.message_id, line.content)]
        return [put(row), put({**keys.content_head(self._partition, line.message_id), "seq": seq})]

    def whole(self, message_id: str) -> str:
        """A long text, whole. Raises NotFound."""
        numbers = range(len(self._head(message_id)["starts"]))
        between = Key("SK").between(*keys.content_range(message_id, numbers[0], numbers[-1]))
        return "".join(row["content"] for row in self._table.query_all(self._partition, between))

    def page(self, message_id: str, offset: int) -> ContentPage:
        """A page of a message's text that one frame can carry. Raises NotFound, or BadRequest beyond the end."""
        head = self._head(message_id)
        if "seq" in head:
            text = self._row(keys.message(self._partition, head["seq"]))["content"]
            return self._page(text, 0, offset, _measured(text))
        number = bisect_right(head["starts"], offset) - 1
        text = self._row(keys.content(self._partition, message_id, number))["content"]
        return self._page(text, head["starts"][number], offset, head)

    def _page(self, text: str, start: int, offset: int, whole: Item) -> ContentPage:
        """What of `text`, whose first character is the `start`-th of the `whole`, comes at `offset`.

        At most to the end of `text`, however little that is: the next row is the next page's.
        """
        _require_within(offset, whole)
        shown = encoded_text.preview(text[offset - start :], self._limits.inline_content_bytes)
        end = offset + len(shown)
        return ContentPage(shown, offset, end if end < whole["characters"] else None, whole["bytes"], whole["sha256"])

    def _head(self, message_id: str) -> Item:
        return self._row(keys.content_head(self._partition, message_id))

    def _row(self, key: keys.Key) -> Item:
        row = self._table.get(key)
        if row is None:
            raise NotFound("no such message", field="message_id")
        return row


def _measured(text: str) -> Item:
    return {"characters": len(text), "bytes": len(text.encode()), "sha256": encoded_text.sha256(text)}


def _require_within(offset: int, whole: Item) -> None:
    if offset > whole["characters"]:
        raise BadRequest(f"offset {offset:,} is beyond the end ({whole['characters']:,} characters)", field="offset")
