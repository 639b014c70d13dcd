"""What README.md and docs/ tell people to type, typed: every command line that no page marks, in its page's order."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.support.pages import PROMPT, blocks, commands, pages
from tests.support.size_budget import ROOT
from tests.support.waiting import TIME_FACTOR, until

PAGES = [page for page in pages() if any(command.runs_here for command in commands(page))]
LOGGED_OUT = "curl -s $AUTH/oauth/logout -X POST"
_MARK = "\x1e"


class Typed(NamedTuple):
    """One command line, and what it printed."""

    command: str
    said: str


@pytest.fixture(scope="module")
def shell(deployment):
    """Runs commands as written, but at this stack: `make` is told its port, addresses are replaced."""
    making = f"-o setup PYTHON={shlex.quote(sys.executable)} PORT={deployment.facts['port']}"
    places = {"http://localhost:8081": deployment.auth, "http://localhost:8082": deployment.http}

    def run(lines: list[str], **variables: str) -> list[Typed]:
        text = "\n".join(f"{line}\nprintf '{_MARK}'" for line in lines)
        for written, here in places.items():
            text = text.replace(written, here)
        bound = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        script = f'set -o pipefail\nmake() {{ command make {making} "$@"; }}\n{bound}{text}'
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=ROOT,
            input="hello\n",
            capture_output=True,
            text=True,
            timeout=120 * TIME_FACTOR,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [Typed(*each) for each in zip(lines, done.stdout.split(_MARK)[:-1], strict=True)]

    return run


@pytest.fixture(scope="module")
def typed(deployment, shell):
    """What the command lines of a page print, each page typed once; `grace` has signed in."""
    found: dict[str, list[Typed]] = {}

    def page(name: str) -> list[Typed]:
        if name not in found:
            tokens = {
                "ID_TOKEN": deployment.issuer.id_token("grace"),
                "REFRESH_TOKEN": deployment.login("grace")["refresh_token"],
            }
            found[name] = shell([each.text for each in commands(name) if each.runs_here], **tokens)
        return found[name]

    return page


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_a_page_works(typed, page):
    ended = False  # who has logged out gets an error, as the page says
    for command, said in typed(page):
        assert ended or not said.startswith('{"error"'), command
        ended = ended or command.startswith(LOGGED_OUT)


def test_the_picture_of_a_run_is_what_a_run_prints(typed):
    """But for how long it took, and for how the text is cut into pieces: whole it is what the frames of a run bring."""
    (picture,) = [block for block in blocks("README.md") if block.kind == "console"]
    first, _, shown = picture.text.partition("\n")
    (said,) = [said for command, said in typed("README.md") if PROMPT + command == first]
    assert told(said) == told(shown)
    (printed,) = [said for command, said in typed("docs/quickstart.md") if "JSON=1" in command]
    frames = [json.loads(line) for line in printed.splitlines()]
    text = "".join(each["payload"]["content"] for each in frames if each["type"] == "partial_result")
    assert pieces(shown).split() == text.replace("\n", "\\n").split()


def told(printed: str) -> list[str]:
    """The lines of a chat but for the pieces of the text, and for times."""
    lines = [re.sub(r"\d+ ms", "… ms", line) for line in printed.splitlines()]
    return [line for line in lines if not line.startswith("partial_result")]


def pieces(printed: str) -> str:
    """The pieces of the text, joined."""
    return " ".join(re.findall(r"^partial_result  (.*)$", printed, re.MULTILINE))


async def test_a_session_from_sign_in_to_logout(typed, deployment):
    """C1, C3."""
    said = dict(reversed(typed("docs/quickstart.md")))  # of two that are alike the first
    assert json.loads(said["curl -s $AUTH/.well-known/oauth-authorization-server"])["issuer"] == deployment.auth
    listing = 'curl -s $API/threads -H "Authorization: Bearer $TOKEN"'
    assert set(json.loads(said[listing])) == {"threads"}
    ticket = json.loads(said['curl -s $AUTH/ticket -X POST -H "Authorization: Bearer $TOKEN"'])
    assert set(ticket) == {"ticket", "expires_in"}
    assert said['curl -s $AUTH/oauth/logout -X POST -H "Authorization: Bearer $TOKEN"'] == ""


async def test_after_the_logout_the_token_is_refused(shell, deployment):
    """C3."""
    lines = [each.text for each in commands("docs/quickstart.md") if each.runs_here]
    start, logout = [next(i for i, line in enumerate(lines) if line.startswith(w)) for w in ("AUTH=", LOGGED_OUT)]
    token = shell([*lines[start : start + 2], lines[logout], "echo $TOKEN"])[-1].said.strip()
    last = lines[logout + 1]
    await until(lambda: '"unauthorized"' in shell([lines[start], f"TOKEN={token}", last])[-1].said, within_s=20)


def test_the_exchange_and_the_refresh_by_hand(typed):
    """C1, C2."""
    answers = [json.loads(said) for command, said in typed("docs/clients.md") if "/oauth/token" in command]
    assert len(answers) == 2
    for answer in answers:
        assert answer.keys() >= {"access_token", "refresh_token", "expires_in", "token_type"}


def test_a_thread_is_made_and_read_over_http(typed):
    said = typed("docs/clients.md")
    (made,) = [json.loads(text) for command, text in said if "Idempotency-Key" in command]
    (read,) = [json.loads(text) for command, text in said if "/messages" in command]
    assert (made["title"], read) == ("Costs", {"messages": []})


async def test_an_operator_logs_somebody_else_out(shell, deployment):
    """C3."""
    (block,) = [block for block in blocks("docs/operate.md") if "make --silent client" in block.text]
    lines = [command.text.replace("ID=ops", "ID=ops-2") for command in block.commands()]
    token = deployment.token("ada")
    assert deployment.threads(token).status == 200
    assert shell([line.replace("-u ops:", "-u ops-2:") for line in lines])[-1].said == ""
    await until(lambda: deployment.threads(token).status == 401, within_s=20)


def test_the_program_in_the_readme_of_the_client_runs_as_it_stands(deployment, tmp_path):
    (program,) = [block.text for block in blocks("clients/python/README.md") if block.kind == "python"]
    given = os.environ | {"AGENTSOCKET_URL": deployment.url, "AGENTSOCKET_TOKEN": deployment.token("ada")}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=60 * TIME_FACTOR, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("final_report ")


def test_both_services_say_that_they_are_well(typed):
    api, auth = [json.loads(said) for command, said in typed("docs/operate.md") if command.endswith("/health")]
    assert (api["status"], set(api["dependencies"])) == ("ok", {"table", "contexts"})
    assert auth["status"] == "ok"
