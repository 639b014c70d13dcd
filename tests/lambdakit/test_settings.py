"""L4: one sentence names the variable, what it holds and what belongs there."""

from __future__ import annotations

import re

import pytest

from lambdakit.settings import Variables
from tests.support import text_rules


class WrongSetting(Exception):
    """The caller's own error."""


def variables(**environment):
    return Variables(environment, error=WrongSetting)


def refusal(read):
    with pytest.raises(WrongSetting) as refused:
        read()
    assert text_rules.faults(str(refused.value)) == []
    return str(refused.value)


def test_an_empty_variable_is_one_that_is_not_set():
    assert variables(A="x").optional("A") == variables(A="x").required("A", "a letter") == "x"
    assert variables(A="").optional("A") == variables().optional("A") == ""
    for given in (variables(A=""), variables()):
        assert refusal(lambda given=given: given.required("A", "a letter")) == "A is not set; it must be a letter"


def test_what_belongs_together_is_one_error():
    given = variables(A="x", C="")
    given.require_all(("A",))
    assert refusal(lambda: given.require_all(("A", "B"))) == "B is not set; give all of them"
    assert refusal(lambda: given.require_all(("A", "B", "C"))) == "B and C are not set; give all of them"


def test_a_spelling_holds_for_the_whole():
    digits = re.compile(r"[0-9]{2}")
    assert variables(A="12").spelled("A", digits, "two digits") == "12"
    for wrong in ("1", "123", "12\n"):
        said = refusal(lambda wrong=wrong: variables(A=wrong).spelled("A", digits, "two digits"))
        assert said == f"A must be two digits, not {wrong!r}"


def test_the_first_choice_is_the_default():
    assert variables().one_of("A", ("false", "true")) == variables(A="").one_of("A", ("false", "true")) == "false"
    assert variables(A="true").one_of("A", ("false", "true")) == "true"
    assert refusal(lambda: variables(A="yes").one_of("A", ("false", "true"))) == "A must be false or true, not 'yes'"


@pytest.mark.parametrize("name", ["abc", "agent.socket-1_x", "x" * 255])
def test_a_table_has_a_name_that_dynamodb_takes(name):
    assert variables(TABLE=name).table("TABLE") == name


@pytest.mark.parametrize("name", ["ab", "x" * 256, "my table", "arn:aws:dynamodb:x", "abc\n"])
def test_any_other_name_of_a_table_is_refused(name):
    assert refusal(lambda: variables(TABLE=name).table("TABLE")).startswith(
        "TABLE must be the name of a DynamoDB table"
    )


def test_of_a_long_value_the_beginning_is_shown():
    said = refusal(lambda: variables(A="x" * 61).one_of("A", ("false", "true")))
    assert said == f"A must be false or true, not '{'x' * 60}…'"


@pytest.mark.parametrize("address", ["https://api.example/live", "http://127.0.0.1:8080"])
def test_an_address_of_aws_may_be_plain_http(address):
    assert variables(A=address).address("A") == address


@pytest.mark.parametrize(
    "address", ["wss://api.example", "https://", "api.example", "https://[::1", "https://a.example/x y"]
)
def test_what_is_no_address_of_aws_is_shown(address):
    assert refusal(lambda: variables(A=address).address("A")) == f"A must be an https address, not {address!r}"


def test_a_queue_has_a_path_and_a_fifo_queue_its_ending():
    plain, fifo = "https://sqs.example/1/control", "https://sqs.example/1/runs.fifo"
    assert variables(Q=plain).queue("Q") == plain
    assert variables(Q=fifo).queue("Q", fifo=True) == fifo
    assert "ends in .fifo" in refusal(lambda: variables(Q=plain).queue("Q", fifo=True))
    for wrong in ("https://sqs.example", "https://sqs.example/"):
        assert "Q must be the https address of an SQS queue" in refusal(
            lambda wrong=wrong: variables(Q=wrong).queue("Q")
        )


@pytest.mark.parametrize(
    "address", ["https://auth.example/x", "http://localhost", "http://127.0.0.1:1", "http://[::1]:9"]
)
def test_secure_is_https_or_this_very_machine(address):
    assert variables(A=address).secure("A") == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://auth.example", "http://auth.example"),
        ("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
        ("http://user:word@auth.example/path?token=x", "http://auth.example"),
        ("ftp://localhost", "ftp://localhost"),
        ("localhost", "no address"),
        ("https://", "no address"),
        ("http://[::1", "no address"),
        ("//x", "no address"),
        ("https://a b", "no address"),
    ],
)
def test_of_an_address_that_is_not_secure_the_scheme_and_host_are_shown_and_no_more(address, shown):
    said = refusal(lambda: variables(A=address).secure("A"))
    assert said == f"A must be an https address (http only for localhost); it is {shown}"


def test_origins_are_listed_and_never_everybody():
    assert variables().origins("O") == variables(O=" , ").origins("O") == frozenset()
    assert variables(O="https://a, https://b").origins("O") == {"https://a", "https://b"}
    for wrong, shown in (("*", "*"), ("https://a,null", "null"), ("null, *", "* and null")):
        assert refusal(lambda wrong=wrong: variables(O=wrong).origins("O")).endswith(
            f"; {shown} would admit every page"
        )
