"""What the functions log: each line's message is a stable key that an operator can alarm on (docs/operate.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.size_budget import ROOT

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"logger", "_logger"}


def messages() -> Iterator[tuple[str, str, ast.expr]]:
    """Every call of a logger in what is deployed: where it stands, its level, and its first argument."""
    for path in sorted((ROOT / "layers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in LOGGERS:
                    yield f"{path.name}:{node.lineno}", node.func.attr, node.args[0]


MESSAGES = list(messages())


@pytest.mark.parametrize(("where", "level", "message"), MESSAGES, ids=[where for where, _, _ in MESSAGES])
def test_a_line_is_known_by_a_stable_key(where, level, message):
    """No sentence, and nothing of the moment in it: that stands in fields beside it."""
    assert isinstance(message, ast.Constant), where
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", str(message.value)), where


def test_the_operator_s_page_lists_every_key_with_its_level():
    page = (ROOT / "docs" / "operate.md").read_text()
    section = page.partition("\n## Log events\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
    assert set(listed) == {
        (message.value, level) for _, level, message in MESSAGES if isinstance(message, ast.Constant)
    }
    assert len(set(listed)) == len(listed)
    assert listed == sorted(listed), "in the order of the alphabet"


def test_there_are_lines_to_look_at():
    assert len(MESSAGES) > 15
