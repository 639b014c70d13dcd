"""Registers a service with the auth service of a running stack, by that package's own command.

The command is the one an operator uses on AWS; here it gets the stack's table, address and credentials.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from typing import Any

from local.errors import Unable
from local.state import ROOT

PACKAGE = ROOT / "layers" / "authservice" / "python"


async def register(facts: dict[str, Any], client_id: str, scope: str) -> int:
    """Register `client_id` with the scopes of `scope`; the command prints what it made. Raises Unable."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "authservice", "register-client", "--table", facts["outputs"]["AuthTableName"]),
        *("--id", client_id, "--scope", scope),
        cwd=PACKAGE,
        env=environment(facts["aws"]),
        stderr=PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        raise Unable(f"The client was not registered: {lines[-1] if lines else 'the command said nothing'}")
    return 0


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
