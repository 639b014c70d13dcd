"""What passes by itself, and what does not."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from lambdakit.aws_calls import ServiceUnavailable, call, fault_text


def refused(code, status=400):
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetItem")  # type: ignore[typeddict-item]


def failing(error):
    def method(**_parameters):
        raise error

    return method


def test_a_response_comes_back_and_parameters_go_through():
    assert call("SQS", lambda **parameters: parameters, QueueUrl="q") == {"QueueUrl": "q"}


@pytest.mark.parametrize(
    "error",
    [
        refused("ThrottlingException"),
        refused("ProvisionedThroughputExceededException"),
        refused("KMSInternalException"),
        refused("TransactionInProgressException"),
        refused("Whatever", status=500),
        refused("Whatever", status=503),
        ClientError({"Error": {"Code": "InternalServerError"}}, "GetItem"),
    ],
    ids=lambda error: error.response["Error"]["Code"],
)
def test_a_service_that_is_busy_is_named_with_its_own_word_for_it(error):
    with pytest.raises(ServiceUnavailable) as raised:
        call("KMS", failing(error))
    assert str(raised.value) == f"KMS is busy: {error.response['Error']['Code']}"


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ReadTimeoutError(endpoint_url="https://sqs.example"), "ReadTimeoutError"),
        (EndpointConnectionError(endpoint_url="https://sqs.example"), "EndpointConnectionError"),
        (ResponseParserError("nonsense"), "ResponseParserError"),
    ],
)
def test_a_service_that_does_not_respond_is_named_with_the_cause_and_no_text_of_the_library(error, name):
    with pytest.raises(ServiceUnavailable) as raised:
        call("SQS", failing(error))
    assert str(raised.value) == f"SQS does not respond: {name}"


@pytest.mark.parametrize(
    "error",
    [
        refused("AccessDeniedException"),
        refused("ValidationException"),
        NoCredentialsError(),
        ParamValidationError(report="x"),
    ],
    ids=["refused", "invalid", "no credentials", "wrong parameters"],
)
def test_what_stays_wrong_stays_what_it_is(error):
    with pytest.raises(type(error)) as raised:
        call("SQS", failing(error))
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoCredentialsError(), "AWS_PROFILE"),
        (
            PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            "both the access key and its secret",
        ),
        (NoRegionError(), "set AWS_DEFAULT_REGION"),
        (ProfileNotFound(profile="x"), "check AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="http://x"), "EndpointConnectionError; check region and network"),
        (refused("AccessDeniedException"), "AccessDeniedException; check names, region"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_operator_is_told_what_to_do(error, said):
    assert said in fault_text(error)
