"""The pages that people read, as data: headings, fenced blocks, and the command lines in them.

A `sh` block is commands to type; in a `console` block they stand after `$ ` and their output below. What cannot run
here says so where a reader sees it: in a comment that begins with one of MARKS, on the command's line or at the
block's head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.support import markdown
from tests.support.size_budget import ROOT

FOLDERS = (".", "docs", "clients/python", "examples")
MARKS = ("needs an AWS account", "needs Docker", "needs a quiet machine")
KINDS = {"", "sh", "console", "python", "json", "mermaid", "text", "html"}
PROMPT = "$ "

BOT = "tests/integration/test_examples.py::test_the_bot_is_started_as_its_readme_says"
NAMED_AGENT = "tests/integration/test_examples.py::test_the_bot_asks_the_agent_that_it_is_given"
BROWSER = (
    "tests/integration/test_examples.py::test_the_page_is_served_from_the_origin_that_its_readme_has_the_stack_allow"
)

# Word for word what stands in a page: which test, or which step of CI, runs it in another way than as it stands.
ELSEWHERE = {
    "make up": "tests/local/test_stack.py::test_a_stack_writes_down_how_it_is_reached_and_forgets_it_when_interrupted",
    "make up PORT=8090": "tests/local/test_stack.py::test_two_stacks_run_side_by_side_and_a_token_is_for_the_one_that"
    "_is_named",
    "make up LIMITS='{\"token_grace_s\": 5}'": "tests/integration/conftest.py::strict",
    "make up LIMITS='{\"commands_per_s\": 50}'": "tests/integration/conftest.py::strict",
    'make up PARAMETERS=\'{"Introspection": "all"}\'': "tests/integration/conftest.py::strict",
    "make erase-user USER=ada": "tests/integration/test_erasing_a_user.py::test_who_comes_back_finds_nothing_of_before",
    "pip install ./clients/python": "tests/project/test_packages.py"
    "::test_the_client_works_in_an_environment_of_its_own",
    "bash .ci/run": ".github/workflows/ci.yml::bash .ci/run",
    ".venv/bin/python -m pytest -n0 tests/unit -q": ".ci/run::make test",
    "make simulate N=1000": ".ci/run::make simulate N=5000",
    "export AGENTSOCKET_TOKEN=$(make --silent token USER=ada)": BOT,
    ".venv/bin/python examples/bot.py hello": BOT,
    ".venv/bin/python examples/bot.py hello parrot": NAMED_AGENT,
    'make up PARAMETERS=\'{"AllowedOrigins": "http://localhost:8000"}\'': BROWSER,
    "python3 -m http.server 8000 --bind 127.0.0.1 --directory examples/browser": BROWSER,
    "cp examples/echo_agent.py layers/agentsocket/python/agentsocket/agents/": "tests/project/test_echo_agent.py"
    "::test_it_is_in_the_catalog_once_its_readme_is_followed",
    "make limits": "tests/local/test_limits_table.py::test_the_page_has_every_limit_as_it_is",
    "make test": ".ci/run::make test",
    "make lint": ".ci/run::make lint",
    "make simulate N=5000 SEED=0": ".ci/run::make simulate N=5000",
}

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"(?:^|\s)#\s.*")
_CONTINUED = re.compile(r"\\\n\s*|(?<=\|)\n\s*")


@dataclass(frozen=True)
class Command:
    """One command line of a page, its continuation joined and its comment cut off. `mark`: why it does not run here."""

    page: str
    text: str
    mark: str

    @property
    def runs_here(self) -> bool:
        return not self.mark and self.text not in ELSEWHERE


@dataclass(frozen=True)
class Block:
    """One fenced block: its page, what its fence says it is, and its text."""

    page: str
    kind: str
    text: str

    def commands(self) -> Iterator[Command]:
        """What a reader would type."""
        if self.kind not in {"sh", "console"}:
            return
        lines = _CONTINUED.sub(" ", self.text).splitlines()
        if self.kind == "console":
            lines = [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
        at_the_head = _mark(lines[0]) if lines and lines[0].startswith("#") else ""
        for line in lines:
            if text := _COMMENT.sub("", line).strip():
                yield Command(self.page, text, at_the_head or _mark(line))


def _mark(line: str) -> str:
    comment = _COMMENT.search(line)
    said = comment[0].strip().removeprefix("#").strip() if comment else ""
    return next((mark for mark in MARKS if said.startswith(mark)), "")


@cache
def pages() -> tuple[str, ...]:
    """Every page, by its path from the root."""
    found = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]
    return tuple(str(path.relative_to(ROOT)) for path in found)


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The fenced blocks of a page."""
    return tuple(Block(page, kind.strip(), body) for _, kind, body in _FENCE.findall(text(page)))


@cache
def commands(page: str) -> tuple[Command, ...]:
    """The command lines of a page, in their order."""
    return tuple(command for block in blocks(page) for command in block.commands())


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text(page))


def anchors(page: str) -> set[str]:
    """Where links into a page may lead: its headings, as GitHub names them."""
    headings = markdown.headings(text(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
