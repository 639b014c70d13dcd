"""What README.md tells people to type, typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from tests.integration.deployment import ROOT
from tests.support.waiting import TIME_FACTOR, until

_README = (ROOT / "README.md").read_text()
_SECTION = _README.partition("## Signing in")[2].partition("\n## ")[0]
_MARK = "\x1e"


def blocks() -> list[list[str]]:
    """The commands of each code block of the section on signing in."""
    texts = re.findall(r"```\n(.*?)```", _SECTION, re.DOTALL)
    return [re.sub(r"(\\|(?<=\|))\n", " ", text).strip().splitlines() for text in texts]


SESSION, BY_HAND, SOMEBODY_ELSE = blocks()


@pytest.fixture
def shell(deployment):
    """Runs commands as written, but at this stack's addresses; what each of them prints."""
    port = str(deployment.facts["port"])
    local = shlex.join([sys.executable, "-m", "local"])
    places = {"http://localhost:8081": deployment.auth, "http://localhost:8082": deployment.http}

    def run(commands, **variables):
        text = f" ; printf '{_MARK}'\n".join([*commands, "true"])
        for written, here in places.items():
            text = text.replace(written, here)
        text = text.replace("make --silent token USER=ada", f"{local} token --user ada --port {port}")
        text = text.replace(
            "make --silent client ID=ops SCOPE=users:logout",
            f"{local} client --id ops --scope users:logout --port {port}",
        )
        assert "make" not in text
        bound = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        done = subprocess.run(
            ["bash", "-ec", bound + text], cwd=ROOT, capture_output=True, text=True, timeout=60 * TIME_FACTOR
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split(_MARK)[:-1]

    return run


async def test_a_session_from_sign_in_to_logout(shell, deployment):
    """C1, C3."""
    _, _, metadata, threads, ticket, logout, _ = shell(SESSION)
    assert json.loads(metadata)["issuer"] == deployment.auth
    assert set(json.loads(threads)) == {"threads"}
    assert set(json.loads(ticket)) == {"ticket", "expires_in"}
    assert logout == ""
    *earlier, last = SESSION
    token = shell([*earlier[:2], "echo $TOKEN", earlier[-1]])[2].strip()
    await until(lambda: '"unauthorized"' in shell([earlier[0], f"TOKEN={token}", last])[2], within_s=20)


def test_the_exchange_and_the_refresh_by_hand(shell, deployment):
    """C1, C2."""
    exchanged, refreshed = shell(
        BY_HAND,
        AUTH=deployment.auth,
        ID_TOKEN=deployment.issuer.id_token("grace"),
        REFRESH_TOKEN=deployment.login("grace")["refresh_token"],
    )
    for answer in (exchanged, refreshed):
        assert json.loads(answer).keys() >= {"access_token", "refresh_token", "expires_in", "token_type"}


async def test_an_operator_logs_somebody_else_out(shell, deployment):
    """C3."""
    token = deployment.token("ada")
    assert deployment.threads(token).status == 200
    assert shell(SOMEBODY_ELSE, AUTH=deployment.auth)[-1] == ""
    await until(lambda: deployment.threads(token).status == 401, within_s=20)
