import pytest

from local.gateway.policy import Effect, PolicyError, evaluate

ARN = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/live/$connect"


def document(*statements: object) -> dict[str, object]:
    return {"Version": "2012-10-17", "Statement": [*statements]}


def allow(resource: object = ARN, action: object = "execute-api:Invoke") -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def deny(resource: object = ARN) -> dict[str, object]:
    return {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": resource}


@pytest.mark.parametrize(
    "resource",
    [
        ARN,
        "*",
        "arn:aws:execute-api:*",
        "arn:aws:execute-api:eu-west-?:123456789012:*/live/$connect",
        ["arn:aws:execute-api:other", ARN],
    ],
)
def test_a_resource_with_wildcards_is_allowed(resource: object):
    assert evaluate(document(allow(resource)), ARN) is Effect.ALLOW


@pytest.mark.parametrize(
    "resource",
    [ARN.replace("$connect", "$default"), ARN.upper(), ARN[:-1], "arn.aws.execute-api.*", ARN.replace("a1b2c3", "?")],
)
def test_a_resource_that_does_not_match_is_not_allowed(resource: str):
    assert evaluate(document(allow(resource)), ARN) is Effect.SILENT


@pytest.mark.parametrize("action", ["execute-api:Invoke", "execute-api:invoke", "execute-api:*", "*", ["a:b", "*"]])
def test_an_action_matches_in_any_case(action: object):
    assert evaluate(document(allow(action=action)), ARN) is Effect.ALLOW


def test_another_action_is_not_allowed():
    assert evaluate(document(allow(action="execute-api:ManageConnections")), ARN) is Effect.SILENT


@pytest.mark.parametrize("order", [1, -1])
def test_a_deny_wins_over_an_allow_in_either_order(order: int):
    assert evaluate(document(*[allow(), deny("*")][::order]), ARN) is Effect.DENY


def test_a_deny_of_something_else_does_not_matter():
    assert evaluate(document(deny("arn:aws:execute-api:other"), allow()), ARN) is Effect.ALLOW


def test_the_not_forms_cover_the_opposite():
    inverted = {"Effect": "Allow", "NotAction": "execute-api:ManageConnections", "NotResource": "arn:other"}
    assert evaluate(document(inverted), ARN) is Effect.ALLOW
    assert evaluate(document({**inverted, "NotResource": "*"}), ARN) is Effect.SILENT


def test_one_statement_need_not_be_in_a_list():
    assert evaluate({"Statement": allow()}, ARN) is Effect.ALLOW


def test_no_statement_allows_nothing():
    assert evaluate(document(), ARN) is Effect.SILENT


@pytest.mark.parametrize(
    "broken",
    [
        None,
        "Allow",
        {},
        {"Statement": ["Allow"]},
        document({**allow(), "Effect": "allow"}),
        document({"Effect": "Allow", "Action": "*"}),
        document({"Effect": "Allow", "Resource": "*"}),
        document(allow(resource=7)),
        document(allow(), {**deny(), "Condition": {"IpAddress": {}}}),
    ],
)
def test_what_is_not_a_policy_is_not_evaluated(broken: object):
    with pytest.raises(PolicyError):
        evaluate(broken, ARN)
