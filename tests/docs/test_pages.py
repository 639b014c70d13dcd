"""The pages of the documentation, read by people in one sitting and held against the tree: words, tables, diagrams."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import markdown
from tests.support.size_budget import ROOT

LAYERS = ROOT / "layers"
AGENTSOCKET = LAYERS / "agentsocket" / "python" / "agentsocket"
AUTHSERVICE = LAYERS / "authservice" / "python" / "authservice"
LAMBDAKIT = LAYERS / "lambdakit" / "python" / "lambdakit"
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "clients/*/*.md", "examples/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for page in ROOT.glob(pattern)
)
MAX_WORDS = 40
MAX_CHARACTERS = 120


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_sentence_has_at_most_forty_words(page):
    found = markdown.sentences(page.read_text())
    assert not [
        f"line {number}: {len(markdown.words(sentence))} words: {sentence}"
        for number, sentence in found
        if len(markdown.words(sentence)) > MAX_WORDS
    ]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_line_has_at_most_120_characters(page):
    lines = markdown.prose(page.read_text())
    assert not [f"line {number}: {len(line)}" for number, line in lines if len(line) > MAX_CHARACTERS]


def test_the_pages_are_found():
    assert {"README.md", "docs/architecture.md", "docs/delivery.md", "clients/python/README.md"} <= set(
        map(name, PAGES)
    )


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("One\nsentence.", ["One sentence."]),
        ("A paragraph\n\nand another", ["A paragraph", "and another"]),
        ("# A heading\nand text", ["A heading", "and text"]),
        ("An intro:\n- an item\n  goes on\n- another\n1. third\n12) fourth",
         ["An intro:", "an item goes on", "another", "third", "fourth"]),
        ("Some, e.g. this, i.e. that. And (cf. RFC 1) more.", ["Some, e.g. this, i.e. that.", "And (cf. RFC 1) more."]),
        ("Rows, etc. are here. Rows, etc. They stay.", ["Rows, etc. are here.", "Rows, etc.", "They stay."]),
        ("Version 1.2 of `a. b` costs 0.5 s. Next.", ["Version 1.2 of CODE costs 0.5 s.", "Next."]),
        ("**Bold.** *Slanted.* (And this.) “Said.” End", ["**Bold.**", "*Slanted.*", "(And this.)", "“Said.”", "End"]),
        ("See [the page. Here](a.md#b.c). Done.", ["See the page.", "Here.", "Done."]),
        ("Before\n| a | row. |\n|---|---|\n| b | c |\nafter", ["Before", "after"]),
        ("Before\n```\ncode. More.\n```\nafter", ["Before", "after"]),
        ("Before\n  ```python\n  code.\n  ```\nafter", ["Before", "after"]),
        ("Before <!-- a. b\n. c --> after", ["Before after"]),
        ("> Quoted one.\n> Quoted two.", ["Quoted one.", "Quoted two."]),
        ("The end of ``a ` b``. Next", ["The end of CODE.", "Next"]),
        ("a: b; c — d · e", ["a: b; c — d · e"]),
    ],
)  # fmt: skip
def test_sentences_end_where_readers_see_them_end(page, expected):
    assert [sentence for _, sentence in markdown.sentences(page)] == expected


@pytest.mark.parametrize(
    ("sentence", "count"),
    [("one two", 2), ("one — two · three → four", 4), ("CODE, and (more)", 3), ("50/s at 0.5 = cost", 4), ("", 0)],
)
def test_words_are_what_is_read(sentence, count):
    assert len(markdown.words(sentence)) == count


def test_a_sentence_is_reported_by_its_line():
    assert list(markdown.sentences("# One\n\ntwo\nthree. Four.\n- five")) == [
        (1, "One"), (3, "two three."), (3, "Four."), (5, "five"),
    ]  # fmt: skip


# Links and citations.

CITED = re.compile(r"(\w[\w-]*\.md)(?:\]\([^)]*\))?,\s+([A-Z][^]).;:,|\"'`]*)")
CITING = [
    *(path for folder in ("layers", "functions", "local", "clients", "tests", "benchmarks")
      for path in sorted((ROOT / folder).rglob("*.py")) if "site-packages" not in path.parts),
    ROOT / "template.yaml",
    *PAGES,
]  # fmt: skip


def chapters_cited(path: Path) -> set[tuple[str, str]]:
    """The chapters of docs/ that a file names, as in "(delivery.md, Parts)"."""
    found = CITED.findall(re.sub(r"\s*\n\s*(?:# )?", " ", path.read_text()))
    return {(page, chapter.strip()) for page, chapter in found if (ROOT / "docs" / page).exists()}


def test_a_chapter_that_is_cited_exists():
    unknown = []
    for path in CITING:
        for page, chapter in chapters_cited(path):
            known = {*markdown.headings(read(page))}
            if chapter not in known and not set(chapter.split(" and ")) <= known:
                unknown.append(f"{name(path)}: {page}, {chapter}")
    assert unknown == []


def test_citations_are_found():
    assert ("delivery.md", "Revoke") in chapters_cited(AUTHSERVICE / "__init__.py")
    assert ("delivery.md", "Cursors") in chapters_cited(ROOT / "docs" / "protocol.md")


DESIGN = ["architecture.md", "data-model.md", "delivery.md", "protocol.md", "scenarios.md", "security.md"]
PATH = re.compile(r"[\w./-]+\.(?:py|md|json|yaml)|(?:functions|layers|local|tests|clients|benchmarks|events)/[\w./-]*")


@pytest.mark.parametrize("page", DESIGN)
def test_a_file_that_the_design_names_is_there(page):
    named = {span for span in markdown.code_spans(read(page)) if PATH.fullmatch(span)}
    assert not [path for path in named if not any((root / path).exists() for root in (ROOT, AGENTSOCKET, AUTHSERVICE))]


# Tables and diagrams, against the code.

MODULES = "## Folders and modules"


def modules_named(rows: list[list[str]]) -> dict[str, set[str]]:
    """Folder to modules, as a table of architecture.md has them. An item begins with the names of its modules."""
    found = {}
    for folder, _, cell in rows:
        items = (re.match(r"`\w+`(?:, `\w+`)*", item) for item in cell.split(" · "))
        found[folder.strip("`")] = {module for item in items if item for module in re.findall(r"\w+", item[0])}
    return found


def modules_there(package: Path) -> dict[str, set[str]]:
    """Folder to modules, as the tree has them. An `__init__` is its folder's."""
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        if path.stem != "__init__":
            folder = "root" if path.parent == package else f"{path.parent.relative_to(package)}/"
            found.setdefault(folder, set()).add(path.stem)
    return found


@pytest.mark.parametrize(
    ("number", "package"),
    [(0, AGENTSOCKET), (1, AUTHSERVICE), (2, LAMBDAKIT)],
    ids=["agentsocket", "authservice", "lambdakit"],
)
def test_every_module_is_named_in_its_folders_row(number, package):
    named = modules_named(markdown.tables(read("architecture.md"), MODULES)[number])
    assert named == modules_there(package)


def test_the_import_rule_is_the_one_that_is_enforced():
    from tests.test_architecture import LEAVES, MAY_IMPORT, ROOT_MODULES

    page = read("architecture.md")
    [rows] = markdown.tables(page, "## Who may import whom")
    [leaves] = re.findall(r"the leaves of the root: (.*?)\.\s", page, re.DOTALL)
    told = {room.strip("`"): set(re.findall(r"\w+", allowed)) for room, allowed in rows}
    assert told == {room: allowed for room, allowed in (MAY_IMPORT | ROOT_MODULES).items() if room not in LEAVES}
    assert set(re.findall(r"`(\w+)`", leaves)) == LEAVES


def test_the_diagram_of_a_runs_states_is_the_table_of_the_code():
    from agentsocket.storage.run_states import NEXT, TERMINAL

    [diagram] = [block for block in markdown.code_blocks(read("delivery.md"), "mermaid") if "stateDiagram" in block]
    arrows = re.findall(r"(\S+) --> (\w+|\[\*\])", diagram)
    drawn = {(before, after) for before, after in arrows if "[*]" not in (before, after)}
    assert drawn == {(before, after) for before, following in NEXT.items() for after in following}
    assert {before for before, after in arrows if after == "[*]"} == TERMINAL
    assert [after for before, after in arrows if before == "[*]"] == ["accepted"]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_sequence_diagram_has_no_character_that_ends_its_text(page):
    """In Mermaid's grammar `#` begins a comment and `;` a statement."""
    diagrams = markdown.code_blocks(page.read_text(), "mermaid")
    lines = [line for diagram in diagrams if "sequenceDiagram" in diagram for line in diagram.split("\n")]
    assert not [line for line in lines if set(line) & set("#;")]


def test_every_scenario_is_named_by_a_test_or_said_to_be_unbuilt():
    page = read("scenarios.md")
    listed = re.findall(r"^\| ([A-L]\d) \|", page, re.MULTILINE)
    [unbuilt] = re.findall(r"Not built yet.*?: (.*?)\.", page)
    tests = " ".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    named = set(re.findall(r"\b[A-L]\d\b", tests))
    assert len(set(listed)) == len(listed)
    assert named <= set(listed)
    assert set(listed) - named == set(unbuilt.split(", "))
