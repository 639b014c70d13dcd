"""One call to AWS, with what passes by itself told apart from what is our own mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from authservice.errors import Unavailable

_SERVER_FAULT = 500
# Faults that the services report with a 4xx although the same call may succeed later.
_PASSING = frozenset(
    {
        "DependencyTimeoutException",
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


def call(method: Callable[..., Any], **parameters: Any) -> Any:
    """What the service answers. Raises Unavailable when it does not, and ClientError for what it refuses for good."""
    try:
        return method(**parameters)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= _SERVER_FAULT or error.response["Error"]["Code"] in _PASSING:
            raise Unavailable("a service that this one needs is busy") from error
        raise
    except (HTTPClientError, NoConnection, ResponseParserError) as error:
        raise Unavailable("a service that this one needs does not answer") from error
