"""Registering clients: `python -m authservice register-client`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from authservice.__main__ import main
from tests.authservice.conftest import SESSION, TABLE

REGISTER = ["register-client", "--table", TABLE, "--id", "ops", "--scope", "users:logout  reports"]


def test_a_registered_client_gets_a_secret_that_is_shown_once(auth, capsys):
    assert main(REGISTER) == 0
    secret = capsys.readouterr().out.strip()
    assert len(secret) == 43
    answer = auth.call.post("/oauth/token", basic=("ops", secret), grant_type="client_credentials")
    assert answer.json["scope"] == "reports users:logout"
    assert secret not in str(auth.rows())


def test_a_client_that_exists_keeps_its_secret_unless_it_is_to_be_replaced(auth, capsys):
    main(REGISTER)
    first = capsys.readouterr().out.strip()
    assert main(REGISTER) == 1
    assert "--replace" in capsys.readouterr().err
    assert auth.call.post("/oauth/token", basic=("ops", first), grant_type="client_credentials").status == 200
    assert main([*REGISTER, "--replace"]) == 0
    second = capsys.readouterr().out.strip()
    assert auth.call.post("/oauth/token", basic=("ops", first), grant_type="client_credentials").status == 401
    assert auth.call.post("/oauth/token", basic=("ops", second), grant_type="client_credentials").status == 200


@pytest.mark.parametrize(
    ("client_id", "scope"),
    [
        ("", "a"),
        ("a b", "a"),
        ("x" * 65, "a"),
        ("é", "a"),
        ("a#b", "a"),
        ("a:b", "a"),
        ("a", ""),
        ("a", " "),
        ("a", "é"),
        ("a", 'x"'),
    ],
)
def test_what_is_no_id_or_no_scope_is_one_sentence(auth, capsys, client_id, scope):
    assert main(["register-client", "--table", TABLE, "--id", client_id, "--scope", scope]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert auth.rows() == []


def test_a_table_that_is_not_there_is_one_sentence(auth, capsys):
    SESSION.client("dynamodb").delete_table(TableName=TABLE)
    assert main(REGISTER) == 1
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)


@pytest.mark.parametrize("arguments", [["--help"], ["register-client", "--help"]])
def test_help_says_what_the_client_does_with_its_secret(arguments):
    done = subprocess.run([sys.executable, "-m", "authservice", *arguments], capture_output=True, text=True, check=True)
    for words in ("register-client", "grant_type=client_credentials", "/oauth/logout", "dynamodb:PutItem"):
        assert words in done.stdout
