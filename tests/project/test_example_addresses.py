"""The default address of the examples, and of the client's readme, is that of the local stack."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.bot import LOCAL_STACK
from local.__main__ import DEFAULT_PORT
from local.stack import STAGE
from tests.template.reading import template

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "examples" / "browser" / "index.html").read_text()
README = (ROOT / "clients" / "python" / "README.md").read_text()
WRITTEN = [*re.findall(r'id="url"[^>]* value="([^"]*)"', PAGE), *re.findall(r'"(ws://[^"]*)"', README)]


def test_the_local_stack_serves_the_stage_of_the_template() -> None:
    assert template()["Parameters"]["StageName"]["Default"] == STAGE


@pytest.mark.parametrize("address", [LOCAL_STACK, *WRITTEN])
def test_an_example_connects_to_the_local_stack(address: str) -> None:
    stage = template()["Parameters"]["StageName"]["Default"]
    assert address == f"ws://localhost:{DEFAULT_PORT}/{stage}"


def test_the_page_and_the_readme_have_one_address_each() -> None:
    assert len(WRITTEN) == PAGE.count("ws://") + README.count("ws://") == 2
