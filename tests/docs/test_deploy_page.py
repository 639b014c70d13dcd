"""The table of parameters in docs/deploy.md is what template.yaml says."""

from __future__ import annotations

import re

from tests.support.pages import text
from tests.template.reading import template

_SECTION = text("docs/deploy.md").partition("\n## Parameters\n")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`|empty) \| (.+) \|$", _SECTION, re.MULTILINE)


def test_every_parameter_has_its_row_and_no_row_is_invented():
    assert [name for name, _, _ in ROWS] == list(template()["Parameters"])


def test_every_default_is_the_templates():
    defaults = {name: str(parameter["Default"]) for name, parameter in template()["Parameters"].items()}
    assert {name: default for name, default, _ in ROWS} == defaults


def test_no_line_of_the_table_escapes_the_comparison():
    lines = [line for line in _SECTION.splitlines() if line.startswith("|")]
    assert len(lines) == len(ROWS) + 2
