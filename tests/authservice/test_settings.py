"""L4: the environment is checked at start, and one sentence names what is wrong with it."""

from __future__ import annotations

import json

import pytest

from authservice import settings
from authservice.errors import SettingsError
from authservice.limits import Limits
from authservice.tokens import KeySet
from tests.authservice.fakes import issuer_keys, public_jwk

GIVEN = {
    "ISSUER": "https://auth.example",
    "AUDIENCE": "agentsocket",
    "SCOPES": "chat",
    "IDENTITY_ISSUER": "https://issuer.example",
    "IDENTITY_CLIENT_ID": "app",
    "IDENTITY_JWKS_URL": "https://issuer.example/jwks",
}


@pytest.mark.parametrize("name", ["ISSUER", "AUDIENCE", "SCOPES"])
@pytest.mark.parametrize("value", ["", None])
def test_what_tokens_say_must_be_given(name, value):
    environment = {key: text for key, text in (GIVEN | {name: value}).items() if text is not None}
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings.issuing(environment)


@pytest.mark.parametrize("name", ["IDENTITY_ISSUER", "IDENTITY_CLIENT_ID", "IDENTITY_JWKS_URL"])
def test_the_identity_issuer_must_be_given(name):
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings.identity({**GIVEN, name: ""})


@pytest.mark.parametrize("name", ["TABLE_NAME", "CONTROL_QUEUE_URL", "SIGNING_KEY", "JWKS", "BUCKET"])
def test_each_seam_must_be_given(name):
    readers = {
        "TABLE_NAME": settings.table,
        "CONTROL_QUEUE_URL": settings.control_queue,
        "SIGNING_KEY": settings.signing_key,
        "JWKS": settings.jwks,
        "BUCKET": settings.bucket,
    }
    given = "https://queue.example/1/control" if name == "CONTROL_QUEUE_URL" else "given"
    assert readers[name]({name: given}) == given
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        readers[name]({})


SECURE = ["https://auth.example/path", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:99"]
INSECURE = [
    "http://auth.example",
    "http://127.0.0.1.evil.example",
    "ftp://localhost",
    "localhost",
    "https://",
    "http://[::1",
    "//x",
]


@pytest.mark.parametrize("name", ["ISSUER", "IDENTITY_ISSUER", "IDENTITY_JWKS_URL"])
def test_an_address_is_https_or_this_very_machine(name):
    def read(environment):
        return settings.issuing(environment) if name == "ISSUER" else settings.identity(environment)

    for address in SECURE:
        read({**GIVEN, name: address})
    for address in INSECURE:
        with pytest.raises(SettingsError, match=name):
            read({**GIVEN, name: address})


def test_users_and_services_have_different_audiences():
    with pytest.raises(SettingsError, match="AUDIENCE"):
        settings.issuing({**GIVEN, "AUDIENCE": GIVEN["ISSUER"]})


@pytest.mark.parametrize("origins", ["*", "null", "https://a.example, *", "https://a.example,null"])
def test_origins_are_named_one_by_one(origins):
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        settings.origins({"ALLOWED_ORIGINS": origins})


def test_origins_may_be_none_one_or_several():
    assert settings.origins({}) == settings.origins({"ALLOWED_ORIGINS": " , "}) == frozenset()
    assert settings.origins({"ALLOWED_ORIGINS": "https://a, https://b"}) == {"https://a", "https://b"}


@pytest.mark.parametrize("half", [{"INTROSPECTION_CLIENT": "x"}, {"INTROSPECTION_SECRET": "x"}])
def test_half_an_introspector_is_a_contradiction(half):
    with pytest.raises(SettingsError, match="INTROSPECTION_CLIENT and INTROSPECTION_SECRET"):
        settings.introspector(half)


def test_limits_have_defaults_and_overrides():
    assert settings.limits({}) == settings.limits({"AUTH_LIMITS": ""}) == Limits()
    assert settings.limits({"AUTH_LIMITS": '{"access_token_s": 5}'}) == Limits(access_token_s=5)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "7",
        '{"unknown": 1}',
        '{"ticket_s": 0}',
        '{"ticket_s": -1}',
        '{"ticket_s": "5"}',
        '{"ticket_s": true}',
        '{"ticket_s": 1.5}',
    ],
)
def test_a_wrong_limit_is_one_sentence_that_names_it(text):
    with pytest.raises(SettingsError, match="AUTH_LIMITS"):
        settings.limits({"AUTH_LIMITS": text})


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "7",
        "{}",
        '{"keys": []}',
        '{"keys": 7}',
        '{"keys": [7]}',
        json.dumps({"keys": [public_jwk(issuer_keys()["rsa"], "rsa")]}),
        json.dumps({"keys": [{**public_jwk(issuer_keys()["ec"], "ec"), "kid": None}]}),
    ],
)
def test_keys_that_are_no_key_set_of_ours_are_a_wrong_setting(text):
    with pytest.raises(SettingsError, match="JWKS"):
        KeySet(text)


@pytest.mark.parametrize(
    ("read", "name", "wrong"),
    [(settings.table, "TABLE_NAME", "a table"), (settings.control_queue, "CONTROL_QUEUE_URL", "control")],
)
def test_what_is_no_such_name_or_address_is_one_error(read, name, wrong):
    """L4."""
    with pytest.raises(SettingsError, match=name):
        read({name: wrong})
