"""The tree of errors, and the one table of disconnects: protocol.md and the published schema have the same codes."""

from __future__ import annotations

import re

import pytest

from agentsocket import errors
from agentsocket.errors import DISCONNECTS, AgentSocketError, CommandError, Disconnect
from agentsocket.protocol import schema
from tests.support.size_budget import ROOT


def test_every_error_is_of_one_tree():
    found = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert len(found) > 20
    assert all(issubclass(error, AgentSocketError) for error in found)


def test_no_two_command_errors_share_a_code():
    codes = [error.code for error in CommandError.__subclasses__()]
    assert len(codes) == len(set(codes)) > 10


@pytest.mark.parametrize("code", sorted(DISCONNECTS))
def test_a_disconnect_takes_its_words_from_the_table(code):
    error = Disconnect(code)
    assert (error.reconnect, error.reason) == DISCONNECTS[code]
    assert str(error) == error.reason


@pytest.mark.parametrize("code", sorted(DISCONNECTS))
def test_a_reason_says_what_happened_and_what_to_do(code):
    reconnect, reason = DISCONNECTS[code]
    assert re.fullmatch(r"[^:]{10,70}: [^:]{5,60}", reason)
    assert ("reconnect" in reason.partition(":")[2]) == reconnect


def test_a_code_that_is_not_in_the_table_cannot_be_raised():
    with pytest.raises(KeyError):
        Disconnect("tired")


def test_protocol_md_has_the_same_table():
    """G2."""
    page = (ROOT / "docs" / "protocol.md").read_text()
    section = page.partition("## Disconnect codes")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (reconnect|final) \|", section, re.MULTILINE))
    assert rows == {code: "reconnect" if reconnect else "final" for code, (reconnect, _) in DISCONNECTS.items()}


def test_the_published_schema_names_every_code():
    """G2."""
    shape = schema.document()["$defs"]["DisconnectNotice"]["properties"]["code"]
    assert shape["examples"] == sorted(DISCONNECTS)
