"""Removing a user: `python -m authservice erase-user`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest

from authservice.__main__ import main
from authservice.errors import Unavailable
from authservice.limits import Limits
from authservice.storage import Storage, user_key
from authservice.table import Table
from authservice.user_erasure import UserErasure
from tests.authservice.conftest import SESSION, TABLE, URL

ERASE = ["erase-user", "--table", TABLE, "--issuer", URL, "--subject", "ada"]


def keys(auth) -> set[str]:
    return {row["PK"]["S"] for row in auth.rows()}


def of_kind(auth, kind: str) -> list[str]:
    return [key for key in keys(auth) if key.startswith(kind)]


def test_sign_ins_and_refresh_tokens_go_and_nobody_else_s(auth, capsys):
    bob = auth.sign_in("bob")
    kept = keys(auth)
    first, second = auth.sign_in("ada"), auth.sign_in("ada")
    third = auth.call.refresh(first["refresh_token"]).json
    assert main(ERASE) == 0
    hashed = {key for key in keys(auth) if key.startswith("IDTOKEN#")}
    assert keys(auth) - hashed == kept - hashed
    assert "'ada'" not in str(auth.rows())
    printed = capsys.readouterr().out
    assert "3 refresh tokens, 2 sign-ins removed" in printed
    assert "checked: nothing of the user is left" in printed
    for tokens in (first, second, third):
        assert auth.call.refresh(tokens["refresh_token"]).status == 400
        assert not auth.active(tokens["access_token"])
    assert auth.call.refresh(bob["refresh_token"]).status == 200


def test_who_comes_back_signs_in_anew(auth):
    old = auth.sign_in("ada")
    main(ERASE)
    auth.clock.advance(60)
    new = auth.sign_in("ada")
    assert auth.active(new["access_token"])
    assert not auth.active(old["access_token"])


def test_it_may_be_repeated_and_a_user_who_never_was_is_no_error(auth, capsys):
    auth.sign_in("ada")
    assert [main(ERASE), main(ERASE)] == [0, 0]
    assert "0 refresh tokens, 0 sign-ins removed" in capsys.readouterr().out


def test_a_large_table_is_read_to_its_end(auth):
    """DynamoDB answers a megabyte at once."""
    auth.sign_in("ada")
    for number in range(4):
        texts = {"PK": f"FAMILY#{number}", "sid": str(number), "sub": "ada", "padding": "x" * 390_000}
        SESSION.client("dynamodb").put_item(TableName=TABLE, Item={name: {"S": text} for name, text in texts.items()})
    assert main(ERASE) == 0
    assert of_kind(auth, "FAMILY#") == of_kind(auth, "REFRESH#") == []


@pytest.mark.parametrize("after", range(1, 4))
def test_a_crash_is_finished_by_the_next_time(auth, after):
    """From the logout on nothing is issued, and what is found only by another row goes before that."""
    tokens = auth.sign_in("ada")
    table = Table(SESSION.client("dynamodb"), TABLE, now=auth.clock)
    storage = Storage(table, issuer=URL, limits=Limits())
    with pytest.raises(Unavailable):
        UserErasure(cast(Table, Failing(table, after=after)), storage, issuer=URL).erase("ada")
    assert auth.call.refresh(tokens["refresh_token"]).status == 400
    assert main(ERASE) == 0
    assert of_kind(auth, "FAMILY#") == of_kind(auth, "REFRESH#") == []
    assert user_key(URL, "ada") not in keys(auth)


class Failing:
    """A table that removes so often and then not any more."""

    def __init__(self, table: Any, *, after: int) -> None:
        self._table = table
        self._left = after - 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def remove(self, rows: Any) -> None:
        if not self._left:
            raise Unavailable("the power is gone")
        self._left -= 1
        self._table.remove(rows)


def test_a_table_that_is_not_there_is_one_sentence(auth, capsys):
    SESSION.client("dynamodb").delete_table(TableName=TABLE)
    assert main(ERASE) == 1
    printed = capsys.readouterr()
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)


def test_help_says_what_it_does_and_needs():
    command = [sys.executable, "-m", "authservice", "erase-user", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for words in ("--subject", "identity provider", "agentsocket erase-user", "dynamodb:BatchGetItem"):
        assert words in done.stdout
