"""POST /ticket: what stands for an access token once, for a minute at most."""

from __future__ import annotations

import jwt
import pytest


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_a_ticket_is_of_the_documented_form(auth):
    access = auth.sign_in("ada")["access_token"]
    auth.clock.advance(100)
    answer = auth.call.post("/ticket", bearer=access)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"ticket", "expires_in"}
    header, claims, of = (
        jwt.get_unverified_header(answer.json["ticket"]),
        claims_of(answer.json["ticket"]),
        claims_of(access),
    )
    assert header["typ"] == "ticket+jwt"
    same = ("iss", "aud", "sub", "sid", "client_id", "scope")
    assert [claims[name] for name in same] == [of[name] for name in same]
    assert set(claims) == {*same, "iat", "exp", "jti", "access_exp"}
    assert claims["access_exp"] == of["exp"]
    assert claims["jti"] != of["jti"]
    assert claims["exp"] == claims["iat"] + 60
    assert claims["exp"] - auth.clock() == answer.json["expires_in"] <= 60


def test_each_ticket_is_another(auth):
    access = auth.sign_in()["access_token"]
    first, second = (claims_of(auth.call.post("/ticket", bearer=access).json["ticket"]) for _ in range(2))
    assert first["jti"] != second["jti"]


def test_a_ticket_never_outlives_its_token(auth):
    access = auth.sign_in()["access_token"]
    auth.clock.advance(880)
    answer = auth.call.post("/ticket", bearer=access).json
    assert claims_of(answer["ticket"])["exp"] == claims_of(access)["exp"]
    assert answer["expires_in"] == 20


@pytest.mark.parametrize("seconds", [900, 929])
def test_a_token_past_its_end_gets_no_ticket_whatever_the_leeway(auth, seconds):
    access = auth.sign_in()["access_token"]
    auth.clock.advance(seconds)
    assert auth.call.post("/ticket", bearer=access).error == (401, "invalid_token")


def test_a_service_gets_no_ticket(auth):
    assert auth.call.post("/ticket", bearer=auth.service_token("chat")).error == (401, "invalid_token")


def test_a_ticket_dies_with_its_session_and_with_a_logout(auth):
    access = auth.sign_in("ada")["access_token"]
    ticket = auth.call.post("/ticket", bearer=access).json["ticket"]
    assert auth.active(ticket)
    auth.logout(access)
    assert not auth.active(ticket)


def test_a_logout_in_the_very_second_of_a_ticket_covers_it(auth):
    """Also by a clock that is up to a second behind: the message's not_before is not before the ticket's iat."""
    access = auth.sign_in("ada")["access_token"]
    auth.clock.advance(50)
    ticket = auth.call.post("/ticket", bearer=access).json["ticket"]
    auth.clock.advance(-0.5)
    auth.logout(access)
    [message] = auth.notifications()
    assert claims_of(ticket)["iat"] <= message["revoke"]["not_before"]
