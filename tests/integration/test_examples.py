"""What `examples/` shows, run as its README says: the bot as a program, the page's script in a JavaScript engine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from asyncio.subprocess import PIPE
from urllib.request import urlopen

from agentsocket.agents.catalog import DEFAULT
from examples.bot import LOCAL_STACK
from local.__main__ import DEFAULT_PORT
from tests.integration.conftest import ORIGIN
from tests.integration.deployment import ROOT
from tests.integration.network_link import line
from tests.integration.scripts import fail, say, script, think, wait_for
from tests.support.browser_page import opened
from tests.support.waiting import TIME_FACTOR

EXAMPLES = ROOT / "examples"
PAGE = EXAMPLES / "browser" / "index.html"


def blocks(title):
    """The commands of a section of examples/README.md, a text for each block."""
    section = (EXAMPLES / "README.md").read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def here(address, deployment):
    """A default address at the port of this stack, which is a free one and not the default."""
    return address.replace(f":{DEFAULT_PORT}/", f":{deployment.facts['port']}/")


async def bot(deployment, question, **settings):
    """The bot's exit status, and what it wrote to standard output and to standard error."""
    given = {"AGENTSOCKET_URL": deployment.url, "AGENTSOCKET_TOKEN": deployment.token("bot")} | settings
    command = [sys.executable, "-W", "error", str(EXAMPLES / "bot.py"), *question]
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | given, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(40 * TIME_FACTOR):
            answer, steps = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, answer.decode(), steps.decode()


# --- The bot


async def test_the_bot_prints_the_answer_and_the_steps(speaking):
    assert await bot(speaking, [script(think(2), say("{n} ", 3))]) == (0, "1 2 3 \n", "[thought 1]\n[thought 2]\n")


def test_the_bot_is_started_as_its_readme_says(deployment):
    """But at this stack's port, and with this Python: host and path are the bot's own."""
    [commands] = blocks("The bot")
    python = shlex.quote(sys.executable)
    for written, replacement in (
        (".venv/bin/python", python),
        ("make --silent token USER=ada", f"{python} -m local token --user ada --port {deployment.facts['port']}"),
    ):
        assert written in commands
        commands = commands.replace(written, replacement)
    given = os.environ | {"AGENTSOCKET_URL": here(LOCAL_STACK, deployment)}
    done = subprocess.run(["bash", "-ec", commands], cwd=ROOT, env=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


async def test_the_bot_says_why_there_is_no_answer(speaking):
    status, answer, steps = await bot(speaking, [script(fail("broken"))])
    assert (status, answer) == (1, "\n")
    assert "It did not work. Try again." in steps


async def test_the_bot_names_a_refused_token(deployment):
    status, answer, steps = await bot(deployment, ["hello"], AGENTSOCKET_TOKEN="wrong")
    assert (status, answer) == (1, "")
    assert steps.startswith("bot: ")
    assert "403" in steps


async def test_the_bot_asks_the_agent_that_it_is_given(deployment):
    status, answer, _ = await bot(deployment, ["hello", DEFAULT])
    assert status == 0
    assert answer.strip()
    status, answer, steps = await bot(deployment, ["hello", "nobody"])
    assert (status, answer) == (1, "")
    assert steps.startswith("bot: ")
    assert "agent" in steps


async def test_the_bot_says_how_it_is_used(deployment):
    assert await bot(deployment, []) == (2, "", "usage: AGENTSOCKET_TOKEN=... bot.py QUESTION [AGENT]\n")


# --- The page


def test_the_page_is_one_file_that_loads_no_other():
    text = PAGE.read_text()
    assert text.count("<script>") == text.count("<script") == 1
    assert not re.findall(r"\b(?:src|href)=|@import|\bimport\b|\bfetch\(", text)


def test_the_page_is_served_from_the_origin_that_its_readme_has_the_stack_allow():
    """But on a port that is free here."""
    stack, server = blocks("The browser page")
    [parameters] = re.findall(r"PARAMETERS='(.*)'", stack)
    python, _, _, port, *options = server.split()
    assert json.loads(parameters) == {"AllowedOrigins": f"http://localhost:{port}"}
    assert python == "python3"
    command = [sys.executable, "-u", "-m", "http.server", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        [own] = re.findall(r" port (\d+) ", process.stdout.readline())
        with process.stdout, urlopen(f"http://127.0.0.1:{own}/") as response:
            assert response.read() == PAGE.read_bytes()
    finally:
        process.kill()
        process.wait()


async def test_the_page_shows_a_run(speaking):
    async with opened(PAGE, origin=ORIGIN) as page:
        [default] = re.findall(r'id="url"[^>]* value="([^"]*)"', PAGE.read_text())
        await page.submit("connect", url=here(default, speaking), token=speaking.token("page"))
        await page.until(lambda seen: seen.status == f"connected as {speaking.user_id('page')}")
        question = script(think(1), say("{n} ", 3))
        await page.submit("send", content=question)
        seen = await page.until(lambda seen: seen.texts("answer") == ["1 2 3 "])
        assert seen.shown == [("question", question), ("step", "thought 1"), ("answer", "1 2 3 ")]


async def test_the_page_goes_on_in_its_thread(speaking):
    async with opened(PAGE, origin=ORIGIN) as page:
        await page.submit("connect", url=speaking.url, token=speaking.token("pia"))
        await page.submit("send", content=script(say("one")))
        await page.until(lambda seen: seen.texts("answer") == ["one"])
        await page.submit("send", content=script(say("two")))
        seen = await page.until(lambda seen: seen.texts("answer") == ["one", "two"])
        assert [kind for kind, _ in seen.shown] == ["question", "answer"] * 2


async def test_the_page_resumes_where_its_connection_was_lost(speaking, tmp_path):
    """Cut in the middle of an answer, which goes on meanwhile: every piece is shown, and none twice."""
    go = tmp_path / "go"
    async with line(speaking.url) as between, opened(PAGE, origin=ORIGIN) as page:
        await page.submit("connect", url=between.url, token=speaking.token("petra"))
        await page.submit("send", content=script(say("before "), wait_for(go), say("{n} ", 5), think(1)))
        await page.until(lambda seen: seen.texts("answer") == ["before "])
        await between.down()
        await page.until(lambda seen: seen.status.startswith("not connected"))
        go.touch()
        await between.up()
        seen = await page.until(lambda seen: "thought 1" in seen.texts("step"), within_s=60)
        assert seen.texts("answer") == ["before 1 2 3 4 5 "]
        assert len(seen.texts("question")) == 1
        assert between.opened > 1


async def test_a_message_written_without_a_connection_is_sent_with_the_next(speaking):
    async with line(speaking.url) as between, opened(PAGE, origin=ORIGIN) as page:
        await page.submit("connect", url=between.url, token=speaking.token("paul"))
        await page.until(lambda seen: seen.status.startswith("connected"))
        await between.down()
        await page.until(lambda seen: seen.status.startswith("not connected"))
        await page.submit("send", content=script(say("late")))
        await between.up()
        await page.until(lambda seen: seen.texts("answer") == ["late"], within_s=60)


async def test_the_page_stops_when_the_server_says_so(speaking):
    token = speaking.login("pete")["access_token"]
    async with opened(PAGE, origin=ORIGIN) as page:
        await page.submit("connect", url=speaking.url, token=token)
        await page.until(lambda seen: seen.status.startswith("connected"))
        assert speaking.logout(token).status == 204
        await page.until(lambda seen: seen.status.startswith("ended: "))


async def test_a_page_of_another_origin_is_not_connected(deployment):
    async with opened(PAGE, origin="https://elsewhere.example") as page:
        await page.submit("connect", url=deployment.url, token=deployment.token("page"))
        await page.until(lambda seen: seen.status.startswith("not connected"))
        assert not [status for status in page.statuses if status.startswith("connected")]
