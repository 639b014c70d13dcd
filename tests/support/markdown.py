"""Markdown pages as far as tests read them: prose, sentences, tables, code blocks and headings. Pure.

A heading, a list item, a table, a code block and an empty line each end a sentence, besides `.`, `!` and `?`. A code
span, and a link's address, count as one word and as none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = "```"
_HEADING = re.compile(r"#{1,6} +(.*)")
_ITEM = re.compile(r"\s*(?:>\s*)*(?:[-*+]|\d+[.)])\s+")
_CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_END = re.compile(r"[.!?\u2026][\"'\u201d\u2019)\]*_]*(?=\s|$)")
_NEVER_LAST = frozenset({"e.g.", "i.e.", "cf.", "vs.", "no.", "fig.", "approx.", "ca."})
_SOMETIMES_LAST = frozenset({"etc.", "al."})  # last where a capital follows


def prose(page: str) -> Iterator[tuple[int, str]]:
    """The lines outside tables, code blocks and comments, with their numbers from 1. Ended blocks leave empty lines."""
    in_code = False
    blank = _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), page)
    for number, line in enumerate(blank.split("\n"), start=1):
        fence = line.lstrip().startswith(_FENCE)
        in_code ^= fence
        yield number, "" if fence or in_code or line.lstrip().startswith("|") else line


def sentences(page: str) -> Iterator[tuple[int, str]]:
    """Every sentence outside tables and code blocks, with the number of the line that its paragraph begins in."""
    for number, paragraph in _paragraphs(page):
        text = _LINK.sub(r"\1", _CODE_SPAN.sub("CODE", paragraph))
        yield from ((number, sentence) for sentence in split(text))


def split(text: str) -> list[str]:
    """The sentences of one paragraph."""
    found, start = [], 0
    for end in _END.finditer(text):
        if _is_last(text[start : end.end()].split()[-1], text[end.end() :].lstrip()):
            found.append(text[start : end.end()].strip())
            start = end.end()
    rest = text[start:].strip()
    return [*found, *([rest] if rest else [])]


def words(sentence: str) -> list[str]:
    """What counts as a word: dashes, dots and arrows between words do not."""
    return [word for word in sentence.split() if any(character.isalnum() for character in word)]


def headings(page: str) -> list[str]:
    """The texts of all headings, without code marks."""
    found = (_HEADING.fullmatch(line) for _, line in prose(page))
    return [heading[1].replace("`", "").strip() for heading in found if heading]


def tables(page: str, heading: str) -> list[list[list[str]]]:
    """The tables below a heading, down to the next one: rows of cells, without the head."""
    _, found, rest = page.partition(f"\n{heading}\n")
    if not found:
        raise LookupError(f"no heading {heading!r}")
    section = re.split(r"\n#{1,6} ", rest)[0]
    blocks = re.findall(r"(?:^\|.*\n)+", section + "\n", re.MULTILINE)
    return [[_cells(row) for row in block.splitlines()[2:]] for block in blocks]


def code_blocks(page: str, language: str) -> list[str]:
    """The code blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def code_spans(page: str) -> list[str]:
    """What stands between single backticks outside code blocks, tables included."""
    without_blocks = re.sub(r"(?ms)^\s*```.*?^\s*```$", "", page)
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", without_blocks)


def _paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """Lines that belong together, joined. A heading and a list item begin one of their own."""
    begun, lines = 0, list[str]()
    for number, line in [*prose(page), (0, "")]:
        heading, item = _HEADING.fullmatch(line), _ITEM.match(line)
        if lines and (heading or item or not line.strip()):
            yield begun, " ".join(lines)
            lines = []
        if heading:
            yield number, heading[1]
        elif line.strip():
            begun = begun if lines else number
            lines.append(line[item.end() if item else 0 :].strip().lstrip("> "))


def _is_last(word: str, rest: str) -> bool:
    """Whether the end of this word ends the sentence, where `rest` follows."""
    bare = word.lstrip("([\"'*_\u201c\u2018").lower()
    if bare in _NEVER_LAST:
        return False
    return bare not in _SOMETIMES_LAST or not rest or rest[0].isupper()


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]
