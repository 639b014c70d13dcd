"""Links between pages lead somewhere, and docs/README.md leads to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.pages import anchors, pages, prose
from tests.support.size_budget import ROOT

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.parametrize("page", pages())
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page):
    for target, anchor in _LINK.findall(prose(page)):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in anchors(str(path.resolve().relative_to(ROOT))), f"{page} links to {target}#{anchor}"


def test_every_page_of_the_documentation_is_in_its_index():
    listed = {target for target, _ in _LINK.findall(prose("docs/README.md"))}
    pages_there = {Path(page).name for page in pages() if page.startswith("docs/")} - {"README.md"}
    assert pages_there <= listed


def test_the_readme_takes_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
