from __future__ import annotations

import pytest

from agentsocket import admission
from agentsocket.errors import NoToken, TokenRejected
from agentsocket.inputs import Upgrade
from agentsocket.principal import of_run

ORIGINS = frozenset({"https://app.example"})


def admit(**headers):
    """The token that was taken from these headers."""
    seen = []

    def verify(token):
        seen.append(token)
        return of_run("u")

    upgrade = Upgrade({name.replace("_", "-"): [value] for name, value in headers.items()})
    admission.admit(upgrade, verify=verify, origins=ORIGINS)
    return seen[0]


def test_a_browser_s_token_comes_in_the_subprotocol():
    """A8."""
    assert admit(sec_websocket_protocol="agentsocket.v1, bearer.abc.def") == "abc.def"


def test_a_program_s_token_comes_in_authorization():
    assert admit(authorization="Bearer abc.def") == "abc.def"
    assert admit(authorization="bearer abc") == "abc"


def test_the_subprotocol_is_preferred():
    assert admit(authorization="Bearer b", sec_websocket_protocol="bearer.a") == "a"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic x"}, {"sec_websocket_protocol": "agentsocket.v1"}])
def test_no_token_is_told_apart_from_a_bad_one(headers):
    """A4."""
    with pytest.raises(NoToken):
        admit(**headers)


def test_two_tokens_are_one_too_many():
    with pytest.raises(TokenRejected):
        admit(sec_websocket_protocol="bearer.a, bearer.b")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", ""]
)
def test_a_foreign_origin_is_refused(origin):
    """A9."""
    with pytest.raises(TokenRejected, match="Origin"):
        admit(authorization="Bearer a", origin=origin)


def test_a_listed_origin_passes():
    assert admit(authorization="Bearer a", origin="https://app.example") == "a"


def test_the_answer_never_names_the_token():
    """A8."""
    offered = Upgrade({"sec-websocket-protocol": ["agentsocket.v1, bearer.abc"]})
    assert admission.answered_subprotocol(offered) == "agentsocket.v1"
    assert admission.answered_subprotocol(Upgrade({"sec-websocket-protocol": ["bearer.abc"]})) is None
