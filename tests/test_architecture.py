"""The rules of architecture.md as tests: who imports whom, and what stands in one place only."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.size_budget import FUNCTION_LIMIT, FUNCTION_MEDIAN, ROOT, functions, modules

PACKAGE = ROOT / "layers" / "agentsocket" / "python" / "agentsocket"
# What this package and authservice both stand on.
LEAF = ROOT / "layers" / "lambdakit" / "python" / "lambdakit"

# Which folder may import from which others. Every folder may import the root's leaves.
MAY_IMPORT: dict[str, set[str]] = {
    "protocol": set(),
    "agents": set(),
    "storage": set(),
    "auth": {"protocol"},
    "aws": {"protocol"},
    "contexts": {"storage"},
    "commands": {"auth", "aws", "contexts", "protocol", "storage"},
    "worker": {"agents", "aws", "commands", "contexts", "protocol", "storage"},
    "control": {"aws", "contexts", "protocol", "storage"},
    "http_api": {"auth", "aws", "commands", "contexts", "protocol", "storage"},
    "handlers": {"aws", "http_api", "protocol", "storage"},
}
# Modules of the root: leaves import leaves alone; the others put folders together.
LEAVES = {"errors", "limits", "principal", "inputs", "ids", "runtime", "encoded_text", "circuit_breaker", "wording"}
ROOT_MODULES: dict[str, set[str]] = {
    **{name: set() for name in LEAVES},
    "settings": {"auth", "contexts"},
    "relay": {"agents", "auth", "aws", "commands", "contexts", "control", "protocol", "storage", "worker"},
    "wiring": {*MAY_IMPORT, "settings"} - {"handlers", "commands", "worker", "protocol"},
    "__main__": {"control", "settings", "wiring"},
}
# Modules that do no I/O and know no library but these: values and decisions.
PURE: dict[str, set[str]] = {
    "errors": set(),
    "limits": {"msgspec", "lambdakit"},
    "principal": {"msgspec"},
    "inputs": {"msgspec"},
    "ids": set(),
    "runtime": {"msgspec"},
    "encoded_text": {"msgspec"},
    "circuit_breaker": {"msgspec"},
    "wording": set(),
    "protocol.commands": {"msgspec"},
    "protocol.control": {"msgspec"},
    "protocol.events": {"msgspec"},
    "protocol.frames": {"msgspec"},
    "protocol.messages": set(),
    "protocol.payload": {"msgspec"},
    "protocol.schema": {"msgspec"},
    "protocol.strict_json": set(),
    "protocol.violations": {"msgspec"},
    "storage.keys": set(),
    "storage.rows": {"msgspec"},
    "storage.run_states": set(),
    "auth.tokens": {"jwt"},
    "auth.handshake": set(),
    "contexts.merge_patch": set(),
    "control.deadlines": {"msgspec"},
    "http_api.openapi": {"msgspec"},
    "http_api.routes": {"msgspec"},
}
# Which libraries a module of the leaf may know, besides the standard one and the leaf's own modules.
LEAF_MODULES: dict[str, set[str]] = {
    "aws_calls": {"botocore"},
    "cors": set(),
    "dynamodb": {"boto3", "botocore", "mypy_boto3_dynamodb"},
    "http_client": {"_typeshed"},
    "jwks": {"cryptography", "jwt"},
    "limits": set(),
    "settings": set(),
}
MODULES_IN_A_FOLDER = 16


def name_of(path: Path) -> str:
    """The module's dotted name within the package: `storage.keys`."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(module: str) -> str:
    """The folder a module lies in; a module of the root is a room of its own."""
    return module.partition(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, dotted, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


PACKAGE_FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"]
LEAF_FILES = [path for path in sorted(LEAF.rglob("*.py")) if path.name != "__init__.py"]
DEPLOYED = [*PACKAGE_FILES, *LEAF_FILES, *sorted((ROOT / "functions").rglob("*.py"))]
MODULES = {name_of(path) for path in PACKAGE_FILES}


def ours(path: Path) -> set[str]:
    """The modules of the package that a file imports, by their names within it."""
    return {name.removeprefix("agentsocket.") for name in imports(path) if name.startswith("agentsocket.")} & MODULES


@pytest.mark.parametrize("path", PACKAGE_FILES, ids=name_of)
def test_a_module_imports_only_what_its_folder_may(path):
    room = room_of(name_of(path))
    assert room in MAY_IMPORT | ROOT_MODULES, f"say in this test what {room} may import"
    allowed = {room} | LEAVES | (MAY_IMPORT | ROOT_MODULES)[room]
    assert {room_of(module) for module in ours(path)} <= allowed


@pytest.mark.parametrize("room", sorted(MAY_IMPORT | ROOT_MODULES))
def test_a_folder_is_allowed_no_import_that_it_does_not_have(room):
    files = [path for path in PACKAGE_FILES if room_of(name_of(path)) == room]
    used = {room_of(module) for path in files for module in ours(path)}
    assert (MAY_IMPORT | ROOT_MODULES)[room] <= used


def test_no_two_folders_import_each_other():
    """Nor do they in a circle: there is an order in which they can be read."""
    assert len(list(TopologicalSorter(MAY_IMPORT).static_order())) == len(MAY_IMPORT)


@pytest.mark.parametrize("name", sorted(PURE))
def test_a_pure_module_uses_pure_modules_and_little_else(name):
    [path] = [path for path in PACKAGE_FILES if name_of(path) == name]
    assert ours(path) <= PURE.keys()
    outside = {module.split(".")[0] for module in imports(path)}
    assert outside - set(sys.stdlib_module_names) - {"agentsocket", "__future__"} <= PURE[name]


@pytest.mark.parametrize("path", LEAF_FILES, ids=lambda path: path.stem)
def test_the_leaf_knows_neither_package_and_few_libraries(path):
    """Least of all msgspec, which the auth service does without."""
    outside = {module.split(".")[0] for module in imports(path)} - set(sys.stdlib_module_names)
    assert outside - {"lambdakit"} == LEAF_MODULES[path.stem]


@pytest.mark.parametrize(
    "path",
    [*sorted(PACKAGE.rglob("__init__.py")), LEAF / "__init__.py"],
    ids=lambda path: path.parent.name,
)
def test_no_init_imports_anything(path):
    """A docstring alone: importing one module of a folder loads no other."""
    assert list(imports(path)) == []
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_folder_is_too_large():
    sizes = Counter(path.parent for path in PACKAGE_FILES)
    assert max(sizes.values()) <= MODULES_IN_A_FOLDER


def test_what_is_deployed_imports_nothing_that_is_not():
    for path in DEPLOYED:
        assert not {name.split(".")[0] for name in imports(path)} & {"local", "clients", "benchmarks", "tests", "moto"}


def test_functions_import_no_seam_but_through_wiring():
    for path in sorted((ROOT / "functions").rglob("*.py")):
        named = ours(path)
        assert named <= {
            "handlers.decorators",
            "wiring",
            "relay",
            "inputs",
            "principal",
            "protocol.frames",
            "agents.catalog",
        }
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
        ("except Exception", {"decorators.py", "runner.py"}),
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


def test_half_of_the_functions_are_short():
    assert statistics.median(f.lines for path in modules() for f in functions(path)) <= FUNCTION_MEDIAN


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "base", "manager"])
def test_no_module_has_a_name_that_says_nothing(name):
    assert [path for path in modules() if path.stem == name] == []


FLOW_OF_ROUTES = "from agentsocket import relay, wiring; from agentsocket.handlers import decorators, responses"
ROUTES = (
    f"{FLOW_OF_ROUTES}; from agentsocket.aws import control_queue, management_api, run_queue"
    "; from agentsocket.commands import accept; from agentsocket.contexts import dynamodb"
    "; from agentsocket.storage import user"
)


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    program = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_authorizer_loads_neither_the_sdk_nor_the_wire():
    """Import budget: everybody waits for a cold authorizer."""
    loaded = imported_by(
        "from agentsocket import wiring; from agentsocket.handlers import decorators"
        "; from agentsocket.auth import handshake, tokens, jwks"
    )
    assert {"jwt", "agentsocket.inputs"} <= loaded
    assert not loaded & {"lambdakit.dynamodb", "lambdakit.aws_calls"}
    assert not loaded & {"boto3", "redis", "aiohttp", "agentsocket.protocol.messages", "agentsocket.protocol.frames"}


def test_the_socket_path_loads_no_token_library_no_framework_and_nothing_of_the_worker():
    """Import budget: refreshing a token is the one command that needs jwt."""
    loaded = imported_by(ROUTES)
    assert "agentsocket.protocol.messages" in loaded
    assert not loaded & {"jwt", "cryptography", "redis", "pydantic", "requests", "aiohttp", "asyncio"}
    assert "agentsocket.storage.user" in loaded
    assert "agentsocket.storage.user_erasure" not in loaded  # the command line's alone


def test_what_explains_a_refusal_is_loaded_by_the_first_one():
    """Import budget: the words for what is wrong, and the search for what is meant."""
    loaded = imported_by(ROUTES)
    assert "agentsocket.protocol.frames" in loaded
    assert not loaded & {"agentsocket.protocol.violations", "difflib"}


def test_reading_the_flow_loads_no_sdk():
    """Import budget: wiring.py loads it while the garbage collector rests."""
    loaded = imported_by(FLOW_OF_ROUTES)
    assert "agentsocket.commands.registry" in loaded
    assert not loaded & {"boto3", "agentsocket.storage.table", "agentsocket.storage.user"}


def test_what_a_route_loads_makes_no_dataclass():
    """Import budget: each costs a cold start half a millisecond, a msgspec struct a fiftieth of that."""
    loaded = imported_by(ROUTES)
    named = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE_FILES}
    named |= {path: f"lambdakit.{path.stem}" for path in LEAF_FILES}
    assert {"agentsocket.storage.rows", "lambdakit.dynamodb"} <= loaded
    assert not [name for path, name in named.items() if name in loaded and "dataclasses" in imports(path)]
