"""What an operator does on AWS with the packages' own commands, done to a running stack.

The commands are the same; here they get the stack's tables, addresses and credentials.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from typing import TYPE_CHECKING, Any

from local.aws import Access
from local.errors import Unable
from local.state import ROOT

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CONTEXTS = ("CONTEXT_STORE", "REDIS_URL", "REDIS_CLUSTER", "REDIS_USERNAME", "REDIS_PASSWORD")
WAIT_S = "5"  # on AWS a function may take half a minute; here none does


async def register(facts: dict[str, Any], client_id: str, scope: str) -> int:
    """Register `client_id` with the scopes of `scope`; the command prints what it made. Raises Unable."""
    command = ("register-client", "--table", facts["outputs"]["AuthTableName"], "--id", client_id, "--scope", scope)
    await _command(facts, "authservice", *command, failed="The client was not registered")
    return 0


async def erase(facts: dict[str, Any], subject: str) -> int:
    """Remove everything that is kept of a user, here and in the auth service; the commands say how. Raises Unable."""
    outputs, variables = facts["outputs"], _variables(facts)
    who = ("--issuer", variables["ISSUER"], "--subject", subject)
    failed = "The user was not erased"
    if "AuthTableName" in outputs:
        await _command(facts, "authservice", "erase-user", "--table", outputs["AuthTableName"], *who, failed=failed)
    command = ("erase-user", "--table", outputs["TableName"], "--control-queue", outputs["ControlQueueUrl"], *who)
    contexts = {name: variables[name] for name in CONTEXTS if variables.get(name)}
    await _command(facts, "agentsocket", *command, "--wait", WAIT_S, failed=failed, **contexts)
    return 0


def _variables(facts: dict[str, Any]) -> dict[str, str]:
    """What the deployment gives to its HTTP function: the tokens' issuer, and where contexts are kept."""
    client: LambdaClient = Access(**facts["aws"]).client("lambda")
    described = client.get_function_configuration(FunctionName=facts["outputs"]["HttpFunctionName"])
    return dict(described["Environment"]["Variables"])


async def _command(facts: dict[str, Any], package: str, *arguments: str, failed: str, **variables: str) -> None:
    """Run a package's command line. Raises Unable with its last words."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", package, *arguments),
        cwd=ROOT / "layers" / package / "python",
        env=environment(facts["aws"]) | variables,
        stderr=PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise Unable(f"{failed}: {lines[-1] if lines else 'the command said nothing'}")


def environment(aws: dict[str, str]) -> dict[str, str]:
    """The caller's own but for his AWS settings, and the stack's instead."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return mine | {
        "AWS_ENDPOINT_URL": aws["endpoint_url"],
        "AWS_ACCESS_KEY_ID": aws["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": aws["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": aws["region_name"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1,localhost",
    }
