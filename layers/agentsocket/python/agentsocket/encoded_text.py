"""Text measured as it travels: previews, pieces and digests that never cut a character in two. Pure."""

from __future__ import annotations

import hashlib

import msgspec


def encoded_bytes(text: str) -> int:
    """How many bytes `text` takes in a frame: UTF-8 with JSON's escapes, which may be six times its characters."""
    return len(msgspec.json.encode(text)) - 2


def preview(text: str, max_bytes: int) -> str:
    """The start of `text` that takes at most `max_bytes` in a frame."""
    start = text.encode()[:max_bytes].decode(errors="ignore")
    while encoded_bytes(start) > max_bytes:
        start = start[: len(start) * max_bytes // encoded_bytes(start)]
    return start


def pieces(text: str, max_bytes: int) -> list[str]:
    """`text` cut into parts of at most `max_bytes` in a frame each; joined they are `text` again."""
    if encoded_bytes(text) <= max_bytes:
        return [text]
    middle = len(text) // 2
    return pieces(text[:middle], max_bytes) + pieces(text[middle:], max_bytes)


def sha256(text: str) -> str:
    """The digest that clients check long content by, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
