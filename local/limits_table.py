"""The tables of docs/limits.md, from both `limits.py`: `make limits`. The comments there are the reasons here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from agentsocket.limits import DAY_S, KB, MINUTE_S, Limits
from authservice.limits import Limits as AuthLimits

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limits.md"
PLACES = {
    "<!-- Written by `make limits` from agentsocket/limits.py: begin -->": Limits,
    "<!-- Written by `make limits` from authservice/limits.py: begin -->": AuthLimits,
}
END = "<!-- end -->"

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


def table(limits: type[Limits | AuthLimits]) -> str:
    """The table in Markdown: a line for each limit, grouped as in its limits.py."""
    return "\n".join(["| limit | default | why |", "|---|---|---|", *_lines(limits)])


def _lines(limits: type[Limits | AuthLimits]) -> Iterator[str]:
    defaults, title = limits(), ""
    for line in inspect.getsource(limits).splitlines():
        if found := _LIMIT.fullmatch(line):
            if title:
                yield f"| **{title}** | | |"
                title = ""
            name = found["name"]
            yield f"| `{name}` | {_value(limits, name, getattr(defaults, name))} | {(found['why'] or '').strip()} |"
        elif found := _SECTION.fullmatch(line):
            title = found["title"].rstrip(".")
        elif "AT_MOST" in line:
            return


def _value(limits: type[Limits | AuthLimits], name: str, default: int) -> str:
    bounds = [
        f"{words} {humane(name, bound[name])}"
        for words, bound in (("at least", getattr(limits, "AT_LEAST", {})), ("at most", limits.AT_MOST))
        if name in bound
    ]
    return "; ".join([humane(name, default), *bounds])


def rewritten(page: str) -> str:
    """The page with the tables as they should be. Raises ValueError when it has no place for one."""
    for place, limits in PLACES.items():
        before, begin, rest = page.partition(place)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"docs/limits.md has no {place} … {END}")
        page = f"{before}{place}\n{table(limits)}\n{END}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
