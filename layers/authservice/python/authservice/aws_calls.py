"""One call to a service of AWS, with what passes by itself as this package's own error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authservice.errors import Unavailable
from lambdakit import aws_calls


def call(service: str, method: Callable[..., Any], /, **parameters: Any) -> Any:
    """The service's response. Raises Unavailable, and ClientError for what the service refuses for good."""
    try:
        return aws_calls.call(service, method, **parameters)
    except aws_calls.ServiceUnavailable as error:
        text = "a service that this one needs is busy or does not respond; send the request again"
        raise Unavailable(text, cause=str(error)) from error
