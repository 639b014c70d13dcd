"""The files by which a stranger judges a project: they are there, agree with the tree, and do what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

import agentsocket
import agentsocket_client

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
PACKAGE = "layers/agentsocket/python/"
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # Keep a Changelog 1.1.0
COMMIT = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def read(name: str) -> str:
    return (ROOT / name).read_text()


def parsed(name: str) -> Any:
    return yaml.safe_load(read(name))


# --- The pages


def paths(text: str) -> Iterator[str]:
    """What a page writes as code and what looks like a path of the tree; of a command its words."""
    for code in re.findall(r"`([^`\n]+)`", text):
        for word in code.split():
            if re.fullmatch(r"\.?\w[\w.-]*(/[\w.-]+)*/?", word) and (
                "/" in word or Path(word).suffix in {".md", ".py"}
            ):
                yield word


def exists(path: str) -> bool:
    places = (path, f"{PACKAGE}{path}", f"examples/{path}")
    return any((ROOT / place).exists() for place in places)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    missing = [path for path in paths(read(page)) if not exists(path)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_command_that_a_page_names_is_there(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\()make (?:--\w+ )?([a-z-]+)", read(page), re.MULTILINE))
    assert named <= targets


def test_the_security_page_sends_reports_where_only_maintainers_see_them() -> None:
    text = read("SECURITY.md")
    assert "private vulnerability reporting" in text
    assert not re.search(r"[\w.]+@[\w.]+", text)


# --- The changelog


def headings() -> list[str]:
    """Those of the versions, the newest first."""
    return re.findall(r"^## (\[.*)$", read("CHANGELOG.md"), re.MULTILINE)


def test_the_changelog_lists_versions_from_the_newest_down() -> None:
    first, *released = headings()
    assert first == "[Unreleased]"
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in released]
    versions = [(date.fromisoformat(each[4]), *map(int, each.groups()[:3])) for each in found if each]
    assert len(versions) == len(released)
    assert versions == sorted(versions, reverse=True)


def test_the_changelog_sorts_changes_by_their_kind() -> None:
    entries = read("CHANGELOG.md").partition("## [Unreleased]")[2]
    kinds = re.findall(r"^### (.*)$", entries, re.MULTILINE)
    assert kinds
    assert set(kinds) <= KINDS


def test_every_version_of_the_changelog_is_a_link() -> None:
    names = [heading.partition("]")[0] + "]" for heading in headings()]
    assert re.findall(r"^(\[.*\]): https://\S+$", read("CHANGELOG.md"), re.MULTILINE) == names


@pytest.mark.parametrize("version", [agentsocket.__version__, agentsocket_client.__version__])
def test_the_changelog_speaks_of_the_version_in_the_code(version: str) -> None:
    assert version in read("CHANGELOG.md").partition("## [Unreleased]")[2]


@pytest.mark.parametrize("project", ["pyproject.toml", "clients/python/pyproject.toml"])
def test_the_changelog_is_where_the_packages_say(project: str) -> None:
    urls = tomllib.loads(read(project))["project"]["urls"]
    [name] = re.findall(rf"^{re.escape(urls['Homepage'])}/blob/main/(\S+)$", urls["Changelog"])
    assert (ROOT / name).is_file()
    assert urls["Homepage"] in read("CHANGELOG.md")


# --- The workflow and the hooks


def test_the_workflow_runs_the_one_command() -> None:
    jobs = parsed(".github/workflows/ci.yml")["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands == ["bash .ci/run"]
    assert (ROOT / ".ci/run").is_file()
    assert "bash .ci/run" in read("CONTRIBUTING.md")


def test_the_workflow_may_read_and_no_more() -> None:
    workflow = parsed(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert 0 < job["timeout-minutes"] <= 60
        [checkout] = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert checkout["with"]["persist-credentials"] is False


def test_the_workflow_uses_actions_of_one_commit_each() -> None:
    used = re.findall(r"uses: (\S+) (#.*)", read(".github/workflows/ci.yml"))
    steps = [step for job in parsed(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"]]
    assert len(used) == len([step for step in steps if "uses" in step])
    for action, comment in used:
        assert COMMIT.fullmatch(action)
        assert re.fullmatch(r"# v\d+\.\d+\.\d+", comment)


def test_the_workflow_begins_with_a_change_on_main_or_for_it() -> None:
    begins = parsed(".github/workflows/ci.yml")[True]  # to YAML 1.1, `on` is true
    assert begins == {"push": {"branches": ["main"]}, "pull_request": None}


def test_the_hooks_are_the_project_s_own_tools() -> None:
    repositories = parsed(".pre-commit-config.yaml")["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        program, *arguments = shlex.split(hook["entry"])
        assert hook["language"] == "system"
        assert (program, arguments[0]) in {(".venv/bin/python", "-m"), ("make", "lint")}


# --- How files look


def test_every_file_is_as_editorconfig_says() -> None:
    assert re.findall(r"^root = true$", read(".editorconfig"), re.MULTILINE)
    wrong = [str(path.relative_to(ROOT)) for path in texts() if not well_formed(path.read_bytes())]
    assert wrong == []


def texts() -> Iterator[Path]:
    """The project's own files, also those that are not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def well_formed(content: bytes) -> bool:
    """UTF-8, LF, a newline at the end, no blank at the end of a line."""
    text = content.decode()
    return "\r" not in text and text[-1:] in {"\n", ""} and not re.search(r"[ \t]+$", text, re.MULTILINE)
