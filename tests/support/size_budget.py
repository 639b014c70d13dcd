"""The size of the code, printed by `make lint`: a budget to look at, and two limits that fail.

No function has over 45 lines, and half of them have at most 6.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("layers", "functions", "local", "clients", "benchmarks", "examples")
FUNCTION_LIMIT = 45
FUNCTION_MEDIAN = 6
MODULE_AIM = 300


@dataclass(frozen=True)
class Function:
    where: str
    lines: int


def modules() -> Iterator[Path]:
    """Every Python file that is not a test."""
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    """Every function of a module, nested ones too, by their lines from `def` to the last."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines)


def main() -> int:
    """Print the budget; 1 when a function, or the median of all, is over its limit."""
    sizes = {path: path.read_text().count("\n") for path in modules()}
    found = [function for path in sizes for function in functions(path)]
    lines = sorted(function.lines for function in found)
    print(
        f"size: {len(sizes)} modules, {sum(sizes.values())} lines; functions: {len(found)}, "
        f"median {statistics.median(lines):.1f}, 95th percentile {lines[int(len(lines) * 0.95)]}, longest {lines[-1]}"
    )
    for path, size in sizes.items():
        if size > MODULE_AIM:
            print(f"size: {path.relative_to(ROOT)} has {size} lines (aim: {MODULE_AIM})")
    too_long = [function for function in found if function.lines > FUNCTION_LIMIT]
    for function in too_long:
        print(f"size: {function.where} has {function.lines} lines (limit: {FUNCTION_LIMIT})", file=sys.stderr)
    median = statistics.median(lines)
    if median > FUNCTION_MEDIAN:
        print(f"size: the median function has {median:.1f} lines (limit: {FUNCTION_MEDIAN})", file=sys.stderr)
    return 1 if too_long or median > FUNCTION_MEDIAN else 0


if __name__ == "__main__":
    sys.exit(main())
