"""The evaluator itself, by what the IAM user guide says: who judges policies must be judged."""

import pytest

from tests.template.policies import Request, allows, rendered


def policy(*statements, version="2012-10-17"):
    return {"Version": version, "Statement": list(statements)}


def statement(effect="Allow", action="s3:GetObject", resource="*", **condition):
    return {"Effect": effect, "Action": action, "Resource": resource} | ({"Condition": condition} if condition else {})


def asking(action="s3:GetObject", resource="arn:aws:s3:::mybucket/David/x", **context):
    return Request(action, resource, {name.replace("_", ":"): values for name, values in context.items()})


def test_nothing_is_allowed_that_nobody_allows_and_a_denial_outweighs_all():
    assert allows(policy(statement()), asking())
    assert not allows(policy(), asking())
    assert not allows(policy(statement(action="s3:PutObject")), asking())
    assert not allows(policy(statement(), statement("Deny")), asking())
    assert not allows(policy(statement("Deny"), statement()), asking())


def test_actions_are_compared_without_case_and_resources_with_it():
    assert allows(policy(statement(action=["S3:getobject"])), asking())
    assert allows(policy(statement(action="s3:Get*")), asking())
    assert not allows(policy(statement(resource="arn:aws:s3:::MYBUCKET/*")), asking())
    assert not allows(policy(statement(resource="arn:aws:s3:::mybucket")), asking())


def test_a_variable_is_the_value_in_the_request_and_stands_for_itself():
    own = policy(statement(resource="arn:aws:s3:::mybucket/${aws:username}/*"))
    assert allows(own, asking(aws_username=["David"]))
    assert not allows(own, asking(aws_username=["Dav"]))
    assert not allows(own, asking(aws_username=["*"]))
    assert not allows(own, asking(aws_username=["Davi?"]))
    assert not allows(own, asking()), "a variable without a value matches nothing"
    assert not allows(own, asking(aws_username=["David", "Eve"])), "nor one with several"
    assert allows(policy(statement(resource="arn:aws:s3:::mybucket/${*}")), asking(resource="arn:aws:s3:::mybucket/*"))
    assert not allows(policy(statement(resource="arn:aws:s3:::mybucket/${*}")), asking())


@pytest.mark.parametrize(
    ("operator", "wanted", "values", "holds"),
    [
        ("StringEquals", ["a", "b"], ["b"], True),
        ("StringEquals", ["*"], ["b"], False),
        ("StringEquals", ["a"], [], False),
        ("StringLike", "a?c", ["abc"], True),
        ("StringLike", "a?c", ["ac"], False),
        ("StringLike", "a*", ["a\nb"], True),
        ("StringLike", "a*", ["A"], False),
        ("StringLike", "a*", [], False),
        ("ForAllValues:StringLike", ["a*", "b"], ["a1", "b", "a"], True),
        ("ForAllValues:StringLike", ["a*", "b"], ["a1", "c"], False),
        ("ForAllValues:StringLike", ["a*"], [], True),
        ("Null", "true", [], True),
        ("Null", "false", [], False),
        ("Null", "true", ["a"], False),
        ("Null", "false", ["a"], True),
    ],
)
def test_conditions(operator, wanted, values, holds):
    document = policy(statement(**{operator: {"S3:Prefix": wanted}}))
    assert allows(document, asking(s3_prefix=values)) is holds


def test_all_lines_of_a_condition_must_hold():
    both = policy(statement(StringLike={"s3:prefix": "a*"}, Null={"s3:prefix": "false", "s3:other": "true"}))
    assert allows(both, asking(s3_prefix=["a"]))
    assert not allows(both, asking(s3_prefix=["a"], s3_other=["x"]))
    assert not allows(both, asking(s3_prefix=["b"]))


@pytest.mark.parametrize(
    "document",
    [
        policy(statement(), version="2008-10-17"),
        policy(statement(NumericEquals={"s3:prefix": "1"})),
        policy(statement(**{"ForAnyValue:StringLike": {"s3:prefix": "a"}})),
        policy(statement() | {"NotPrincipal": "*"}),
        policy(statement(StringLike={"s3:prefix": "a"}) | {"NotAction": "*"}),
    ],
)
def test_what_it_does_not_know_is_an_error(document):
    with pytest.raises(AssertionError):
        allows(document, asking(s3_prefix=["a"]))


def test_several_values_need_a_quantifier():
    with pytest.raises(AssertionError, match="quantifier"):
        allows(policy(statement(StringLike={"s3:prefix": "a"})), asking(s3_prefix=["a", "a"]))


def test_the_template_is_rendered_as_cloudformation_does():
    attributes = {"Table.Arn": "arn:t"}
    assert rendered({"Fn::GetAtt": ["Table", "Arn"]}, attributes) == "arn:t"
    assert rendered([{"Fn::Sub": "${Table.Arn}/${!aws:x}"}], attributes) == ["arn:t/${aws:x}"]
    assert rendered("${aws:x}", attributes) == "${aws:x}"
    with pytest.raises(KeyError):
        rendered({"Fn::Sub": "${aws:PrincipalTag/u}"}, attributes)
