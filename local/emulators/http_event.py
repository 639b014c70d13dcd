"""What API Gateway's HTTP API says to a function and hears from it, payload format 2.0. Nothing here talks to anyone.

Sources: "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway" in the API Gateway guide; which bodies
arrive in base64 and how a path is decoded, as ministack's authors verified on AWS.
"""

import base64
import binascii
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from local.gateway.events import new_id

Event = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]

ROUTE = "$default"
NOT_PASSED_ON = {"connection", "keep-alive", "proxy-authorization", "te", "transfer-encoding", "upgrade"}
NOT_TAKEN_OVER = NOT_PASSED_ON | {"content-length", "date", "server"}
TEXT = re.compile(r"(text/.*|application/(json|xml|javascript))\s*(;.*)?", re.IGNORECASE)
ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class MalformedAnswerError(Exception):
    """The answer is not one of a Lambda proxy integration in format 2.0."""


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived: the target undecoded, headers in their order, all of them."""

    method: str
    target: str
    headers: Pairs
    body: bytes
    source_ip: str
    port: int

    def header(self, name: str) -> str:
        """The values of a header, joined as API Gateway joins them; empty without one."""
        return ",".join(value for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: Pairs
    body: bytes


# --- to the function


def event(request: Request, *, api_id: str, account_id: str, now: float) -> Event:
    """The event for the function behind `$default` on the stage `$default`. `now` is in seconds since the epoch."""
    path, _, query = request.target.partition("?")
    cookies = [cookie for line in lines(request, "cookie") for cookie in line.split("; ")]
    text, is_base64 = body_of(request)
    optional = {
        "cookies": cookies,
        "queryStringParameters": joined(parse_qsl(query, keep_blank_values=True)),
        "body": text,
    }
    return {
        "version": "2.0",
        "routeKey": ROUTE,
        "rawPath": decoded(path),
        "rawQueryString": query,
        "headers": joined([*passed_on(request), *forwarded(request, now)]),
        "requestContext": {
            "accountId": account_id,
            "apiId": api_id,
            "domainName": request.header("host"),
            "domainPrefix": api_id,
            "http": {
                "method": request.method,
                "path": decoded(path),
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": request.header("user-agent"),
            },
            "requestId": new_id(),
            "routeKey": ROUTE,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        **{name: value for name, value in optional.items() if value},
        "isBase64Encoded": is_base64,
    }


def lines(request: Request, name: str) -> list[str]:
    return [value for key, value in request.headers if key.lower() == name]


def passed_on(request: Request) -> list[tuple[str, str]]:
    gone = NOT_PASSED_ON | {"cookie", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    return [(name.lower(), value) for name, value in request.headers if name.lower() not in gone]


def forwarded(request: Request, now: float) -> list[tuple[str, str]]:
    before = lines(request, "x-forwarded-for")
    return [
        ("x-amzn-trace-id", f"Root=1-{int(now):08x}-{uuid.uuid4().hex[:24]}"),
        ("x-forwarded-for", ", ".join([*before, request.source_ip])),
        ("x-forwarded-port", str(request.port)),
        ("x-forwarded-proto", "http"),
    ]


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Several values of one name become one, with commas between them."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def body_of(request: Request) -> tuple[str, bool]:
    """The body as a string, and whether it is base64: everything but a few types of text is, a form too."""
    if TEXT.fullmatch(request.header("content-type")):
        return request.body.decode("utf-8", "replace"), False
    return base64.b64encode(request.body).decode(), bool(request.body)


def decoded(path: str) -> str:
    """The path with every escape decoded but `%25`, so that `a%252Eb` stays `a%252Eb`."""
    return ESCAPES.sub(lambda run: "%25".join(_text(part) for part in run[0].split("%25")), path)


def _text(escaped: str) -> str:
    return unquote_to_bytes(escaped).decode("utf-8", "replace")


# --- from the function


def answer(payload: Mapping[str, Any] | None) -> Answer:
    """What the client gets. Raises MalformedAnswerError where API Gateway answers 500.

    A function must give a statusCode here; on AWS an object without one is taken for the body of a 200.
    """
    if payload is None or "statusCode" not in payload:
        raise MalformedAnswerError("It raised, could not be called, or returned no object with a statusCode.")
    given = payload.get("headers") or {}
    if not isinstance(given, Mapping):
        raise MalformedAnswerError("headers is not an object.")
    headers = [(str(name).lower(), str(value)) for name, value in given.items()]
    headers += [("set-cookie", str(cookie)) for cookie in payload.get("cookies") or []]
    for name, value in headers:
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise MalformedAnswerError("A header is none that HTTP knows.")
    if "content-type" not in dict(headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    kept = tuple((name, value) for name, value in headers if name not in NOT_TAKEN_OVER)
    return Answer(status_of(payload["statusCode"]), kept, content(payload))


def status_of(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[2-5]\d\d", str(value)):
        raise MalformedAnswerError("statusCode is not an HTTP status.")
    return int(str(value))


def content(payload: Mapping[str, Any]) -> bytes:
    body = payload.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedAnswerError("body is not text.")
    try:
        return base64.b64decode(body, validate=True) if payload.get("isBase64Encoded") is True else body.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise MalformedAnswerError("body is neither text nor base64.") from error
