"""I1, I2: the auth service is a program of its own, and shares nothing with the rest but a token's form."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from layers import build
from tests.authservice.fakes import Server
from tests.support.waiting import TIME_FACTOR
from tests.template import reading

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {name: ROOT / "layers" / name / "python" / name for name in ("agentsocket", "authservice")}
LEAF = ROOT / "layers/lambdakit/python/lambdakit"  # what both stand on, and is in the layer of each
OWN_FUNCTIONS = ("auth", "jwks")

ALONE = """
import importlib.util, json, sys
sys.path[:0] = {path!r}
spec = importlib.util.spec_from_file_location("app", {app!r})
app = importlib.util.module_from_spec(spec)
spec.loader.exec_module(app)
event = {{"rawPath": "/health", "headers": {{}}, "requestContext": {{"http": {{"method": "GET"}}}}}}
print(json.dumps(app.handler(event, None)))
ours = {{"agentsocket", "local", "clients", "tests", "moto"}} & {{name.partition(".")[0] for name in sys.modules}}
sys.exit(bool(ours) or importlib.util.find_spec("agentsocket") is not None)
"""


class OneTable(Server):
    """DynamoDB, as far as health looks: a table without the row that was asked for."""

    def answer(self, method, headers, body):
        assert headers["X-Amz-Target"].endswith(".BatchGetItem")
        [name] = json.loads(body)["RequestItems"]
        return 200, {}, json.dumps({"Responses": {name: []}}).encode()


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    """The vendor layer's own packages for this machine, and nothing that is installed beside them."""
    folder = tmp_path_factory.mktemp("vendor")
    build.install(folder / "python", build.Target(f"3.{sys.version_info.minor}", None))
    return folder / "python"


def test_the_service_starts_alone_and_answers_health_within_five_seconds(vendor, environment):
    """I1."""
    with OneTable() as table:
        given = {
            **environment,
            "AWS_ENDPOINT_URL_DYNAMODB": table.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "PATH": "/usr/bin:/bin",
        }
        path = [str(vendor), str(PACKAGES["authservice"].parent), str(LEAF.parent)]
        program = ALONE.format(path=path, app=str(ROOT / "functions/auth/app.py"))
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program],
            env=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=5 * TIME_FACTOR,
        )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "ok")
    assert table.requests == 1


def imports(path: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a dot"
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize(("package", "other"), [("agentsocket", "authservice"), ("authservice", "agentsocket")])
def test_neither_package_knows_the_other(package, other):
    """I2."""
    files = list(PACKAGES[package].rglob("*.py"))
    assert len(files) > 10
    for path in files:
        assert other not in imports(path), path
        assert "import_module" not in path.read_text(), path


def test_each_function_imports_one_of_the_two_packages():
    """I2."""
    for path in (ROOT / "functions").glob("*/app.py"):
        expected = "authservice" if path.parent.name in OWN_FUNCTIONS else "agentsocket"
        assert imports(path) & set(PACKAGES) == {expected}
        assert path.read_text().count("\n") <= 20


ALLOWED = {
    "__future__",
    "authservice",
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "cryptography",
    "jwt",
    "lambdakit",
    "mypy_boto3_dynamodb",
    "mypy_boto3_kms",
    "mypy_boto3_s3",
    "mypy_boto3_sqs",
}


def test_the_package_uses_the_standard_library_and_what_the_vendor_layer_has():
    used = set().union(*(imports(path) for path in PACKAGES["authservice"].rglob("*.py")))
    assert used - set(sys.stdlib_module_names) <= ALLOWED


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("os.environ", {"settings.py"}),
        ("getenv", set()),
        ("boto3.Session", {"wiring.py"}),
        ("boto3.client", set()),
        ("boto3.resource", set()),
        ("except Exception", {"decorators.py"}),
        ("except BaseException", set()),
        ("except:", set()),
        (".scan", {"user_erasure.py", "table.py"}),  # a user who is forgotten: no index leads to their sign-ins
    ],
)
def test_some_things_stand_in_one_place_only(text, where):
    found = {path.name: path.read_text().count(text) for path in PACKAGES["authservice"].rglob("*.py")}
    assert {name for name, times in found.items() if times} == where
    if text == "except Exception":
        assert sum(found.values()) == 1


# What needs no AWS and no clock: importing one of these is importing rules and nothing else.
PURE = {
    "errors": set(),
    "limits": {"errors"},
    "inputs": set(),
    "refresh_families": {"limits"},
    "form_body": {"errors", "inputs", "limits"},
    "settings": {"errors", "limits"},
}


@pytest.mark.parametrize("name", PURE)
def test_a_rule_imports_rules_only(name):
    path = PACKAGES["authservice"] / f"{name}.py"
    assert imports(path) <= set(sys.stdlib_module_names) | {"authservice", "lambdakit"}
    modules = {
        node.module.partition(".")[2]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("authservice.")
    }
    assert modules <= PURE[name]


def test_the_services_share_no_table_in_the_template():
    """I2: the auth function has a table, and no other function has that one."""
    tables = {name: str(reading.environment(name).get("TABLE_NAME", "")) for name in reading.FUNCTIONS}
    assert tables["Auth"]
    assert [name for name, table in tables.items() if table == tables["Auth"]] == ["Auth"]
