"""The table of docs/limits.md, written from `limits.py`: `make limits`. The comments there are the reasons here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from agentsocket.limits import DAY_S, KB, MINUTE_S, Limits

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limits.md"
BEGIN, END = "<!-- Written by `make limits` from limits.py: begin -->", "<!-- end -->"

_SECTION = re.compile(r"    # (?P<title>.*)")
_LIMIT = re.compile(r"    (?P<name>\w+): int = [^#]*(?:# (?P<why>.*))?")
_SCALES = {
    "_bytes": ((KB * KB, "MB"), (KB, "KB"), (1, "bytes")),
    "_ms": ((1000, "s"), (1, "ms")),
    "_s": ((DAY_S, "d"), (60 * MINUTE_S, "h"), (MINUTE_S, "min"), (1, "s")),
}
_RATES = {"_per_s": "a second", "_per_min": "a minute", "_per_day": "a day"}


def humane(name: str, value: int) -> str:
    """A limit's value as people say it; its name ends in its unit."""
    for ending, words in _RATES.items():
        if name.endswith(ending):
            return f"{value:,} {words}"
    if name.endswith("_cents"):
        return f"${value / 100:,.2f}"
    for ending, scales in _SCALES.items():
        if name.endswith(ending):
            size, unit = next((size, unit) for size, unit in scales if value % size == 0)
            return f"{value // size:,} {unit}"
    return f"{value:,}"


def table() -> str:
    """The table in Markdown: a line for each limit, grouped as in limits.py."""
    return "\n".join(["| limit | default | why |", "|---|---|---|", *_lines()])


def _lines() -> Iterator[str]:
    defaults, title = Limits(), ""
    for line in inspect.getsource(Limits).splitlines():
        if found := _LIMIT.fullmatch(line):
            if title:
                yield f"| **{title}** | | |"
                title = ""
            name = found["name"]
            yield f"| `{name}` | {_value(name, getattr(defaults, name))} | {(found['why'] or '').strip()} |"
        elif found := _SECTION.fullmatch(line):
            title = found["title"].rstrip(".")
        elif "AT_MOST" in line:
            return


def _value(name: str, default: int) -> str:
    bounds = [
        f"{words} {humane(name, bound[name])}"
        for words, bound in (("at least", Limits.AT_LEAST), ("at most", Limits.AT_MOST))
        if name in bound
    ]
    return "; ".join([humane(name, default), *bounds])


def rewritten(page: str) -> str:
    """The page with the table as it should be. Raises ValueError when it has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/limits.md has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
