"""What the functions log: each line's message is a stable key that an operator can alarm on (docs/operate.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.size_budget import ROOT

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
LOGGERS = {"logger", "_logger"}


def messages() -> Iterator[tuple[str, ast.expr]]:
    """The first argument of every call of a logger in what is deployed, and where it stands."""
    for path in sorted((ROOT / "layers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in LOGGERS:
                    yield f"{path.name}:{node.lineno}", node.args[0]


MESSAGES = list(messages())


@pytest.mark.parametrize(("where", "message"), MESSAGES, ids=[where for where, _ in MESSAGES])
def test_a_line_is_known_by_a_stable_key(where, message):
    """No sentence, and nothing of the moment in it: that stands in fields beside it."""
    assert isinstance(message, ast.Constant), where
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", str(message.value)), where


def test_there_are_lines_to_look_at():
    assert len(MESSAGES) > 15
