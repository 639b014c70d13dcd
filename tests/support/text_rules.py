"""The rule that every error text is held against: in plain words, on one line, and of nobody's library."""

from __future__ import annotations

import re

MAX_TEXT = 160
# Words of msgspec, botocore and Python that a person should not meet in a text of ours.
FOREIGN = (
    "Expected",
    "Expecting",
    "Object",
    "Invalid",
    "An error occurred",
    "botocore",
    "boto3",
    "msgspec",
    "NoneType",
    "NoneValue",
    "None",
    "Traceback",
    "Exception(",
    "Error(",
    "int64",
    "dict",
    "struct",
    "str",
    "got",
    "regex",
    "enum",
    "object at 0x",
)
_FOREIGN = re.compile("|".join(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])" for word in FOREIGN))
# Riddles: what a reader cannot act on (house.md, section 4).
_RIDDLES = re.compile(
    r"may have [\d{]|wait a little|met another one|stands? in the path|this path takes its|everyone reads alike"
    r"|no such page|ends before that|come together|since, and end later|wait for their run|does not answer$"
    r"|on our side|no such agent|is at it"
)


def faults(text: str) -> list[str]:
    """What is wrong with a text; empty when it may be shown."""
    found = [f"says {word.group()!r}" for word in _FOREIGN.finditer(text)]
    found += [f"is a riddle: {word.group()!r}" for word in _RIDDLES.finditer(text)]
    if not 8 <= len(text) <= MAX_TEXT:
        found.append(f"is {len(text)} characters")
    if not text.isprintable():
        found.append("is not one line of printable text")
    if text.endswith((".", "!", " ", ":")) or "  " in text:
        found.append("ends or is spaced wrongly")
    return found


def bare(field: str) -> str:
    """A field's own name: of `payload.resume[0].seq` it is `seq`."""
    return re.sub(r"\[\d+\]", "", field).rpartition(".")[2]
