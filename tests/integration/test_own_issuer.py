"""The template without the auth service: the operator's own issuer signs the access tokens."""

from __future__ import annotations

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agentsocket.principal import user_id
from local import deploy, events
from local.build import Target, built
from local.emulators.issuer import public_jwk
from local.emulators.ministack import Ministack
from tests.integration.deployment import STATE

ISSUER = "https://login.example.com/"
KEY = ec.generate_private_key(ec.SECP256R1())
JWK = public_jwk(KEY.public_key(), "ES256")


@pytest.fixture
async def outputs_and_ask(tmp_path):
    """The outputs of such a stack, and a way to ask its authorizer about a token."""
    folder, target = tmp_path / "ministack", Target.this_machine()
    folder.mkdir()
    ministack = Ministack(folder)
    parameters = {
        "AuthService": "false",
        "Local": "true",
        "Issuer": ISSUER,
        "Jwks": json.dumps({"keys": [JWK]}),
        "ManagementEndpoint": "http://127.0.0.1:1/live",
        "PythonRuntime": target.runtime,
        "Architecture": target.architecture,
    }
    await ministack.start()
    try:
        async with built(STATE / "build", target, say=print) as template:
            deployment = await asyncio.to_thread(
                deploy.deploy, ministack.access, template, stack_name="own-issuer", parameters=parameters
            )

        def ask(token):
            text = events.path("authorizer-valid").read_text().replace("{{token:ada}}", token)
            name = deployment.outputs["AuthorizerFunctionName"]
            client = ministack.access.client("lambda")
            answer = client.invoke(FunctionName=name, Payload=text.replace('"{{now_ms}}"', "0"))
            return json.loads(answer["Payload"].read())

        yield deployment.outputs, ask
    finally:
        await ministack.stop()


def token(**changes):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "agentsocket", "sub": "ada", "iat": now, "exp": now + 3600, "scope": "admin"}
    return jwt.encode({**claims, **changes}, KEY, "ES256", headers={"typ": "at+jwt", "kid": JWK["kid"]})


async def test_the_stack_is_whole_without_the_auth_service_and_trusts_the_given_keys(outputs_and_ask):
    """A1, A3. A privileged scope too: there is nobody to ask."""
    outputs, ask = outputs_and_ask
    assert not {name for name in outputs if name.startswith(("Auth", "Jwks", "Keys", "Signing", "Public"))} - {
        "AuthorizerFunctionName"
    }
    admitted = await asyncio.to_thread(ask, token())
    assert admitted["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert admitted["context"] | {"user": user_id(ISSUER, "ada"), "auth_mode": "local"} == admitted["context"]
    denied = await asyncio.to_thread(ask, token(aud="another"))
    assert denied["policyDocument"]["Statement"][0]["Effect"] == "Deny"
