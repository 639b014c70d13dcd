"""Reads what a function behind a Lambda proxy integration answers. Sending it to anyone is not done here.

AWS is strict: any key but these five makes the answer malformed, and none of the five is required
(github.com/aws/aws-sam-cli/pull/1154 for REST APIs, github.com/middyjs/middy/issues/1219 for WebSocket APIs).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

KEYS = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")  # JSON can carry one, UTF-8 cannot
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class MalformedAnswerError(Exception):
    """The answer is not one of a Lambda proxy integration."""


@dataclass(frozen=True)
class Answer:
    """A function's answer; `subprotocol` is its Sec-WebSocket-Protocol header."""

    status: int
    body: str | None
    subprotocol: str | None


def read(payload: Mapping[str, object] | None) -> Answer:
    """Raises MalformedAnswerError where AWS logs "Malformed Lambda proxy response"."""
    if payload is None:
        raise MalformedAnswerError("The function did not return an object.")
    if unknown := payload.keys() - KEYS:
        raise MalformedAnswerError(f"The function returned {min(unknown)!r} beside the keys of a proxy response.")
    return Answer(_status(payload.get("statusCode", 200)), _body(payload), _subprotocol(payload))


def _status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise MalformedAnswerError("statusCode is not a number.")
    if not re.fullmatch(r"[2-5]\d\d", str(value)):
        raise MalformedAnswerError("statusCode is not an HTTP status.")
    return int(value)


def _body(payload: Mapping[str, object]) -> str | None:
    body = payload.get("body")
    if body is None:
        return None
    if not isinstance(body, str) or LONE_SURROGATE.search(body):
        raise MalformedAnswerError("body is not text.")
    return _decoded(body) if payload.get("isBase64Encoded") is True else body


def _decoded(body: str) -> str:
    try:
        return base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise MalformedAnswerError("body is not base64 of text.") from exc


def _subprotocol(payload: Mapping[str, object]) -> str | None:
    for name, value in _header_items(payload):
        if name.lower() == "sec-websocket-protocol":
            if not isinstance(value, str) or not HEADER_VALUE.fullmatch(value):
                raise MalformedAnswerError("Sec-WebSocket-Protocol is not a header value.")
            return value
    return None


def _header_items(payload: Mapping[str, object]) -> list[tuple[str, object]]:
    """All headers, those with several values first, as AWS prefers them."""
    many, one = payload.get("multiValueHeaders") or {}, payload.get("headers") or {}
    if not isinstance(many, Mapping) or not isinstance(one, Mapping):
        raise MalformedAnswerError("headers is not an object.")
    last = [(name, values[-1] if isinstance(values, list) and values else values) for name, values in many.items()]
    return [*last, *one.items()]
