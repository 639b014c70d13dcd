"""One call to AWS, with what passes by itself told apart from what is our own mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
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
