"""Nothing that opens a door is ever logged: not a token, not a ticket, not a secret, not an address's query."""

from __future__ import annotations

import json
import time

from tests.support.waiting import until

FUNCTIONS = ("authorizer", "connect", "message", "disconnect", "control", "http", "auth")


def logged(deployment, function):
    """Everything that a function has logged."""
    described = deployment.aws("lambda").get_function_configuration(FunctionName=deployment.function(function))
    group = described["LoggingConfig"]["LogGroup"]
    pages = deployment.aws("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return "\n".join(event["message"] for page in pages for event in page["events"])


def telling(secret):
    """The part of it that must be nowhere, as JSON has it: of a token the signature, of anything else the whole."""
    part = secret.rpartition(".")[2] if secret.count(".") == 2 and secret.startswith("eyJ") else secret
    return json.dumps(part)[1:-1]


async def test_no_log_holds_what_opens_a_door(deployment):
    """security.md, Logs."""
    login = deployment.login("eve")
    newer = deployment.refresh(login["refresh_token"]).json()
    ticket = deployment.ticket(newer["access_token"])
    expired = deployment.token("eve", exp=int(time.time()) - 100, iat=int(time.time()) - 200)
    secrets = [
        login["access_token"],
        login["refresh_token"],
        newer["access_token"],
        newer["refresh_token"],
        ticket,
        expired,
    ]
    async with deployment.socket(login["access_token"]) as socket:
        await socket.ask("hello", protocol=1)
        await socket.ask("refresh_token", token=expired)
        await socket.ask("refresh_token", token=newer["access_token"])
    async with deployment.socket(None, query=f"ticket={ticket}") as socket:
        await socket.ask("hello", protocol=1)
    for token in (newer["access_token"], expired, "nonsense"):
        deployment.threads(token)
        deployment.introspect(token)
    secrets.append(deployment.variables("auth")["INTROSPECTION_SECRET"])
    deployment.logout(newer["access_token"])

    await until(lambda: all('"service"' in logged(deployment, name) for name in FUNCTIONS), within_s=20)
    for name in FUNCTIONS:
        text = logged(deployment, name)
        assert [secret for secret in secrets if telling(secret) in text] == [], name
        assert "ticket=" not in text, name
