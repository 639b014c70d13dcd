"""Every command line of a page is run, or says what it needs. Running them: `tests/integration/test_pages.py`."""

from __future__ import annotations

import re

import pytest

from agentsocket.__main__ import main as agentsocket
from authservice.__main__ import main as authservice
from tests.support.pages import ELSEWHERE, KINDS, MARKS, Block, blocks, commands, pages, prose
from tests.support.size_budget import ROOT

EVERY = [command for page in pages() for command in commands(page)]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) :=", MAKEFILE, re.MULTILINE))
LOOKS_LIKE_ONE = re.compile(r"(make|curl|pip|python3?|sam|aws|git|uv|docker|npm|pytest|\.ci/run|\.venv/\S+) ")
OPERATORS = {"agentsocket": agentsocket, "authservice": authservice}
_WORD = r" (?:--silent|[a-z-]+|[A-Z_]+=(?:'[^']*'|[^\s)]*))"
MAKE = re.compile(rf"\bmake((?:{_WORD})+)")


def test_a_command_is_found_with_its_continuation_and_without_its_comment():
    text = "# needs Docker, here\na \\\n  b |\n  c  # why\n"
    assert [(each.text, each.mark) for each in Block("page", "sh", text).commands()] == [("a  b | c", "needs Docker")]
    (ran, marked) = Block("page", "sh", "make x='# y' # z\nmake  # needs an AWS account: z\n").commands()
    assert (marked.mark, ran.mark) == ("needs an AWS account", "")
    assert [each.text for each in Block("page", "console", "$ make chat\nmake\n").commands()] == ["make chat"]
    assert list(Block("page", "python", "make chat\n").commands()) == []


@pytest.mark.parametrize("page", pages())
def test_a_block_says_what_it_is_and_hides_no_command(page):
    for block in blocks(page):
        assert block.kind in KINDS, block.text
        if block.kind != "sh":
            assert not [line for line in block.text.splitlines() if LOOKS_LIKE_ONE.match(line)], block.text


def test_there_are_commands_of_every_sort():
    assert {command.mark for command in EVERY} >= {"", *MARKS}
    assert sum(command.runs_here for command in EVERY) > 15


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_covered_elsewhere_stands_in_a_page_and_is_covered_there(command):
    assert command in {each.text for each in EVERY if not each.mark}
    where, _, what = ELSEWHERE[command].partition("::")
    text = (ROOT / where).read_text()
    wanted = rf"^(async )?def {what}\(" if where.endswith(".py") else rf"^(\s*- run: )?{re.escape(what)}$"
    assert re.search(wanted, text, re.MULTILINE), f"{where} does not run {command!r} as {what}"


@pytest.mark.parametrize("page", pages())
def test_what_make_is_told_is_in_the_makefile(page):
    typed = [command.text for command in commands(page)] + re.findall(r"`(make[^`]*)`", prose(page))
    for words in (found for line in typed for found in MAKE.findall(line)):
        for word in re.findall(_WORD, words):
            name, given, _ = word.strip().partition("=")
            assert name in VARIABLES if given else name in TARGETS | {"--silent"}, f"{page}: make{words}"


@pytest.mark.parametrize(
    "command", [each.text for each in EVERY if each.text.startswith("python -m ")], ids=lambda text: text.split()[3]
)
def test_an_operators_command_has_the_options_that_the_page_gives_it(command, capsys):
    _, _, package, name, *given = command.split()
    with pytest.raises(SystemExit) as end:
        OPERATORS[package]([name, "--help"])
    assert end.value.code == 0
    options = {word for word in given if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
