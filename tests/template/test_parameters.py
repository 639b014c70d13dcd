"""Template parameters: a wrong one is refused at deploy, in words that say what is right."""

import re
from typing import Any

import pytest

from tests.template.reading import template

ACCEPTED = {
    "Issuer": ["https://login.example.com", "https://login.example.com/tenant/", "http://127.0.0.1:5555"],
    "Audience": ["agentsocket", "https://api.example.com"],
    "JwksUrl": ["", "https://login.example.com/.well-known/jwks.json", "http://localhost:5555/jwks.json"],
    "Jwks": ["", '{"keys": []}', '{"keys":[{"kty":"EC"}]}'],
    "AllowedOrigins": ["", "https://app.example.com", "https://app.example.com,http://localhost:3000"],
    "Limits": ["{}", '{"lease_s": 5}'],
    "AlarmTopic": ["", "arn:aws:sns:eu-west-1:123456789012:operators"],
    "StageName": ["live", "v1"],
    "Generation": ["1", "restored2"],
    "ManagementEndpoint": ["", "http://127.0.0.1:8080/live"],
}
REFUSED = {
    "Issuer": ["", "login.example.com", "http://login.example.com", "https://login.example.com?tenant=1"],
    "Audience": ["", "two words"],
    "JwksUrl": ["http://login.example.com/jwks.json", "login.example.com/jwks.json", "https://login.example.com"],
    "Jwks": ["keys", "[]", '{"kty": "EC"}'],
    "AllowedOrigins": ["*", "https://*.example.com", "app.example.com", "https://app.example.com/path", "null"],
    "Limits": ["", "[]", "lease_s=5"],
    "AlarmTopic": ["operators"],
    "StageName": ["", "$default", "live/2"],
    "Generation": ["", "a.b", "x" * 17],
    "ManagementEndpoint": ["127.0.0.1:8080", "http://127.0.0.1:8080/live/"],
}
PARAMETERS: dict[str, dict[str, Any]] = template()["Parameters"]


def pairs(values: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, listed in values.items() for value in listed]


def accepts(name: str, value: str) -> bool:
    """CloudFormation matches the whole value."""
    return re.fullmatch(PARAMETERS[name]["AllowedPattern"], value) is not None


@pytest.mark.parametrize(("name", "value"), pairs(ACCEPTED))
def test_a_right_value_is_accepted(name, value):
    assert accepts(name, value)


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_a_wrong_value_is_refused(name, value):
    assert not accepts(name, value)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_says_what_it_is_and_what_is_right(name):
    parameter = PARAMETERS[name]
    assert parameter["Description"]
    assert {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter), "some values can be told to be wrong"
    assert parameter["ConstraintDescription"].startswith(f"{name} must be")


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) - {"Issuer"}))
def test_every_default_but_the_issuers_passes_its_own_check(name):
    parameter = PARAMETERS[name]
    default = parameter["Default"]
    assert default in parameter.get("AllowedValues", [default])
    assert "AllowedPattern" not in parameter or accepts(name, default)


def test_every_parameter_is_shown_in_one_group():
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]
    assert sorted(shown) == sorted(PARAMETERS)


def holds(assertion: dict[str, Any], given: dict[str, str]) -> bool:
    """The value of a rule's condition for the given parameters."""
    ((operation, operands),) = assertion.items()
    if operation == "Fn::Equals":
        left, right = (given[side["Ref"]] if isinstance(side, dict) else side for side in operands)
        return left == right
    results = [holds(operand, given) for operand in operands]
    return any(results) if operation == "Fn::Or" else {"Fn::Not": not results[0]}[operation]


@pytest.mark.parametrize(
    ("jwks_url", "jwks", "accepted"),
    [
        ("", "", False),
        ("https://login.example.com/jwks.json", "", True),
        ("", '{"keys": []}', True),
        ("https://login.example.com/jwks.json", '{"keys": []}', False),
    ],
)
def test_the_issuers_keys_are_given_in_exactly_one_way(jwks_url, jwks, accepted):
    assertions = template()["Rules"]["KeysOfTheIssuer"]["Assertions"]
    given = {"JwksUrl": jwks_url, "Jwks": jwks}
    assert all(holds(assertion["Assert"], given) for assertion in assertions) is accepted
