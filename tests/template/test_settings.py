"""The template's environment and `settings.py`, held against each other by what a cold start really asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.env import GIVEN
from tests.template.reading import FUNCTIONS, ROOT, environment

# Read by botocore and Powertools themselves.
NOT_OURS = (*(f"AWS_ENDPOINT_URL_{service}" for service in ("DYNAMODB", "SQS", "KMS", "S3", "STS")), "POWERTOOLS_")
COLD_START = """
import json, os, sys

READERS = ("agentsocket/settings.py", "authservice/settings.py", "lambdakit/settings.py")

class Recorder(dict):
    asked = set()

    def _ask(self, name):
        if sys._getframe(2).f_code.co_filename.endswith(READERS):
            self.asked.add(name)

    def get(self, name, default=None):
        self._ask(name)
        return super().get(name, default)

os.environ = Recorder(os.environ)
sys.path.insert(0, sys.argv[1])
import app
print(json.dumps(sorted(Recorder.asked)))
"""


# Jwks reads its setting when it is asked: failing at its import, it could not tell CloudFormation, which would wait.
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "Jwks"])
def test_a_cold_start_asks_for_exactly_what_the_template_gives(name):
    folder = ROOT / "functions" / name.lower()
    command = [sys.executable, "-c", COLD_START, str(folder)]
    run = subprocess.run(command, env=os.environ | GIVEN, capture_output=True, text=True, check=True)
    given = {variable for variable in environment(name) if not variable.startswith(NOT_OURS)}
    assert set(json.loads(run.stdout.splitlines()[-1])) == given


WHOSE_TABLES = """
import gc, sys
sys.path.insert(0, sys.argv[1])
import app
from agentsocket.storage.table import Table
from agentsocket.storage.role_per_user import Tenants
gc.unfreeze()  # a cold start hides what it made
print(*(type(each).__name__ for each in gc.get_objects() if isinstance(each, Table | Tenants)))
"""


@pytest.mark.parametrize("name", ["Message", "Worker"])
def test_with_a_role_per_user_a_function_opens_no_table_of_its_own(name):
    """Its own role has none to open: storage and contexts share what assumes the other."""
    given = GIVEN | {"TENANT_ROLE": "arn:aws:iam::123456789012:role/tenant"}
    command = [sys.executable, "-c", WHOSE_TABLES, str(ROOT / "functions" / name.lower())]
    run = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["Tenants"]
