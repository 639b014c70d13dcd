"""The default address of the examples is that of the local stack, as `make up` starts it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples.bot import LOCAL_STACK
from local.__main__ import DEFAULT_PORT
from local.stack import STAGE
from tests.template.reading import template

PAGE = Path(__file__).resolve().parents[2] / "examples" / "browser" / "index.html"


def test_the_local_stack_serves_the_stage_of_the_template() -> None:
    assert template()["Parameters"]["StageName"]["Default"] == STAGE


@pytest.mark.parametrize("address", [LOCAL_STACK, *re.findall(r'id="url"[^>]* value="([^"]*)"', PAGE.read_text())])
def test_an_example_connects_to_the_local_stack(address: str) -> None:
    stage = template()["Parameters"]["StageName"]["Default"]
    assert address == f"ws://localhost:{DEFAULT_PORT}/{stage}"


def test_the_page_has_one_address() -> None:
    assert PAGE.read_text().count("ws://") == 1
