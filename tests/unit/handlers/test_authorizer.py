"""The authorizer whole: event in, policy out, by the settings a deployment gives and a real auth service beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agentsocket import principal, wiring
from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.handlers import decorators
from tests.support.tokens import AUDIENCE, CLAIMS, ISSUER, JWKS, TICKET, TICKET_HEADER, signed, token
from tests.support.waiting import TIME_FACTOR
from tests.unit.auth.test_introspection import INACTIVE, Service

ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/live/$connect"


def now_claims(claims=CLAIMS, **changes):
    now = int(time.time())
    shift = now - CLAIMS["iat"]
    moved = {name: claims[name] + shift for name in ("iat", "exp", "access_exp") if name in claims}
    return {**claims, **moved, **changes}


def event(*, headers=None, query=None):
    several = {name: [value] for name, value in (headers or {}).items()}
    return {
        "methodArn": ARN,
        "headers": headers,
        "multiValueHeaders": several,
        "multiValueQueryStringParameters": query,
    }


def bearer(text):
    return event(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def deploy(service, monkeypatch) -> Iterator[Any]:
    """Start an authorizer with these settings beside the usual ones."""

    def forget():
        for getter in vars(wiring).values():
            if hasattr(getter, "cache_clear"):
                getter.cache_clear()

    def start(**settings):
        usual = {
            "ISSUER": ISSUER,
            "AUDIENCE": AUDIENCE,
            "JWKS": json.dumps(JWKS),
            "JWKS_URL": "",
            "ALLOWED_ORIGINS": "https://app.example.com",
            "TOKEN_IN_QUERY": "false",
            "INTROSPECTION": "none",
            "PRIVILEGED_SCOPES": "admin",
            "INTROSPECTION_URL": service.url,
            "INTROSPECTION_CLIENT": "agentsocket",
            "INTROSPECTION_SECRET": "a-generated-secret",
            "LIMITS": json.dumps({"introspection_backoff_ms": 1, "breaker_open_ms": 100}),
        }
        for name, value in {**usual, **settings}.items():
            monkeypatch.setenv(name, value)
        forget()
        handler = decorators.authorizer(wiring.admit())
        return lambda event: handler(event, None)

    yield start
    forget()


def effect(answer):
    [statement] = answer["policyDocument"]["Statement"]
    assert statement["Resource"] == ARN
    return statement["Effect"]


def test_a_valid_token_is_allowed_with_its_context(deploy):
    """A1."""
    answer = deploy()(bearer(token(now_claims())))
    assert effect(answer) == "Allow"
    assert answer["principalId"] == principal.user_id(ISSUER, "ada")
    assert answer["context"]["auth_mode"] == "local"
    assert principal.of_context(answer["context"]).scopes == {"chat"}


@pytest.mark.parametrize("changes", [{"exp": 5, "iat": 1}, {"aud": "other"}, {"sub": "client:x"}])
def test_a_bad_token_is_denied_and_says_nothing(deploy, changes):
    """A2, A3."""
    answer = deploy()(bearer(token(now_claims(**changes))))
    assert effect(answer) == "Deny"
    assert (answer["principalId"], answer["context"]) == ("refused", {})


def test_no_token_is_401(deploy):
    """A4."""
    with pytest.raises(decorators.Unauthorized, match=r"^Unauthorized$"):
        deploy()(event(headers={}))


def test_a_ticket_is_allowed_and_still_to_be_spent(deploy):
    ticket = signed(TICKET_HEADER, now_claims(TICKET))
    answer = deploy()(event(headers={}, query={"ticket": [ticket]}))
    assert effect(answer) == "Allow"
    assert answer["context"]["ticket"] == "ticket-1"


def test_a_token_in_the_query_is_denied_unless_turned_on(deploy):
    text = token(now_claims())
    assert effect(deploy()(event(query={"token": [text]}))) == "Deny"
    assert effect(deploy(TOKEN_IN_QUERY="true")(event(query={"token": [text]}))) == "Allow"


def test_a_service_that_goes_and_comes_back_degrades_and_recovers(deploy, service):
    """I3, I4."""
    authorizer = deploy(INTROSPECTION="all")
    ada, admin = bearer(token(now_claims())), bearer(token(now_claims(scope="chat admin")))
    assert authorizer(ada)["context"]["auth_mode"] == authorizer(admin)["context"]["auth_mode"] == "live"
    service.status = 500
    for _ in range(3):
        assert authorizer(ada)["context"]["auth_mode"] == "degraded"
        with pytest.raises(decorators.Undecided):
            authorizer(admin)
    asked = len(service.asked)
    service.status = 200
    deadline = time.monotonic() + 5 * TIME_FACTOR
    while authorizer(ada)["context"]["auth_mode"] != "live" and time.monotonic() < deadline:
        pass
    assert authorizer(admin)["context"]["auth_mode"] == "live"
    assert len(service.asked) == asked + 2


def test_tokens_and_tickets_share_one_circuit(deploy, service):
    """I3."""
    service.status = 500
    authorizer = deploy(INTROSPECTION="all", LIMITS=json.dumps({"introspection_attempts": 1}))
    for _ in range(3):
        authorizer(bearer(token(now_claims())))
    ticket = event(query={"ticket": [signed(TICKET_HEADER, now_claims(TICKET))]})
    assert authorizer(ticket)["context"]["auth_mode"] == "degraded"
    assert len(service.asked) == 3


@pytest.mark.parametrize("claims", [CLAIMS, TICKET], ids=["token", "ticket"])
def test_what_was_revoked_is_denied(deploy, service, claims):
    """A5."""
    service.body = INACTIVE
    header = {} if claims is CLAIMS else TICKET_HEADER
    text = signed(header, now_claims(claims)) if header else token(now_claims())
    carried = event(headers={}, query={"ticket": [text]}) if header else bearer(text)
    assert effect(deploy(INTROSPECTION="all")(carried)) == "Deny"
    assert service.asked == [{"token": [text]}]


def test_only_privileged_scopes_are_asked_about_where_only_they_must_be(deploy, service):
    """I4."""
    authorizer = deploy(INTROSPECTION="privileged")
    assert authorizer(bearer(token(now_claims())))["context"]["auth_mode"] == "local"
    assert service.asked == []
    assert authorizer(bearer(token(now_claims(scope="admin"))))["context"]["auth_mode"] == "live"


def test_the_log_has_the_mode_and_nothing_that_opens_a_door(deploy, service, log):
    authorizer = deploy(INTROSPECTION="all")
    good, ticket = token(now_claims()), signed(TICKET_HEADER, now_claims(TICKET))
    authorizer(bearer(good))
    service.body = INACTIVE
    authorizer(bearer(good))
    authorizer(event(query={"ticket": [ticket]}))
    authorizer(event(query={"token": [good]}))
    service.status = 500
    authorizer(bearer(good))
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["message"] for line in lines] == ["upgrade_admitted", *["upgrade_refused"] * 3, "upgrade_admitted"]
    assert [line.get("auth_mode") for line in lines] == ["live", None, None, None, "degraded"]
    for secret in (good, ticket, good.rpartition(".")[2], "ticket-1", "a-generated-secret", "Basic", "ada"):
        assert secret not in log.getvalue()


def test_the_http_api_checks_as_the_authorizer_does_and_a_refresh_by_itself(deploy, service):
    """A5."""
    deploy(INTROSPECTION="all")
    text = token(now_claims())
    assert wiring.verify()(text).auth_mode == "live"
    service.body = INACTIVE
    with pytest.raises(TokenRejected, match="revoked"):
        wiring.verify()(text)
    assert wiring.verify_locally()(text).auth_mode == "local"
    deploy(INTROSPECTION="privileged", INTROSPECTION_URL="http://127.0.0.1:1/")
    with pytest.raises(Unavailable):
        wiring.verify()(token(now_claims(scope="admin")))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"JWKS": ""}, "JWKS"),
        ({"JWKS": "{}"}, "JWKS"),
        ({"ISSUER": ""}, "ISSUER"),
        ({"TOKEN_IN_QUERY": "yes"}, "TOKEN_IN_QUERY"),
        ({"INTROSPECTION": "all", "INTROSPECTION_URL": ""}, "INTROSPECTION_URL"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
    ],
)
def test_a_wrong_setting_is_an_error_at_start(deploy, settings, named):
    """L4."""
    with pytest.raises(SettingsError, match=named):
        deploy(**settings)


def test_what_cannot_be_known_is_no_final_refusal(deploy):
    """I4, D3: API Gateway makes a 500 of it. Nobody gets in, and a client may try again."""
    authorizer = deploy(JWKS="", JWKS_URL="http://127.0.0.1:1/jwks")
    with pytest.raises(decorators.Undecided) as raised:
        authorizer(bearer(token(now_claims())))
    assert str(raised.value) == ""
