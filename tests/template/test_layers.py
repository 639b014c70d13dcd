"""The layers as `sam build` makes them: complete, for the right machine, with bytecode where that can be."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from layers import build
from tests.support import layer_builds
from tests.template import reading
from tests.template.reading import ROOT

HOST_PYTHON = f"python3.{sys.version_info.minor}"
# Each package of ours, and the layer that it is in, beside what both stand on.
PACKAGES = {"agentsocket": "AgentsocketLayer", "authservice": "AuthserviceLayer"}
ELF_MACHINE = {"arm64": 183, "x86_64": 62}
UNCHECKED = 0b01  # PEP 552: hash-based, never compared with the source
LOAD = """
import sys
sys.path[:0] = {path!r}
import importlib.util, pkgutil
import aws_lambda_powertools, boto3, jwt, msgspec, redis
from cryptography.hazmat.primitives.asymmetric import ec, rsa
for name in ({package!r}, "lambdakit"):
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
for other in {others!r}:
    assert importlib.util.find_spec(other) is None, other
for service in {services!r}:
    boto3.Session("key", "secret", region_name="eu-west-1").client(service).meta.service_model.operation_names
sys.exit(any("site-packages" in (getattr(found, "__file__", "") or "") for found in sys.modules.values()))
"""


@pytest.fixture(scope="module")
def built():
    """Layers for this machine and its Python, as the laptop stack has them."""
    return layer_builds.for_this_machine()


@pytest.fixture(scope="module")
def cross_built():
    """Layers for the template's default target, whatever this machine is; with what sam said."""
    return layer_builds.for_the_default_target()


def bytecode(folder: Path, version: str) -> list[Path]:
    return list(folder.rglob(f"*.cpython-{version.replace('.', '')}.pyc"))


def complain(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "layers/build.py"), *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_vendor_layer_and_its_own_hold_everything_that_a_package_imports(built, package):
    """I1, I2: and the other package is not there."""
    path = [str(built / layer / "python") for layer in ("VendorLayer", PACKAGES[package])]
    others = sorted(PACKAGES.keys() - {package})
    program = LOAD.format(path=path, services=sorted(build.SERVICES), package=package, others=others)
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", ["VendorLayer", *PACKAGES.values()])
def test_every_module_comes_with_bytecode_that_is_never_checked(built, layer):
    sources = [path for path in (built / layer).rglob("*.py") if path.is_file()]
    compiled = bytecode(built / layer, HOST_PYTHON.removeprefix("python"))
    assert len(compiled) == len(sources) > 0
    assert {struct.unpack_from("<I", path.read_bytes(), 4)[0] for path in compiled} == {UNCHECKED}


def test_descriptions_of_services_are_shipped_for_those_in_use_and_no_others(built):
    calls = re.compile(r"""client\(\s*["']([a-z0-9-]+)["']""")
    sources = [path for package in PACKAGES for path in (ROOT / "layers" / package / "python").rglob("*.py")]
    used = {name for path in sources for name in calls.findall(path.read_text("utf-8"))}
    assert used == build.SERVICES
    shipped = {path.name for path in (built / "VendorLayer/python/botocore/data").iterdir() if path.is_dir()}
    assert shipped == build.SERVICES


def test_a_cross_build_has_libraries_of_the_target_only(cross_built):
    folder, _ = cross_built
    libraries = list(folder.rglob("*.so"))
    assert {struct.unpack_from("<H", path.read_bytes(), 18)[0] for path in libraries} == {ELF_MACHINE["arm64"]}
    assert any("cpython-313-aarch64" in path.name for path in libraries)


def test_a_cross_build_ships_bytecode_of_the_target_or_says_why_not(cross_built):
    folder, said = cross_built
    shipped = bool(bytecode(folder, "3.13"))
    assert shipped is not ("no bytecode is shipped" in said)
    assert not [path for path in folder.rglob("*.pyc") if "cpython-313" not in path.name]


def test_without_the_targets_python_no_bytecode_is_shipped_and_one_line_says_so(tmp_path):
    done = complain(["agentsocket", str(tmp_path / "python")], LAMBDA_PYTHON="python3.99")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "there is no Python 3.99 here" in done.stdout
    assert not list(tmp_path.rglob("*.pyc"))
    assert (tmp_path / "python/agentsocket/__init__.py").is_file()


def test_packages_come_by_uv_and_else_by_pip_for_the_same_target():
    ways = [" ".join(way) for way in build.installers(build.Target("3.13", "aarch64"))]
    assert all("--python-version 3.13" in way for way in ways)
    assert all("--python-platform aarch64-manylinux2014" in way for way in ways if "/uv pip" in way)
    assert all("--platform manylinux2014_aarch64" in way for way in ways if "-m pip" in way)
    assert ["-m pip" in way for way in ways][-1], "pip is the last resort"


@pytest.mark.parametrize(
    ("environment", "word"),
    [({"LAMBDA_ARCH": "amd64"}, "LAMBDA_ARCH must be"), ({"LAMBDA_PYTHON": "nodejs22.x"}, "LAMBDA_PYTHON must be")],
)
def test_an_unknown_target_is_one_sentence(tmp_path, environment, word):
    done = complain(["agentsocket", str(tmp_path / "python")], **environment)
    assert done.returncode == 1
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_our_packages_are_the_layers_that_the_template_has():
    layers = {name for name in reading.resources("AWS::Serverless::LayerVersion") if name != "VendorLayer"}
    assert set(build.PACKAGES) == set(PACKAGES)
    assert layers == set(PACKAGES.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_makefile_works_in_a_folder_with_spaces(tmp_path, package):
    folder = tmp_path / "my clone" / "layers"
    folder.parent.mkdir()
    folder.symlink_to(ROOT / "layers")
    command = ["make", "--makefile", str(folder / package / "Makefile"), f"build-{PACKAGES[package]}"]
    target = {**os.environ, "ARTIFACTS_DIR": str(tmp_path / "built here"), "LAMBDA_PYTHON": HOST_PYTHON}
    done = subprocess.run(command, cwd=tmp_path, env=target, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "built here/python" / package / "__init__.py").is_file()
