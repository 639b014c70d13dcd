"""Small Lambda functions for tests: real ones, deployed to a real ministack."""

import io
import json
import zipfile
from typing import Any

from local.aws import Access

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def make_role(access: Access, name: str, *statements: dict[str, Any]) -> str:
    """A role that may do what `statements` say and nothing else. Returns its ARN."""
    iam = access.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    if statements:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        iam.put_role_policy(RoleName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
    return str(role["Role"]["Arn"])


def make_function(access: Access, code: str, *, name: str = "tested", role: str | None = None) -> str:
    """A deployed function whose module is `code` with a `handler`. Returns its ARN."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", code)
    made = access.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role or make_role(access, f"{name}-role"),
        Handler="app.handler",
        Code={"ZipFile": content.getvalue()},
        Timeout=60,
    )
    return str(made["FunctionArn"])


def call(access: Access, function: str, event: dict[str, Any] | None = None) -> Any:
    answer = access.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event or {}))
    return json.loads(answer["Payload"].read())
