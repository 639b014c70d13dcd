"""Everything is under the Apache License 2.0, word by word, wherever it is handed out."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = (ROOT, ROOT / "clients" / "python")
# sha256 of https://www.apache.org/licenses/LICENSE-2.0.txt
VERBATIM = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_the_licence_is_verbatim_and_says_whose_the_work_is(folder: Path):
    assert hashlib.sha256((folder / "LICENSE").read_bytes()).hexdigest() == VERBATIM
    assert (folder / "NOTICE").read_text() == "agentsocket\nCopyright 2026 The agentsocket authors\n"


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_the_metadata_names_the_licence(folder: Path):
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "NOTICE"]
