"""POST /oauth/revoke (RFC 7009), /oauth/introspect (RFC 7662) and /oauth/logout (C3)."""

from __future__ import annotations

import base64

import jwt
import pytest

from authservice import wiring
from authservice.errors import InvalidClient
from authservice.inputs import Request
from authservice.service_clients import Clients
from authservice.settings import Introspector
from authservice.table import Table
from tests.authservice.conftest import GATEKEEPER, SESSION, URL, caller
from tests.authservice.http_client import FORM


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


# Introspection.


def test_a_token_in_force_is_described(auth):
    tokens = auth.sign_in("ada")
    claims = claims_of(tokens["access_token"])
    answer = auth.call.post("/oauth/introspect", basic=GATEKEEPER, token=tokens["access_token"])
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {**claims, "active": True, "token_type": "Bearer"}


def test_a_service_token_and_a_ticket_are_described_as_what_they_are(auth):
    service = auth.introspect(auth.service_token("users:logout"))
    assert (service["sub"], service["aud"], service["scope"]) == ("client:ops", URL, "users:logout")
    assert "sid" not in service
    ticket = auth.call.post("/ticket", bearer=auth.sign_in("ada")["access_token"]).json["ticket"]
    assert auth.introspect(ticket)["token_type"] == "ticket+jwt"


def inactive(auth):
    """Tokens that are not in force, each for a reason of its own."""
    now = int(auth.clock())
    tokens, revoked = auth.sign_in("ada"), auth.sign_in("grace")
    auth.call.post("/oauth/revoke", token=revoked["refresh_token"])
    header, payload, signature = tokens["access_token"].split(".")
    return {
        "revoked": revoked["access_token"],
        "refresh token": tokens["refresh_token"],
        "ID token": auth.issuer.id_token(now=now),
        "nonsense": "nonsense",
        "not ASCII": "é.é.é",
        "unsigned": f"{header}.{payload}.",
        "damaged": f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
        "none": jwt.encode(claims_of(tokens["access_token"]), "", "none"),
        "a stranger's": jwt.encode(claims_of(tokens["access_token"]), "x" * 32, "HS256", headers={"typ": "at+jwt"}),
    }


INACTIVE = [
    "revoked",
    "refresh token",
    "ID token",
    "nonsense",
    "not ASCII",
    "unsigned",
    "damaged",
    "none",
    "a stranger's",
]


@pytest.mark.parametrize("name", INACTIVE)
def test_of_a_token_not_in_force_nothing_is_said_but_that(auth, name):
    answer = auth.call.post("/oauth/introspect", basic=GATEKEEPER, token=inactive(auth)[name])
    assert (answer.status, answer.body) == (200, '{"active":false}')


@pytest.mark.parametrize(
    ("seconds", "active"), [(900, True), (929, True), (930, False), (990, False), (-30, True), (-31, False)]
)
def test_clocks_may_differ_by_30_seconds(auth, seconds, active):
    """C5."""
    token = auth.sign_in()["access_token"]
    auth.clock.advance(seconds)
    assert auth.active(token) is active


def test_another_deployment_s_token_of_the_same_key_is_inactive(auth, monkeypatch):
    token = auth.sign_in()["access_token"]
    for name in ("ISSUER", "AUDIENCE"):
        with monkeypatch.context() as changed:
            changed.setenv(name, "https://other.example")
            other = caller(wiring.service(now=auth.clock))
            answer = other.post("/oauth/introspect", basic=GATEKEEPER, token=token)
        assert answer.json == {"active": False}


ODD = {
    "no type": {"typ": None},
    "an ID token's type": {"typ": "JWT"},
    "a media type": {"typ": "application/at+jwt"},
    "a service's ticket": {"typ": "ticket+jwt", "sub": "client:ops", "aud": URL},
    "for this service": {"aud": URL},
    "a service for users' audience": {"sub": "client:ops"},
    "several audiences": {"aud": ["agentsocket", URL]},
    "another issuer": {"iss": "https://other.example"},
    "no subject": {"sub": None},
    "a number as subject": {"sub": 7},
    "no session": {"sid": None},
    "a number as session": {"sid": 7},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": "1900000000"},
    "no scope": {"scope": None},
    "scope as list": {"scope": ["chat"]},
    "no id": {"jti": None},
    "an unknown session": {"sid": "unknown"},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_our_key_signed_but_this_service_never_gives_out_is_inactive(auth, odd):
    """Tokens of different kinds have one key: what tells them apart must be looked at."""
    token = auth.sign_in("ada")["access_token"]
    headers = {**jwt.get_unverified_header(token), "typ": odd.get("typ", "at+jwt")}
    claims = {name: value for name, value in {**claims_of(token), **odd}.items() if value is not None}
    signed = jwt.encode(claims, auth.kms.keys["signing-key"], "ES256", headers=headers)
    answer = auth.call.post("/oauth/introspect", basic=GATEKEEPER, token=signed)
    assert answer.body == '{"active":false}'
    assert auth.logout(signed).error == (401, "invalid_token")


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b"{", b"\xff", b""])
def test_claims_of_our_key_that_are_none_are_inactive(auth, payload):
    header = jwt.get_unverified_header(auth.sign_in("ada")["access_token"])
    signed = jwt.PyJWS().encode(payload, auth.kms.keys["signing-key"], "ES256", headers=header)
    assert auth.introspect(signed) == {"active": False}


class NoRows(Table):
    """A table without rows, which remembers what was looked for."""

    def __init__(self):
        self.asked = []

    def get(self, *keys):
        self.asked += keys
        return [None for _ in keys]


@pytest.mark.parametrize("client_id", ["x" * 65, "x" * 3000, "a b", "a#b", ""])
def test_an_id_that_no_client_can_have_is_not_looked_up(client_id):
    """A key of DynamoDB has 2 KB at most, and a longer one is refused with an error that would be ours."""
    table = NoRows()
    known = Clients(table, built_in=Introspector("", ""))
    for asked, looked_up in ((client_id, []), ("ops", ["CLIENT#ops"])):
        with pytest.raises(InvalidClient):
            known.authenticate(Request(basic(asked, "x")))
        assert table.asked == looked_up


def basic(client_id, secret):
    return {"authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


STRANGERS = {
    "nobody": {},
    "a Bearer": {"authorization": "Bearer x"},
    "a wrong secret": basic(GATEKEEPER[0], "wrong"),
    "an empty secret": basic(GATEKEEPER[0], ""),
    "an unknown client": basic("unknown", "secret"),
    "an empty client": basic("", ""),
    "a client id of another row": basic("../USER#1", "x"),
    "a client id too long": basic("x" * 3000, "x"),
    "no colon": {"authorization": "Basic " + base64.b64encode(b"x").decode()},
    "no base64": {"authorization": "Basic ???"},
    "not UTF-8": {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
    "not UTF-8 within": {"authorization": "Basic " + base64.b64encode(b"%ff:%ff").decode()},
    "not ASCII": {"authorization": "Basic é"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_may_not_introspect(auth, headers):
    answer = auth.call.send("POST", "/oauth/introspect", headers={"content-type": FORM, **headers}, body="token=x")
    assert answer.error == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_a_registered_client_introspects_with_that_scope_only(auth):
    token = auth.sign_in()["access_token"]
    allowed, other = auth.register("monitor", "introspect"), auth.register("ops", "users:logout")
    assert auth.call.post("/oauth/introspect", basic=allowed, token=token).json["active"] is True
    assert auth.call.post("/oauth/introspect", basic=other, token=token).error == (403, "unauthorized_client")


def test_credentials_are_form_encoded_within_basic(auth, monkeypatch):
    """RFC 6749, section 2.3.1."""
    monkeypatch.setenv("INTROSPECTION_SECRET", "a+b c%é")
    call = caller(wiring.service(now=auth.clock))
    headers = {"content-type": FORM, **basic("gatekeeper", "a%2Bb+c%25%C3%A9")}
    assert call.send("POST", "/oauth/introspect", headers=headers, body="token=x").json == {"active": False}


def test_without_a_built_in_client_nobody_is_it(auth, monkeypatch):
    monkeypatch.setenv("INTROSPECTION_CLIENT", "")
    monkeypatch.setenv("INTROSPECTION_SECRET", "")
    call = caller(wiring.service(now=auth.clock))
    for credentials in (("", ""), GATEKEEPER):
        assert call.post("/oauth/introspect", basic=credentials, token="x").error == (401, "invalid_client")


# Revocation of one session.


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_revoking_either_token_ends_the_family_and_tells_control(auth, which):
    """A5."""
    tokens, other = auth.sign_in("ada"), auth.sign_in("ada")
    answer = auth.call.post("/oauth/revoke", token=tokens[which], token_type_hint="access_token")
    assert (answer.status, answer.body) == (200, "")
    sid = claims_of(tokens["access_token"])["sid"]
    not_before = int(auth.clock()) + 30
    assert auth.notifications() == [{"revoke": {"iss": URL, "sub": "ada", "sid": sid, "not_before": not_before}}]
    assert not auth.active(tokens["access_token"])
    assert auth.call.refresh(tokens["refresh_token"]).error == (400, "invalid_grant")
    assert auth.active(other["access_token"])


def test_revoking_twice_is_no_error_and_is_told_once(auth):
    tokens = auth.sign_in()
    for _ in range(2):
        assert auth.call.post("/oauth/revoke", token=tokens["refresh_token"]).status == 200
    assert len(auth.notifications()) == 1


def test_a_used_refresh_token_revokes_its_family_too(auth):
    tokens = auth.sign_in()
    second = auth.call.refresh(tokens["refresh_token"]).json
    assert auth.call.post("/oauth/revoke", token=tokens["refresh_token"]).status == 200
    assert not auth.active(second["access_token"])


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "é", "x" * 9000])
def test_revoking_what_is_no_token_is_no_error(auth, token):
    """RFC 7009, section 2.2."""
    assert auth.call.post("/oauth/revoke", token=token).status == 200
    assert auth.notifications() == []


def test_an_expired_token_revokes_nothing(auth):
    tokens = auth.sign_in()
    auth.clock.advance(1000)
    assert auth.call.post("/oauth/revoke", token=tokens["access_token"]).status == 200
    assert auth.notifications() == []
    assert auth.call.refresh(tokens["refresh_token"]).status == 200


def test_a_service_token_is_revoked_by_itself(auth):
    token, other = auth.service_token(), auth.service_token()
    assert auth.call.post("/oauth/revoke", token=token).status == 200
    assert not auth.active(token)
    assert auth.active(other)
    assert auth.notifications() == []


def test_a_client_that_authenticates_to_revoke_must_do_so_rightly(auth):
    tokens = auth.sign_in()
    wrong = auth.call.post("/oauth/revoke", basic=("ops", "wrong"), token=tokens["refresh_token"])
    assert wrong.error == (401, "invalid_client")
    assert auth.active(tokens["access_token"])


def test_a_revocation_is_told_on_the_next_attempt_when_the_queue_was_away(auth):
    tokens = auth.sign_in()
    SESSION.client("sqs").delete_queue(QueueUrl=auth.queue)
    answer = auth.call.post("/oauth/revoke", token=tokens["access_token"])
    assert answer.error == (503, "temporarily_unavailable")
    assert not auth.active(tokens["access_token"])
    SESSION.client("sqs").create_queue(QueueName="control")
    not_before = int(auth.clock()) + 30
    auth.clock.advance(5)
    assert auth.call.post("/oauth/revoke", token=tokens["access_token"]).status == 200
    assert [message["revoke"]["not_before"] for message in auth.notifications()] == [not_before]


# Logout: everything of a user.


def test_logging_out_ends_everything_of_the_user_and_tells_control(auth):
    """C3."""
    here, there, other = auth.sign_in("ada"), auth.sign_in("ada"), auth.sign_in("grace")
    answer = auth.logout(here["access_token"])
    assert (answer.status, answer.body) == (204, "")
    assert auth.notifications() == [{"revoke": {"iss": URL, "sub": "ada", "not_before": int(auth.clock())}}]
    for tokens in (here, there):
        assert not auth.active(tokens["access_token"])
        assert auth.call.refresh(tokens["refresh_token"]).error == (400, "invalid_grant")
    assert auth.active(other["access_token"])
    assert auth.notifications() == []


def test_whoever_signs_in_within_the_second_of_a_logout_is_signed_in(auth):
    """delivery.md, Revoke: tokens with an iat up to not_before are dead, so the next has a later one."""
    for _ in range(3):
        tokens = auth.sign_in("ada")
        assert auth.active(tokens["access_token"])
        assert auth.call.post("/ticket", bearer=tokens["access_token"]).status == 200
        refreshed = auth.call.refresh(tokens["refresh_token"]).json
        assert auth.active(refreshed["access_token"])
        assert auth.logout(refreshed["access_token"]).status == 204
        [message] = auth.notifications()
        assert claims_of(refreshed["access_token"])["iat"] <= message["revoke"]["not_before"]


def test_a_logged_out_token_is_refused_and_logs_nobody_out(auth):
    tokens = auth.sign_in()
    auth.logout(tokens["access_token"])
    auth.notifications()
    assert auth.logout(tokens["access_token"]).error == (401, "invalid_token")
    assert auth.notifications() == []


def test_a_logout_is_told_on_the_next_attempt_although_its_token_is_dead_by_then(auth):
    tokens = auth.sign_in("ada")
    SESSION.client("sqs").delete_queue(QueueUrl=auth.queue)
    not_before = int(auth.clock())
    for _ in range(2):
        assert auth.logout(tokens["access_token"]).error == (503, "temporarily_unavailable")
        assert not auth.active(tokens["access_token"])
        auth.clock.advance(5)
    SESSION.client("sqs").create_queue(QueueName="control")
    assert auth.logout(tokens["access_token"]).status == 204
    assert auth.notifications() == [{"revoke": {"iss": URL, "sub": "ada", "not_before": not_before}}]
    assert auth.logout(tokens["access_token"]).error == (401, "invalid_token")


def test_a_refresh_finishes_a_logout_that_control_does_not_know_of(auth):
    tokens = auth.sign_in("ada")
    SESSION.client("sqs").delete_queue(QueueUrl=auth.queue)
    auth.logout(tokens["access_token"])
    SESSION.client("sqs").create_queue(QueueName="control")
    assert auth.call.refresh(tokens["refresh_token"]).error == (400, "invalid_grant")
    assert [message["revoke"]["sub"] for message in auth.notifications()] == ["ada"]


def test_an_operator_logs_somebody_out_by_name(auth):
    tokens, other = auth.sign_in("ada#*"), auth.sign_in("ada")
    assert auth.logout(auth.service_token("users:logout"), sub="ada#*").status == 204
    assert auth.notifications() == [{"revoke": {"iss": URL, "sub": "ada#*", "not_before": int(auth.clock())}}]
    assert not auth.active(tokens["access_token"])
    assert auth.active(other["access_token"])


def test_an_operator_can_log_out_whoever_never_signed_in_here(auth):
    """A token may still be on its way: the logout stands before it."""
    assert auth.logout(auth.service_token("users:logout"), sub="ada").status == 204
    assert auth.active(auth.sign_in("ada")["access_token"])


@pytest.mark.parametrize("subject", ["", "x" * 256, "client:ops"])
def test_an_operator_must_name_a_user(auth, subject):
    assert auth.logout(auth.service_token("users:logout"), sub=subject).error == (400, "invalid_request")


def test_without_the_scope_a_service_logs_nobody_out(auth):
    tokens = auth.sign_in("ada")
    answer = auth.logout(auth.service_token("other"), sub="ada")
    assert answer.error == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope", scope="users:logout"')
    assert auth.active(tokens["access_token"])


def test_a_user_logs_out_nobody_else(auth):
    """Not even with a scope of that name: what users may is decided by whose token it is."""
    mine, other = auth.sign_in("ada"), auth.sign_in("grace")
    assert auth.logout(mine["access_token"], sub="grace").error == (403, "insufficient_scope")
    assert auth.active(other["access_token"])
    assert auth.active(mine["access_token"])
    assert auth.logout(mine["access_token"], sub="ada").status == 204


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic eDp5"}, {"authorization": ""}])
@pytest.mark.parametrize("path", ["/oauth/logout", "/ticket"])
def test_without_a_bearer_token_the_challenge_has_no_error_code(auth, path, headers):
    """RFC 6750, section 3.1."""
    answer = auth.call.send("POST", path, headers=headers)
    assert (answer.status, answer.json) == (401, {})
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="agentsocket"'


@pytest.mark.parametrize("name", [*INACTIVE, "a ticket", "an expired one"])
@pytest.mark.parametrize("path", ["/oauth/logout", "/ticket"])
def test_a_token_not_in_force_is_no_bearer(auth, path, name):
    tokens = auth.sign_in("edsger")
    bad = inactive(auth)
    bad["a ticket"] = auth.call.post("/ticket", bearer=tokens["access_token"]).json["ticket"]
    bad["an expired one"] = tokens["access_token"]
    auth.notifications()
    if name == "an expired one":
        auth.clock.advance(930)
    answer = auth.call.post(path, bearer=bad[name])
    assert answer.error == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="agentsocket", error="invalid_token"'
    assert auth.notifications() == []
