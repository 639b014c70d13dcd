"""The template's environment and `settings.py`, held against each other by what a cold start really asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.template.reading import FUNCTIONS, ROOT, environment

# Read by botocore and Powertools themselves.
NOT_OURS = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS", "POWERTOOLS_")
GIVEN = {
    "ISSUER": "https://issuer.example",
    "AUDIENCE": "agentsocket",
    "JWKS_URL": "https://issuer.example/jwks",
    "TABLE_NAME": "table",
    "QUEUE_URL": "https://queue.example/runs.fifo",
    "DEAD_LETTER_QUEUE_URL": "https://queue.example/dead.fifo",
    "GENERATION": "1",
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "https://api.example/live",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
COLD_START = """
import json, os, sys

class Recorder(dict):
    asked = set()

    def _ask(self, name):
        if sys._getframe(2).f_code.co_filename.endswith("agentsocket/settings.py"):
            self.asked.add(name)

    def get(self, name, default=None):
        self._ask(name)
        return super().get(name, default)

os.environ = Recorder(os.environ)
sys.path.insert(0, sys.argv[1])
import app
print(json.dumps(sorted(Recorder.asked)))
"""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_cold_start_asks_for_exactly_what_the_template_gives(name):
    folder = ROOT / "functions" / name.lower()
    command = [sys.executable, "-c", COLD_START, str(folder)]
    run = subprocess.run(command, env=os.environ | GIVEN, capture_output=True, text=True, check=True)
    given = {variable for variable in environment(name) if not variable.startswith(NOT_OURS)}
    assert set(json.loads(run.stdout.splitlines()[-1])) == given
