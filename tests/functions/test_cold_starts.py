"""L4: a function that lacks a setting, or has a wrong one, fails when it is imported, with one error that names it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import authservice.errors
from agentsocket.errors import SettingsError
from tests.functions.test_events import forget_wiring, load
from tests.support.env import GIVEN
from tests.template.reading import FUNCTIONS, environment

# Jwks reads its setting when it is asked: failing at its import, it could not tell CloudFormation, which would wait.
STARTING = [name for name in FUNCTIONS if name != "Jwks"]
# What a function starts without: there is a default, or another variable that will do.
OPTIONAL = {"ALLOWED_ORIGINS", "AUTH_LIMITS", "CONTEXT_STORE", "GROUPS_CLAIM", "INTROSPECTION", "LIMITS"} | {
    "PRIVILEGED_SCOPES",
    "REDIS_CLUSTER",
    "REDIS_PASSWORD",
    "REDIS_URL",
    "REDIS_USERNAME",
    "TENANT_ROLE",
    "TOKEN_IN_QUERY",
}
NOT_READ = ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS")
WRONG = {
    "ALLOWED_ORIGINS": "*",
    "AUTH_LIMITS": '{"no_such": 1}',
    "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI": "api.example",
    "CONTEXT_STORE": "memcached",
    "CONTROL_QUEUE_URL": "control",
    "DEAD_LETTER_QUEUE_URL": "https://queue.example/dead",
    "GENERATION": "a.b",
    "IDENTITY_ISSUER": "http://login.example",
    "IDENTITY_JWKS_URL": "file:///keys",
    "INTROSPECTION": "sometimes",
    "INTROSPECTION_URL": "http://issuer.example",
    "ISSUER": "http://issuer.example",
    "JWKS": "no keys",
    "JWKS_URL": "http://issuer.example/jwks",
    "LIMITS": '{"lease_s": 60}',
    "QUEUE_URL": "https://queue.example/runs",
    "REDIS_URL": "https://cache.example",
    "TABLE_NAME": "a table",
    "TENANT_ROLE": "admin",
    "TOKEN_IN_QUERY": "yes",
}


def read_by(function: str) -> list[str]:
    """The variables that the template gives a function to read by itself."""
    return sorted(name for name in environment(function) if name not in NOT_READ and "POWERTOOLS" not in name)


PAIRS = [(function, name) for function in STARTING for name in read_by(function)]


@pytest.fixture
def cold(monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    """Nothing is made yet, and everything is given."""
    for name in {*WRONG, *OPTIONAL} - GIVEN.keys():
        monkeypatch.delenv(name, raising=False)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    forget_wiring()
    yield monkeypatch
    forget_wiring()


@pytest.mark.parametrize("function", STARTING)
def test_a_function_starts_with_what_it_is_given(cold, function):
    """L4."""
    assert callable(load(function.lower()).handler)


@pytest.mark.parametrize(("function", "name"), [pair for pair in PAIRS if pair[1] not in OPTIONAL])
def test_a_missing_setting_is_one_error_that_names_it(cold, function, name):
    """L4."""
    for other in {"JWKS": ["JWKS_URL"], "JWKS_URL": ["JWKS"]}.get(name, []) if function != "Auth" else []:
        cold.delenv(other)
    cold.delenv(name)
    with pytest.raises((SettingsError, authservice.errors.SettingsError), match=name):
        load(function.lower())


@pytest.mark.parametrize(("function", "name"), [pair for pair in PAIRS if pair[1] in OPTIONAL])
def test_a_setting_with_a_default_may_be_missing(cold, function, name):
    """L4."""
    cold.delenv(name, raising=False)
    assert callable(load(function.lower()).handler)


@pytest.mark.parametrize(("function", "name"), [pair for pair in PAIRS if pair[1] in WRONG])
def test_a_wrong_setting_is_one_error_that_names_it(cold, function, name):
    """L4."""
    if name == "REDIS_URL":
        cold.setenv("CONTEXT_STORE", "redis")
    cold.setenv(name, WRONG[name])
    with pytest.raises((SettingsError, authservice.errors.SettingsError), match=name) as refused:
        load(function.lower())
    assert "\n" not in str(refused.value)
    assert os.environ[name] == WRONG[name]
