"""The operator's command line: `python -m agentsocket erase-user`."""

from __future__ import annotations

import json
import subprocess
import sys

import boto3
import pytest

from agentsocket import wiring
from agentsocket.__main__ import main
from agentsocket.contexts.contract import change
from agentsocket.contexts.dynamodb import TableContexts
from tests.conftest import ISSUER
from tests.support.fakes import Scripted
from tests.support.redis_server import PASSWORD
from tests.support.world import World

ERASE = ["erase-user", "--table", "agentsocket", "--issuer", ISSUER, "--subject", "ada", "--wait", "0"]


@pytest.fixture(autouse=True)
def fresh_wiring():
    """Seams are made once per process; each test is a process of its own, as far as they know."""
    yield
    for getter in vars(wiring).values():
        if hasattr(getter, "cache_clear"):
            getter.cache_clear()


@pytest.fixture
def clock():
    """The operator's is the real one."""
    import time

    return time.time


async def test_a_user_s_rows_are_removed_and_sockets_closed(storage, runtime, ada, limits, capsys):
    world = World(storage, runtime, Scripted([]))
    world.connect(ada, "a1")
    world.send(ada, "a1", "a secret", message_id="m1")
    change(TableContexts(storage._table, limits=limits).for_user(ada).own, "user.notes", {"of": "a secret"})
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="control")["QueueUrl"]
    assert main([*ERASE, "--control-queue", queue]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"agentsocket: user {ada.user}"
    assert "agentsocket: checked: nothing of the user is left" in printed
    assert printed.splitlines()[-1].startswith("agentsocket: contexts: dynamodb; give CONTEXT_STORE and REDIS_URL")
    assert "a secret" not in str(boto3.client("dynamodb").scan(TableName="agentsocket")["Items"])
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    order = json.loads(message["Body"])["revoke"]
    assert (order["iss"], order["sub"]) == (ISSUER, "ada")
    assert order["not_before"] >= ada.issued_at


def test_what_it_erased_may_be_erased_again(storage, runtime, ada):
    World(storage, runtime, Scripted([])).connect(ada, "a1")
    assert [main(ERASE), main(ERASE)] == [0, 0]


def test_an_issuer_that_is_not_the_tokens_own_erases_nobody_and_says_so_each_time(storage, runtime, ada, capsys):
    World(storage, runtime, Scripted([])).connect(ada, "a1")
    before = boto3.client("dynamodb").scan(TableName="agentsocket")["Items"]
    nearly = [f"{ISSUER}/" if word == ISSUER else word for word in ERASE]
    assert [main(nearly), main(nearly)] == [1, 1]
    [said, _again] = capsys.readouterr().err.splitlines()
    for words in (f"issuer '{ISSUER}/'", "subject 'ada'", "nobody was erased", "Check --issuer", "--table agentsocket"):
        assert words in said
    assert boto3.client("dynamodb").scan(TableName="agentsocket")["Items"] == before


def test_the_store_of_contexts_that_was_erased_is_named(storage, runtime, ada, monkeypatch, capsys, redis_process):
    World(storage, runtime, Scripted([])).connect(ada, "a1")
    monkeypatch.setenv("CONTEXT_STORE", "redis")
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{redis_process.port}")
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    assert main(ERASE) == 0
    wiring.contexts(table="agentsocket")._server.close()  # type: ignore[attr-defined]
    assert capsys.readouterr().out.splitlines()[-1] == "agentsocket: contexts: redis"


def test_a_table_that_is_not_there_is_one_sentence(dynamodb, capsys):
    dynamodb.delete_table(TableName="agentsocket")
    assert main(ERASE) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_table_that_does_not_answer_says_to_run_it_again(monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(ERASE) == 1
    assert "run it again" in capsys.readouterr().err


def test_a_redis_that_is_not_given_is_one_sentence(dynamodb, monkeypatch, capsys):
    """L4."""
    monkeypatch.setenv("CONTEXT_STORE", "redis")
    assert main(ERASE) == 1
    assert "REDIS_URL" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["erase-user", "--help"]])
def test_help_says_what_goes_what_stays_and_what_it_needs(arguments):
    done = subprocess.run([sys.executable, "-m", "agentsocket", *arguments], capture_output=True, text=True, check=True)
    for words in ("erase-user", "authservice erase-user", "CONTEXT_STORE", "dynamodb:BatchGetItem", "run it again"):
        assert words in done.stdout
