"""The template's environment and `settings.py`, held against each other by what a cold start really asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.template.reading import FUNCTIONS, ROOT, environment

# Read by botocore and Powertools themselves.
NOT_OURS = (*(f"AWS_ENDPOINT_URL_{service}" for service in ("DYNAMODB", "SQS", "KMS", "S3")), "POWERTOOLS_")
KEY = {"kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256", "use": "sig"} | {
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",  # RFC 7517, appendix A.1's curve; RFC 7515, A.3's point
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
GIVEN = {
    "ISSUER": "https://issuer.example",
    "AUDIENCE": "agentsocket",
    "JWKS": json.dumps({"keys": [KEY]}),
    "JWKS_URL": "https://issuer.example/jwks",
    "INTROSPECTION": "all",
    "INTROSPECTION_URL": "https://issuer.example/oauth/introspect",
    "INTROSPECTION_CLIENT": "agentsocket",
    "INTROSPECTION_SECRET": "s" * 48,
    "PRIVILEGED_SCOPES": "admin",
    "SIGNING_KEY": "arn:aws:kms:eu-west-1:123456789012:key/1",
    "IDENTITY_ISSUER": "https://login.example",
    "IDENTITY_CLIENT_ID": "client",
    "IDENTITY_JWKS_URL": "https://login.example/jwks",
    "GROUPS_CLAIM": "groups",
    "SCOPES": "chat",
    "CONTROL_QUEUE_URL": "https://queue.example/control",
    "BUCKET": "keys",
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
        if sys._getframe(2).f_code.co_filename.endswith(("agentsocket/settings.py", "authservice/settings.py")):
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
