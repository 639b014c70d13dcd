"""What passes, and when. What does not is in test_bad_tokens.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentsocket.auth import tokens
from agentsocket.auth.jwks import Keys
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.principal import user_id
from tests.support.tokens import (
    AUDIENCE,
    CLAIMS,
    EC,
    ED,
    HEADER,
    ISSUER,
    JWKS,
    KEYS,
    LIMITS,
    NOW,
    RSA,
    TICKET,
    TICKET_HEADER,
    public_jwk,
    signed,
    token,
)


def verify(text, *, now=NOW, keys=KEYS):
    return tokens.verify(text, keys=keys, issuer=ISSUER, audience=AUDIENCE, now=now, limits=LIMITS)


def verify_ticket(text, *, now=NOW):
    return tokens.verify_ticket(text, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=now, limits=LIMITS)


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_a_valid_token_names_its_user(key, alg):
    who = verify(token(key=key, alg=alg))
    assert who.user == user_id(ISSUER, "ada")
    assert (who.subject, who.issuer, who.session, who.scopes) == ("ada", ISSUER, "s", {"chat"})
    assert (who.issued_at, who.expires_at, who.auth_mode, who.ticket) == (NOW - 10, NOW + 890, "local", "")


def test_the_media_type_form_of_typ_is_the_same():
    assert verify(token(typ="application/AT+JWT")).subject == "ada"


def test_an_audience_list_with_ours_in_it_passes():
    assert verify(token({**CLAIMS, "aud": ["other", AUDIENCE]})).subject == "ada"


def test_a_token_needs_no_session_and_no_scope():
    least = {name: CLAIMS[name] for name in ("iss", "aud", "sub", "iat", "exp")}
    who = verify(token(least))
    assert (who.session, who.scopes) == ("", frozenset())


@pytest.mark.parametrize("seconds", [-30, 30])
def test_clocks_half_a_minute_apart_are_tolerated(seconds):
    """C5."""
    edge = {**CLAIMS, "iat": NOW, "nbf": NOW, "exp": NOW + 1}
    assert verify(token(edge), now=NOW + seconds).subject == "ada"


@pytest.mark.parametrize("seconds", [-90, 90])
def test_clocks_a_minute_and_a_half_apart_are_not(seconds):
    """C5."""
    with pytest.raises(TokenRejected):
        verify(token({**CLAIMS, "iat": NOW, "exp": NOW + 1}), now=NOW + seconds)


@pytest.mark.parametrize(("seconds", "passes"), [(29, True), (30, False)])
def test_the_leeway_ends_with_its_second(seconds, passes):
    """C5."""
    expired = token({**CLAIMS, "exp": NOW})
    if passes:
        assert verify(expired, now=NOW + seconds)
    else:
        with pytest.raises(TokenRejected, match="expired"):
            verify(expired, now=NOW + seconds)


def test_the_clock_is_the_argument_not_the_machine_s():
    assert verify(token(), now=NOW + 880).subject == "ada"


def test_a_token_of_the_longest_life_passes():
    assert verify(token({**CLAIMS, "exp": CLAIMS["iat"] + LIMITS.max_token_lifetime_s}))


def test_a_token_without_kid_passes_where_there_is_one_key():
    one = Keys(json.dumps({"keys": [JWKS["keys"][0]]}), "", limits=LIMITS)
    assert verify(token(kid=None), keys=one).subject == "ada"


STRANGE_HEADERS: dict[str, Any] = {
    "jwk": public_jwk(EC, "rsa"),
    "jku": "https://evil.example/jwks",
    "x5u": "https://evil.example/certificate",
    "x5c": ["MIIB"],
    "x5t": 7,
}


@pytest.mark.parametrize("name", STRANGE_HEADERS)
def test_a_key_in_the_header_is_not_looked_at(name):
    """It helps nobody (test_bad_tokens.py), and harms nobody either."""
    assert verify(token(**{name: STRANGE_HEADERS[name]})).subject == "ada"


def test_keys_that_cannot_be_had_are_not_the_token_s_fault():
    def unavailable(_kid):
        raise Unavailable("the issuer's keys cannot be fetched")

    with pytest.raises(Unavailable):
        verify(token(), keys=unavailable)


def test_a_bad_header_never_reaches_the_keys():
    asked: list[Any] = []
    for bad in (token(typ="JWT"), token(crit=["exp"]), token(kid=7), signed({**HEADER, "alg": "none"}, CLAIMS)):
        with pytest.raises(TokenRejected):
            verify(bad, keys=asked.append)
    assert asked == []


def test_a_ticket_stands_for_the_token_it_was_made_from():
    who = verify_ticket(signed(TICKET_HEADER, TICKET))
    assert (who.user, who.subject, who.session, who.scopes) == (user_id(ISSUER, "ada"), "ada", "s", {"chat"})
    assert (who.ticket, who.issued_at, who.expires_at) == ("ticket-1", NOW - 10, NOW + 700)


def test_a_ticket_lives_a_minute_and_the_leeway():
    ticket = signed(TICKET_HEADER, {**TICKET, "iat": NOW, "exp": NOW + 60})
    assert verify_ticket(ticket, now=NOW + 89)
    with pytest.raises(TokenRejected, match="expired"):
        verify_ticket(ticket, now=NOW + 90)


def test_a_ticket_dies_with_its_access_token():
    with pytest.raises(TokenRejected, match="expired"):
        verify_ticket(signed(TICKET_HEADER, {**TICKET, "access_exp": NOW - 5, "exp": NOW + 50}), now=NOW + 25)


def test_an_access_token_is_no_ticket_and_a_ticket_no_access_token():
    with pytest.raises(TokenRejected, match="another kind"):
        verify_ticket(token({**TICKET}))
    with pytest.raises(TokenRejected, match="another kind"):
        verify(signed(TICKET_HEADER, TICKET))
