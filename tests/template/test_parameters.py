"""Template parameters: a wrong one is refused at deploy, in words that say what is right."""

import re
from typing import Any

import pytest

from tests.template.reading import template

ACCEPTED = {
    "IdentityIssuer": ["", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbC", "http://localhost:5555"],
    "IdentityClientId": ["", "6f2f0v1k3s"],
    "IdentityJwksUrl": ["", "https://login.example.com/.well-known/jwks.json", "http://127.0.0.1:5555/jwks.json"],
    "GroupsClaim": ["cognito:groups", "https://example.com/groups"],
    "Scopes": ["chat", "chat files:read"],
    "PrivilegedScopes": ["", "admin", "admin users:logout"],
    "AuthLimits": ["{}", '{"access_token_s": 60}'],
    "Issuer": ["", "https://login.example.com", "https://login.example.com/tenant/", "http://127.0.0.1:5555"],
    "Audience": ["agentsocket", "https://api.example.com"],
    "JwksUrl": ["", "https://login.example.com/.well-known/jwks.json", "http://localhost:5555/jwks.json"],
    "Jwks": ["", '{"keys": []}', '{"keys":[{"kty":"EC"}]}'],
    "AllowedOrigins": ["", "https://app.example.com", "https://app.example.com,http://localhost:3000"],
    "Limits": ["{}", '{"lease_s": 5}'],
    "RedisUrl": ["", "rediss://cache.example.com:6379", "redis://10.0.0.7", "rediss://cache.example.com/"],
    "RedisSecret": ["", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis/login-AbCdEf"],
    "SubnetIds": ["", "subnet-0a1b2c3d", "subnet-0a1b2c3d,subnet-0123456789abcdef0"],
    "SecurityGroupIds": ["", "sg-0a1b2c3d", "sg-0a1b2c3d,sg-0123456789abcdef0"],
    "AlarmTopic": ["", "arn:aws:sns:eu-west-1:123456789012:operators"],
    "StageName": ["live", "v1"],
    "Generation": ["1", "restored2"],
    "ManagementEndpoint": ["", "http://127.0.0.1:8080/live"],
}
REFUSED = {
    "IdentityIssuer": ["login.example.com", "http://login.example.com", "https://login.example.com#x"],
    "IdentityClientId": ["two words"],
    "IdentityJwksUrl": ["http://login.example.com/jwks.json", "https://login.example.com"],
    "GroupsClaim": ["", "two words"],
    "Scopes": ["", " chat", "chat  files", 'chat"'],
    "PrivilegedScopes": [" ", "a,b"],
    "AuthLimits": ["", "[]"],
    "Issuer": ["login.example.com", "http://login.example.com", "https://login.example.com?tenant=1"],
    "Audience": ["", "two words"],
    "JwksUrl": ["http://login.example.com/jwks.json", "login.example.com/jwks.json", "https://login.example.com"],
    "Jwks": ["keys", "[]", '{"kty": "EC"}'],
    "AllowedOrigins": ["*", "https://*.example.com", "app.example.com", "https://app.example.com/path", "null"],
    "Limits": ["", "[]", "lease_s=5"],
    "RedisUrl": [
        "cache.example.com:6379",
        "https://cache.example.com",
        "rediss://a:b@cache.example.com",
        "redis://c/1",
    ],
    "RedisSecret": ["redis-login", "arn:aws:ssm:eu-west-1:123456789012:parameter/redis"],
    "SubnetIds": ["sg-0a1b2c3d", "subnet-0a1b2c3d, subnet-0a1b2c3e", "subnet-"],
    "SecurityGroupIds": ["subnet-0a1b2c3d", "sg-0a1b2c3d,", "default"],
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


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_default_passes_its_own_check(name):
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
        left, right = (given.get(side["Ref"], "") if isinstance(side, dict) else side for side in operands)
        return left == right
    results = [holds(operand, given) for operand in operands]
    return {"Fn::Or": any(results), "Fn::And": all(results), "Fn::Not": not results[0]}[operation]


KEYS_URL = "https://login.example.com/jwks.json"
KEY_SET = '{"keys": []}'
IDENTITY = {"IdentityIssuer": "https://login.example.com", "IdentityClientId": "c", "IdentityJwksUrl": KEYS_URL}
OWN = {"Issuer": "https://login.example.com"}


@pytest.mark.parametrize(
    ("auth_service", "given", "accepted"),
    [
        ("true", IDENTITY, True),
        ("true", IDENTITY | {"Issuer": "https://auth.example.com"}, True),
        ("true", IDENTITY | {"IdentityIssuer": ""}, False),
        ("true", IDENTITY | {"IdentityClientId": ""}, False),
        ("true", IDENTITY | {"IdentityJwksUrl": ""}, False),
        ("true", IDENTITY | {"JwksUrl": KEYS_URL}, False),
        ("true", IDENTITY | {"Jwks": KEY_SET}, False),
        ("false", OWN, False),
        ("false", {"JwksUrl": KEYS_URL}, False),
        ("false", OWN | {"JwksUrl": KEYS_URL}, True),
        ("false", OWN | {"Jwks": KEY_SET}, True),
        ("false", OWN | {"JwksUrl": KEYS_URL, "Jwks": KEY_SET}, False),
    ],
)
def test_who_signs_tokens_is_said_in_exactly_one_way(auth_service, given, accepted):
    values = {"AuthService": auth_service} | given
    rules = [rule for rule in template()["Rules"].values() if holds(rule["RuleCondition"], values)]
    assert rules
    assert all(holds(assertion["Assert"], values) for rule in rules for assertion in rule["Assertions"]) is accepted


REDIS = {"RedisUrl": "rediss://cache.example.com"}
LOGIN = {"RedisSecret": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis"}
NETWORK = {"SubnetIds": "subnet-0a1b2c3d", "SecurityGroupIds": "sg-0a1b2c3d"}


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({"ContextStore": "dynamodb"}, True),
        ({"ContextStore": "dynamodb"} | NETWORK, True),
        ({"ContextStore": "dynamodb"} | REDIS, False),
        ({"ContextStore": "dynamodb"} | LOGIN, False),
        ({"ContextStore": "dynamodb", "RedisCluster": "true"}, False),
        ({"ContextStore": "redis"}, False),
        ({"ContextStore": "redis"} | LOGIN, False),
        ({"ContextStore": "redis"} | REDIS, True),
        ({"ContextStore": "tiered"}, False),
        ({"ContextStore": "tiered", "RedisCluster": "true"} | REDIS | LOGIN | NETWORK, True),
        ({"ContextStore": "tiered", "SubnetIds": "subnet-0a1b2c3d"} | REDIS, False),
        ({"ContextStore": "tiered", "SecurityGroupIds": "sg-0a1b2c3d"} | REDIS, False),
    ],
)
def test_redis_is_given_where_it_is_used_and_a_vpc_whole(given, accepted):
    rules = [rule for rule in template()["Rules"].values() if holds(rule["RuleCondition"], given)]
    assert rules
    assert all(holds(assertion["Assert"], given) for rule in rules for assertion in rule["Assertions"]) is accepted
