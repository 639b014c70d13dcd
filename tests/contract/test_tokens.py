"""What `authservice` signs and `agentsocket` reads: the only knowledge the two share, since neither imports the other.

A5, I2 (security.md, Tokens; delivery.md, Revoke).
"""

from __future__ import annotations

import json

import jwt
import pytest

from agentsocket.auth import jwks, tokens
from agentsocket.errors import TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import user_id
from authservice.limits import Limits as AuthLimits
from tests.authservice.conftest import GATEKEEPER, URL

LIMITS = Limits()


@pytest.fixture
def keys(environment):
    """The deploy-time copy of the key set, as the authorizer has it."""
    return jwks.Keys(environment["JWKS"], "", limits=LIMITS)


@pytest.fixture
def read(auth, keys):
    """`agentsocket` reading a token or a ticket at the auth service's time."""

    def read(token, check=tokens.verify, **other):
        trust = {"issuer": URL, "audience": "agentsocket", "now": auth.clock(), **other}
        return check(token, keys=keys, limits=LIMITS, **trust)

    return read


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_an_access_token_of_the_auth_service_names_its_user(auth, read):
    answer = auth.sign_in("ada", **{"cognito:groups": ["admin"]})
    who = read(answer["access_token"])
    claims = claims_of(answer["access_token"])
    assert (who.user, who.subject, who.issuer) == (user_id(URL, "ada"), "ada", URL)
    assert who.scopes == {"chat", "admin"}
    assert who.session == claims["sid"]
    assert who.expires_at - who.issued_at == 900
    refreshed = auth.call.refresh(answer["refresh_token"]).json
    assert read(refreshed["access_token"]).user == who.user


def test_a_ticket_of_the_auth_service_stands_for_its_token(auth, read):
    access = auth.sign_in("ada")["access_token"]
    auth.clock.advance(300)
    ticket = auth.call.post("/ticket", bearer=access).json["ticket"]
    who, of = read(ticket, tokens.verify_ticket), read(access)
    assert (who.user, who.session, who.scopes, who.expires_at) == (of.user, of.session, of.scopes, of.expires_at)
    assert who.ticket == claims_of(ticket)["jti"]


def test_a_ticket_is_no_access_token_and_an_access_token_no_ticket(auth, read):
    access = auth.sign_in("ada")["access_token"]
    ticket = auth.call.post("/ticket", bearer=access).json["ticket"]
    with pytest.raises(TokenRejected):
        read(ticket)
    with pytest.raises(TokenRejected):
        read(access, tokens.verify_ticket)


@pytest.mark.parametrize("check", [tokens.verify, tokens.verify_ticket])
def test_nothing_else_of_the_auth_service_opens_a_connection(auth, read, check):
    answer = auth.sign_in("ada")
    others = {
        "service token": auth.service_token("users:logout chat"),
        "refresh token": answer["refresh_token"],
        "ID token": auth.issuer.id_token("ada", now=auth.clock()),
    }
    for name, text in others.items():
        with pytest.raises(TokenRejected):
            pytest.fail(f"the {name} names {read(text, check)}")


def test_a_service_token_is_refused_for_its_audience_and_not_by_luck(auth, read):
    """With its own audience it would be read: the signature is good."""
    token = auth.service_token("users:logout")
    assert claims_of(token)["aud"] == URL != "agentsocket"
    assert "sid" not in claims_of(token)


SUBJECTS = [
    "ada",
    "ada ",
    "Ada",
    "\u0430da",  # a Cyrillic letter
    "ada#x",
    "USER#ada",
    "*",
    "?",
    "ada\x00",
    "é",
    "e\u0301",
    "\x01" * 255,
    "/" * 255,
    "漢" * 85,
]


def test_any_subject_that_may_sign_in_is_a_user_of_its_own(auth, read):
    users = set()
    for subject in SUBJECTS:
        who = read(auth.sign_in(subject)["access_token"])
        assert who.subject == subject
        users.add(who.user)
    assert len(users) == len(SUBJECTS)


@pytest.mark.parametrize(("seconds", "passes"), [(900 + 29, True), (900 + 30, False), (-30, True), (-31, False)])
def test_both_services_agree_on_when_a_token_is_good(auth, read, seconds, passes):
    """C5."""
    token = auth.sign_in("ada")["access_token"]
    auth.clock.advance(seconds)
    assert auth.active(token) is passes
    if passes:
        read(token)
    else:
        with pytest.raises(TokenRejected):
            read(token)


def test_lifetimes_of_one_service_are_within_the_limits_of_the_other():
    own = AuthLimits()
    assert own.access_token_s <= LIMITS.max_token_lifetime_s
    assert own.token_leeway_s == LIMITS.token_leeway_s
    assert own.max_subject_bytes == LIMITS.max_subject_bytes
    assert own.ticket_s < LIMITS.ticket_row_s, "a spent ticket is remembered for longer than it is good"


def test_introspection_is_asked_and_answered_in_one_form(auth):
    """RFC 7662: what the authorizer relies on is `active`, and nothing else is said of a token not in force."""
    access = auth.sign_in("ada")["access_token"]
    described = auth.introspect(access)
    assert described["active"] is True
    assert {name: described[name] for name in claims_of(access)} == claims_of(access)
    auth.logout(access)
    assert auth.call.post("/oauth/introspect", basic=GATEKEEPER, token=access).body == '{"active":false}'


def test_the_revoke_message_is_of_the_documented_form(auth):
    """delivery.md, Revoke: {"revoke": {"iss", "sub", "sid"?, "not_before"}}, with whole seconds."""
    session, everything = auth.sign_in("ada"), auth.sign_in("ada")
    auth.call.post("/oauth/revoke", token=session["refresh_token"])
    auth.logout(everything["access_token"])
    one, all_of_them = auth.notifications()
    assert set(one) == set(all_of_them) == {"revoke"}
    assert set(one["revoke"]) == {"iss", "sub", "sid", "not_before"}
    assert set(all_of_them["revoke"]) == {"iss", "sub", "not_before"}
    for message in (one["revoke"], all_of_them["revoke"]):
        assert (message["iss"], message["sub"]) == (URL, "ada")
        assert type(message["not_before"]) is int
    dead, killed = claims_of(session["access_token"]), claims_of(everything["access_token"])
    assert one["revoke"]["sid"] == dead["sid"]
    assert dead["iat"] <= one["revoke"]["not_before"]
    assert killed["iat"] <= all_of_them["revoke"]["not_before"]
    assert json.dumps(one).isascii()


def test_a_token_issued_after_a_logout_is_later_than_its_not_before(auth, read):
    """In the same second, too: what Control declares dead is told apart by `iat` alone."""
    first = auth.sign_in("ada")["access_token"]
    auth.logout(first)
    [message] = auth.notifications()
    second = read(auth.sign_in("ada")["access_token"])
    assert read(first).issued_at <= message["revoke"]["not_before"] < second.issued_at
    ticket = auth.call.post("/ticket", bearer=auth.sign_in("ada")["access_token"]).json["ticket"]
    assert read(ticket, tokens.verify_ticket).issued_at > message["revoke"]["not_before"]
