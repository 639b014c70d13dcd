"""One call to AWS, with what passes by itself told apart from what is our own mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

_SERVER_FAULT = 500
# Faults that the services report with a 4xx (or without a status) although the same call may succeed later.
_PASSING = frozenset(
    {
        "DependencyTimeoutException",
        "InternalServerError",
        "KeyUnavailableException",
        "KMSInternalException",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ThrottlingException",
        "TransactionInProgressException",
    }
)
_OPERATOR_TEXTS = {
    "NoCredentialsError": "no AWS credentials found; set AWS_PROFILE, or the access key and its secret",
    "PartialCredentialsError": "the AWS credentials are not complete; set both the access key and its secret",
    "NoRegionError": "no AWS region found; set AWS_DEFAULT_REGION",
    "ProfileNotFound": "the AWS profile does not exist; check AWS_PROFILE",
}


class ServiceUnavailable(Exception):
    """A service of AWS is busy or does not respond; the same call may succeed later.

    The text names the service and its own word for it: it is for the log, and callers tell clients less.
    """


def call(service: str, method: Callable[..., Any], /, **parameters: Any) -> Any:
    """The service's response. Raises ServiceUnavailable, and ClientError for what the service refuses for good."""
    try:
        return method(**parameters)
    except ClientError as error:
        status, code = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), code_of(error)
        if status >= _SERVER_FAULT or code in _PASSING:
            raise ServiceUnavailable(f"{service} is busy: {code}") from error
        raise
    except (HTTPClientError, NoConnection, ResponseParserError) as error:
        raise ServiceUnavailable(f"{service} does not respond: {type(error).__name__}") from error


def code_of(error: ClientError) -> str:
    """The service's own name of what it refused."""
    return str(error.response["Error"]["Code"])


def fault_text(error: BotoCoreError | ClientError) -> str:
    """What AWS, or the way to it, has against a call, and what an operator at a command line can do."""
    if isinstance(error, ClientError):
        refused = f"AWS rejected {error.operation_name}: {code_of(error)}"
        return f"{refused}; check names, region and the rights of the credentials"
    name = type(error).__name__
    return _OPERATOR_TEXTS.get(name, f"AWS cannot be reached: {name}; check region and network")
