"""One test module for each module of the package: `storage/keys.py` is tested by `unit/storage/test_keys.py`.

Other test modules may stand beside them, named for a behaviour: their names are no module's.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.size_budget import ROOT

PACKAGE = ROOT / "layers" / "agentsocket" / "python" / "agentsocket"
UNIT = ROOT / "tests" / "unit"
LEAF = ROOT / "layers" / "lambdakit" / "python" / "lambdakit"


def mirror_of(module: Path) -> Path:
    """Where the tests of a module stand, relative to `tests/unit`; both paths are relative."""
    return module.with_name(f"test_{module.stem.strip('_')}.py")


MODULES = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]
TEST_MODULES = [path.relative_to(UNIT) for path in sorted(UNIT.rglob("test_*.py"))]
MIRRORED = {mirror_of(module) for module in MODULES}
NAMES = {path.name for path in MIRRORED}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_test_module(module):
    tests = UNIT / mirror_of(module)
    assert tests.exists(), f"{tests.relative_to(ROOT)} is missing"
    assert "def test_" in tests.read_text(), f"{tests.relative_to(ROOT)} tests nothing"


@pytest.mark.parametrize("path", [path for path in TEST_MODULES if path.name in NAMES], ids=str)
def test_a_test_module_with_a_module_s_name_stands_where_the_module_does(path):
    assert path in MIRRORED, f"no module is tested by tests/unit/{path}: move it, or name it for what it tests"


@pytest.mark.parametrize(
    "module", [path for path in sorted(LEAF.glob("*.py")) if path.name != "__init__.py"], ids=lambda path: path.stem
)
def test_a_module_of_the_leaf_has_a_test_module(module):
    assert "def test_" in (ROOT / "tests" / "lambdakit" / f"test_{module.stem}.py").read_text()
