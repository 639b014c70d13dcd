"""`make erase-user` on a running stack: sockets, runs, threads, contexts and sign-ins of one user, nobody else's."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any
from uuid import uuid4

from tests.integration.deployment import LONG, ROOT, Deployment, refused
from tests.support.waiting import TIME_FACTOR

SECRET = "the combination is 4711"
PATIENCE_S = 90 * TIME_FACTOR


async def erased(deployment: Deployment, subject: str) -> str:
    """Run the command as `make erase-user` does; what it says."""
    port = str(deployment.facts["port"])
    command = [sys.executable, "-m", "local", "erase-user", "--user", subject, "--port", port]
    running = asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    done = await running
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(deployment: Deployment, subject: str) -> list[Any]:
    """All rows of a user in the table."""
    mine = f"USER#{deployment.user_id(subject)}"
    return [row for row in every_row(deployment, "TableName") if row["PK"]["S"].startswith(mine)]


def sign_ins(deployment: Deployment, subject: str) -> list[Any]:
    """The rows of the auth service that name a user."""
    return [row for row in every_row(deployment, "AuthTableName") if row.get("sub", {}).get("S") == subject]


def every_row(deployment: Deployment, table: str) -> list[Any]:
    pages = deployment.aws("dynamodb").get_paginator("scan").paginate(TableName=deployment.facts["outputs"][table])
    return [row for page in pages for row in page["Items"]]


async def lived(deployment: Deployment, name: str) -> str:
    """A thread with an answer in it, a context, a sign-in; the thread."""
    async with deployment.live(name) as socket:
        run = await socket.run(SECRET, message_id=f"{name}-1")
        await socket.ask("update_context", name="user.notes", patch={"of": SECRET})
    return str(run[0]["thread_id"])


async def test_a_user_is_erased_in_the_middle_of_a_run_and_another_keeps_everything(deployment):
    """H5's rule for all of a user: sockets are told and closed, runs end, nothing can be read, nothing comes back."""
    login = deployment.login("erin")
    token = login["access_token"]
    await lived(deployment, "erin")
    kept_thread = await lived(deployment, "kurt")
    before = rows(deployment, "kurt")
    async with deployment.live("kurt") as kurt, deployment.socket(token) as socket:
        await socket.ask("hello", protocol=1)
        await socket.ask(
            "user_message", content=f"{LONG}\n2026-01-05T09:00:00Z,{SECRET},1000,200,1.00", message_id=uuid4().hex
        )
        await socket.until(lambda frame: frame["type"] == "partial_result")
        working = asyncio.create_task(erased(deployment, "erin"))
        farewell = await socket.until(lambda frame: frame["type"] == "disconnect")
        said = await working
        assert (farewell["payload"]["code"], farewell["payload"]["reconnect"]) == ("revoked", False)
        history = (await kurt.ask("get_thread_history", thread_id=kept_thread))["payload"]["messages"]
        assert history[-1]["content"] == SECRET
        assert (await kurt.ask("get_context", name="user.notes"))["payload"]["value"] == {"of": SECRET}
    assert "nothing of the user is left" in said
    assert said.index("authservice: checked") < said.index("agentsocket: checked")
    left = rows(deployment, "erin")
    assert SECRET not in json.dumps(left)
    assert {row["SK"]["S"].split("#")[0] for row in left} <= {"THREAD", "META", "LIVE"}
    assert not [row for row in left if row["SK"]["S"].startswith(("LIVE#CONN", "LIVE#RUN", "LIVE#STOP"))]
    assert sign_ins(deployment, "erin") == []
    assert sign_ins(deployment, "kurt") != []
    unchanged = {row["PK"]["S"] + row["SK"]["S"] for row in before if not row["SK"]["S"].startswith(("LIVE", "QUOTA"))}
    assert unchanged <= {row["PK"]["S"] + row["SK"]["S"] for row in rows(deployment, "kurt")}
    assert deployment.refresh(login["refresh_token"]).status == 400
    assert deployment.threads(token).status == 401
    assert await refused(deployment, token) == 403


async def test_who_comes_back_finds_nothing_of_before(deployment):
    """And may be erased again."""
    thread = await lived(deployment, "enid")
    await erased(deployment, "enid")
    later = deployment.access.token("enid", iat=int(time.time()) + 29, exp=int(time.time()) + 900)
    assert deployment.threads(later).json() == {"threads": []}
    async with deployment.socket(later) as socket:
        await socket.ask("hello", protocol=1)
        assert (await socket.ask("get_context", name="user.notes"))["payload"]["version"] == 0
        assert (await socket.ask("get_thread_history", thread_id=thread))["payload"]["code"] == "not_found"
    assert "nothing of the user is left" in await erased(deployment, "enid")
