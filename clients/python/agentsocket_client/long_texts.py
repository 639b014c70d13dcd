"""Texts that no single frame holds: cut into parts on the way out, joined and checked on the way in. Pure."""

from __future__ import annotations

import hashlib
import json

from agentsocket_client.errors import CommandFailed, Damaged
from agentsocket_client.frames import Payload
from agentsocket_client.limits import Limits

_ENVELOPE_BYTES = 16 * 1024  # what may stand around a text in a frame: a context of 8 KB, ids, names


def parts(text: str, *, message_bytes: int, limits: Limits) -> list[str]:
    """`text` itself if a frame of `message_bytes` holds it, else its parts. Depends on nothing else: a retry is equal.

    Raises CommandFailed: `too_large` for what the server would not take, `bad_request` for what is no text.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise CommandFailed("bad_request", "the message holds half of a surrogate pair") from None
    room = message_bytes - min(_ENVELOPE_BYTES, message_bytes // 4)
    if _encoded_bytes(text) <= room:
        return [text]
    if size > limits.content_bytes:
        raise CommandFailed(
            "too_large", f"the message has {size:,} bytes; at most {limits.content_bytes:,} can be sent"
        )
    found, start = [], 0
    while start < len(text):
        end = _end(text, start, room, limits)
        found.append(text[start:end])
        start = end
    if len(found) > limits.parts:
        raise CommandFailed("too_large", f"the message takes {len(found)} parts; at most {limits.parts} can be sent")
    return found


def _end(text: str, start: int, room: int, limits: Limits) -> int:
    """The end of the longest part from `start` on, at least one character."""
    least, most = start + 1, min(len(text), start + limits.part_bytes)
    while least < most:
        middle = (least + most + 1) // 2
        part = text[start:middle]
        if len(part.encode()) <= limits.part_bytes and _encoded_bytes(part) <= room:
            least = middle
        else:
            most = middle - 1
    return least


def _encoded_bytes(text: str) -> int:
    """What `text` takes in a frame, where quotes and control characters are escaped."""
    return len(json.dumps(text, ensure_ascii=False).encode()) - 2


class Pages:
    """The pages of a `get_content`, in order, and the text they make."""

    def __init__(self) -> None:
        self.offset: int | None = 0  # of the page to ask for; None: all are here
        self._pages: list[str] = []
        self._whole: tuple[object, object] | None = None

    def add(self, page: Payload) -> None:
        """Take the payload of a `content`. Raises Damaged if it is not what the last one announced."""
        content, whole, following = (
            page.get("content"),
            (page.get("bytes"), page.get("sha256")),
            page.get("next_offset"),
        )
        if not isinstance(content, str) or page.get("offset") != self.offset or whole != (self._whole or whole):
            raise Damaged("the text has changed while it was read: read it again")
        if following is not None and (not content or following != page["offset"] + len(content)):
            raise Damaged("the pages of the text do not follow each other")
        self._pages.append(content)
        self._whole, self.offset = whole, following

    def text(self) -> str:
        """The whole text. Raises Damaged if its size or digest is not what the server says."""
        text = "".join(self._pages)
        data = text.encode()
        if (len(data), hashlib.sha256(data).hexdigest()) != self._whole:
            raise Damaged("the text is not what its digest says: read it again")
        return text
