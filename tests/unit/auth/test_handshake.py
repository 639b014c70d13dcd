from __future__ import annotations

from typing import Any

import pytest

from agentsocket.auth import handshake
from agentsocket.errors import NoToken, TokenRejected
from agentsocket.inputs import Upgrade
from agentsocket.principal import of_claims

ORIGINS = frozenset({"https://app.example"})
ADA = of_claims({"iss": "https://issuer.example", "sub": "ada", "iat": 1, "exp": 2})


def admit(query=None, *, token_in_query=False, **headers):
    """What was taken from this upgrade, and as which kind; a header or parameter may be a list of values."""
    seen = []

    def taken_as(kind):
        def check(token):
            seen.append((kind, token))
            return ADA

        return check

    def several(value):
        return value if isinstance(value, list) else [value]

    upgrade = Upgrade(
        {name.replace("_", "-"): several(value) for name, value in headers.items()},
        {name: several(value) for name, value in (query or {}).items()},
    )
    who = handshake.admit(
        upgrade,
        verify=taken_as("token"),
        verify_ticket=taken_as("ticket"),
        origins=ORIGINS,
        token_in_query=token_in_query,
    )
    assert who is ADA
    [one] = seen
    return one


def test_a_browser_s_token_comes_in_the_subprotocol():
    """A8."""
    assert admit(sec_websocket_protocol="agentsocket.v1, bearer.abc.def") == ("token", "abc.def")


def test_a_program_s_token_comes_in_authorization():
    assert admit(authorization="Bearer abc.def") == ("token", "abc.def")
    assert admit(authorization="bearer abc") == ("token", "abc")


def test_a_ticket_comes_in_the_query_and_is_never_taken_for_a_token():
    assert admit({"ticket": "abc.def"}) == ("ticket", "abc.def")


def test_a_token_in_the_query_is_refused_unless_the_deployment_turns_it_on():
    with pytest.raises(TokenRejected, match="no token in the query"):
        admit({"token": "abc"})
    assert admit({"token": "abc"}, token_in_query=True) == ("token", "abc")


NOTHING: dict[str, dict[str, Any]] = {
    "no carrier": {},
    "another scheme": {"authorization": "Basic x"},
    "no scheme": {"authorization": "abc.def"},
    "our subprotocol alone": {"sec_websocket_protocol": "agentsocket.v1"},
    "another case of bearer.": {"sec_websocket_protocol": "BEARER.abc"},
    "another parameter": {"query": {"Ticket": "abc", "access_token": "abc"}},
}


@pytest.mark.parametrize("upgrade", NOTHING.values(), ids=NOTHING)
def test_no_token_is_told_apart_from_a_bad_one(upgrade):
    """A4."""
    with pytest.raises(NoToken):
        admit(**upgrade, token_in_query=True)


CARRIERS: dict[str, dict[str, Any]] = {
    "subprotocol": {"sec_websocket_protocol": "agentsocket.v1, bearer.a"},
    "authorization": {"authorization": "Bearer a"},
    "ticket": {"query": {"ticket": "a"}},
    "token": {"query": {"token": "a"}},
}
TWICE: dict[str, Any] = {
    "bearer twice in one header": {"sec_websocket_protocol": "bearer.a, bearer.b"},
    "bearer in two headers": {"sec_websocket_protocol": ["bearer.a", "bearer.a"]},
    "authorization twice": {"authorization": ["Bearer a", "Bearer b"]},
    "ticket twice": {"query": {"ticket": ["a", "b"]}},
    "token twice": {"query": {"token": ["a", "b"]}},
    "ticket and token": {"query": {"ticket": "a", "token": "b"}},
} | {
    f"{one} and {other}": CARRIERS[one] | CARRIERS[other]
    for one in ("subprotocol", "authorization")
    for other in ("authorization", "ticket", "token")
    if one != other
}


@pytest.mark.parametrize("upgrade", TWICE.values(), ids=TWICE)
def test_two_tokens_are_one_too_many(upgrade):
    with pytest.raises(TokenRejected, match="more than one"):
        admit(**upgrade, token_in_query=True)


@pytest.mark.parametrize("carrier", ["subprotocol", "authorization"])
def test_a_token_in_the_query_is_refused_beside_a_proper_one_too(carrier):
    with pytest.raises(TokenRejected, match="no token in the query"):
        admit(**CARRIERS[carrier], query={"token": "b"})


def test_a_proxy_s_credentials_are_no_second_token():
    assert admit(authorization=["Basic x", "Bearer a"]) == ("token", "a")


@pytest.mark.parametrize(
    "empty", [{"authorization": "Bearer"}, {"sec_websocket_protocol": "bearer."}, {"query": {"ticket": ""}}]
)
def test_an_empty_token_is_a_bad_one_for_whoever_checks_it(empty):
    assert admit(**empty)[1] == ""


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil", "http://app.example", "", "*"]
)
@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_a_foreign_origin_is_refused_whatever_carries_the_token(origin, carrier):
    """A9."""
    with pytest.raises(TokenRejected, match="Origin"):
        admit(**carrier, origin=origin)


def test_a_foreign_origin_beside_a_listed_one_is_refused():
    """A9."""
    with pytest.raises(TokenRejected, match="Origin"):
        admit(authorization="Bearer a", origin=["https://app.example", "https://evil.example"])


def test_a_listed_origin_passes():
    assert admit(authorization="Bearer a", origin="https://app.example") == ("token", "a")


def test_the_answer_never_names_the_token():
    """A8."""
    offered = Upgrade({"sec-websocket-protocol": ["agentsocket.v1, bearer.abc"]})
    assert handshake.answered_subprotocol(offered) == "agentsocket.v1"
    assert handshake.answered_subprotocol(Upgrade({"sec-websocket-protocol": ["bearer.abc"]})) is None
