"""The rules of architecture.md as tests: who imports whom, and what stands in one place only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.size_budget import FUNCTION_LIMIT, ROOT, functions, modules

PACKAGE = ROOT / "layers" / "agentsocket" / "python" / "agentsocket"

RULES = {
    "errors",
    "limits",
    "principal",
    "protocol",
    "frames",
    "schema",
    "strictjson",
    "texts",
    "runs",
    "rows",
    "keys",
    "tokens",
    "admission",
    "inputs",
    "runtime",
    "cors",
    "due",
    "breaker",
    "httproutes",
    "openapi",
    "mergepatch",
}
SEAMS = {
    "table",
    "tenants",
    "contexts",
    "tablecontexts",
    "redisserver",
    "rediscontexts",
    "tiered",
    "storage",
    "threads",
    "connections",
    "threadlog",
    "contents",
    "uploads",
    "erasing",
    "leaving",
    "quotas",
    "gateway",
    "dispatch",
    "schedule",
    "jwks",
    "introspection",
    "outbound",
    "agents",
}
FLOW = {
    "relay",
    "answers",
    "commands",
    "conversations",
    "remembering",
    "health",
    "attempts",
    "answering",
    "publishing",
    "pushing",
    "keeping",
    "resuming",
    "sweeping",
    "forgetting",
    "gathering",
    "control",
    "httpapi",
}
EDGE = {"__main__", "edge", "replies", "routing", "settings", "wiring"}
MAY_IMPORT = {
    **dict.fromkeys(RULES, RULES),
    **dict.fromkeys(SEAMS, RULES | SEAMS),
    **dict.fromkeys(FLOW, RULES | SEAMS | FLOW),
    **dict.fromkeys(EDGE, RULES | SEAMS | FLOW | EDGE),
}
# What a rule may use beside the standard library, and why: the library of the wire and of values, and the signatures'.
RULE_LIBRARIES = {
    "breaker": {"msgspec"},
    "due": {"msgspec"},
    "frames": {"msgspec"},
    "httproutes": {"msgspec"},
    "inputs": {"msgspec"},
    "limits": {"msgspec"},
    "openapi": {"msgspec"},
    "principal": {"msgspec"},
    "protocol": {"msgspec"},
    "rows": {"msgspec"},
    "runtime": {"msgspec"},
    "schema": {"msgspec"},
    "texts": {"msgspec"},
    "tokens": {"jwt"},
}


def layer_of(path: Path) -> str:
    """The module's name, or the package `agents` for what is in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, dotted, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("agentsocket.")} & set(MAY_IMPORT)


PACKAGE_FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
DEPLOYED = [*PACKAGE_FILES, *sorted((ROOT / "functions").rglob("*.py"))]


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=lambda path: path.stem)
def test_a_module_imports_only_what_its_layer_may(path):
    layer = layer_of(path)
    assert layer in MAY_IMPORT, f"say in this test which layer {layer} belongs to"
    assert ours(path) - {layer} <= MAY_IMPORT[layer]


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_rule_uses_the_standard_library_and_little_else(name):
    files = [path for path in PACKAGE_FILES if layer_of(path) == name]
    outside = {module.split(".")[0] for path in files for module in imports(path)}
    assert files
    outside -= set(sys.stdlib_module_names) | {"agentsocket", "__future__"}
    assert outside <= RULE_LIBRARIES.get(name, set())


def test_what_is_deployed_imports_nothing_that_is_not():
    for path in DEPLOYED:
        assert not {name.split(".")[0] for name in imports(path)} & {"local", "clients", "benchmarks", "tests", "moto"}


def test_functions_import_no_seam_but_through_wiring():
    for path in sorted((ROOT / "functions").rglob("*.py")):
        named = ours(path)
        assert named <= {"edge", "wiring", "relay", "inputs", "frames", "principal", "agents"}
        assert path.read_text().count("\n") <= 20


def owners(text: str) -> set[str]:
    """The deployed files in which `text` stands."""
    return {path.name for path in DEPLOYED if text in path.read_text()}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("os.environ", {"settings.py"}),
        ("getenv", set()),
        ("boto3.Session", {"wiring.py"}),
        ("boto3.client", set()),
        ("boto3.resource", set()),
        (" Principal(", {"principal.py"}),
        ("except Exception", {"edge.py", "runner.py"}),
        ("except BaseException", set()),
        ("except:", set()),
        (".scan", set()),
    ],
)
def test_some_things_stand_in_one_place_only(text, where):
    assert owners(text) == where


def test_the_two_broad_excepts_are_two():
    assert sum(path.read_text().count("except Exception") for path in DEPLOYED) == 2


def test_no_function_is_over_the_limit():
    too_long = [f for path in modules() for f in functions(path) if f.lines > FUNCTION_LIMIT]
    assert too_long == []


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "base", "manager"])
def test_no_module_has_a_name_that_says_nothing(name):
    assert [path for path in modules() if path.stem == name] == []


FLOW_OF_ROUTES = "from agentsocket import edge, relay, replies, wiring"
ROUTES = f"{FLOW_OF_ROUTES}, dispatch, gateway, gathering, schedule, storage, tablecontexts"


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    program = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_authorizer_loads_neither_the_sdk_nor_the_wire():
    """Import budget: everybody waits for a cold authorizer."""
    loaded = imported_by("from agentsocket import edge, wiring, admission, tokens, jwks")
    assert {"jwt", "agentsocket.inputs"} <= loaded
    assert not loaded & {"boto3", "redis", "aiohttp", "agentsocket.protocol", "agentsocket.frames"}


def test_the_socket_path_loads_no_token_library_no_framework_and_nothing_of_the_worker():
    """Import budget: refreshing a token is the one command that needs jwt."""
    loaded = imported_by(ROUTES)
    assert "agentsocket.protocol" in loaded
    assert not loaded & {"jwt", "cryptography", "redis", "pydantic", "requests", "aiohttp", "asyncio"}


def test_reading_the_flow_loads_no_sdk():
    """Import budget: wiring.py loads it while the garbage collector rests."""
    loaded = imported_by(FLOW_OF_ROUTES)
    assert "agentsocket.answers" in loaded
    assert not loaded & {"boto3", "agentsocket.table", "agentsocket.storage"}


def test_what_a_route_loads_makes_no_dataclass():
    """Import budget: each costs a cold start half a millisecond, a msgspec struct a fiftieth of that."""
    loaded = imported_by(ROUTES)
    named = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE_FILES}
    assert "agentsocket.rows" in loaded
    assert not [name for path, name in named.items() if name in loaded and "dataclasses" in imports(path)]
