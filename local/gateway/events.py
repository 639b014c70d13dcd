"""The events functions receive, key by key as AWS sends them. Nothing here talks to a socket or to a function.

Sources: "Control access to WebSocket APIs with AWS Lambda REQUEST authorizers" for the authorizer's event, and events
that people logged on AWS for the others: a MESSAGE event has no headers, a DISCONNECT event has four of the gateway's
own, requestId equals extendedRequestId, and the authorizer's latency is told to $connect alone.
"""

import base64
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Event = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]

HOP_BY_HOP = {"connection", "upgrade"}  # the authorizer sees them, $connect does not


def new_id() -> str:
    """An id of API Gateway's form, such as ``L0SM9cOFvHcCIhw=``: URL-safe base64 of 11 bytes."""
    return base64.urlsafe_b64encode(secrets.token_bytes(11)).decode()


@dataclass(frozen=True)
class Stamp:
    """One request to the API: its id, and its time in milliseconds since the epoch."""

    request_id: str
    at_ms: int

    @classmethod
    def at(cls, now: float) -> "Stamp":
        return cls(new_id(), int(now * 1000))


@dataclass(frozen=True)
class Upgrade:
    """A client's upgrade request: headers in their own case and order, query parameters decoded."""

    headers: Pairs
    query: Pairs

    @classmethod
    def received(cls, path: str, headers: Iterable[tuple[str, str]], *, source_ip: str, port: int) -> "Upgrade":
        """The request as functions see it, with the headers that API Gateway's own front adds."""
        query = parse_qsl(urlsplit(path).query, keep_blank_values=True)
        return cls((*_forwarded(headers, source_ip, port),), (*query,))

    def header(self, name: str) -> str | None:
        """The last value of a header, whatever the case of its name."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[-1] if found else None


@dataclass(frozen=True)
class Peer:
    """What stays the same from one event of a connection to the next."""

    connection_id: str
    connected_at_ms: int
    source_ip: str
    user_agent: str | None
    domain_name: str
    api_id: str
    stage: str
    stage_variables: Mapping[str, str]
    authorizer: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Opening:
    """A handshake under way: the authorizer and $connect see it as one request."""

    peer: Peer
    upgrade: Upgrade
    stamp: Stamp


def authorizer_event(opening: Opening, method_arn: str) -> Event:
    query = opening.upgrade.query
    return {
        "type": "REQUEST",
        "methodArn": method_arn,
        **_headers(opening.upgrade.headers),
        "queryStringParameters": dict(query),
        "multiValueQueryStringParameters": _multi(query),
        "stageVariables": dict(opening.peer.stage_variables),
        "requestContext": _context(opening.peer, opening.stamp, "$connect", "CONNECT"),
    }


def connect_event(opening: Opening, authorizer_ms: int) -> Event:
    """`authorizer_ms` is how long the authorizer took; it is told only if there was one."""
    context = _context(opening.peer, opening.stamp, "$connect", "CONNECT")
    if "authorizer" in context:
        context["authorizer"]["integrationLatency"] = authorizer_ms
    kept = tuple((name, value) for name, value in opening.upgrade.headers if name.lower() not in HOP_BY_HOP)
    return {**_headers(kept), **_query(opening.upgrade.query), **_closing(opening.peer, context)}


def message_event(peer: Peer, route_key: str, body: str, stamp: Stamp) -> Event:
    context = _context(peer, stamp, route_key, "MESSAGE", messageId=new_id())
    return {**_closing(peer, context), "body": body}


def disconnect_event(peer: Peer, code: int, reason: str, stamp: Stamp) -> Event:
    own = (("Host", peer.domain_name), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", ""))
    ending = {"disconnectStatusCode": code, "disconnectReason": reason}
    return {**_headers(own), **_closing(peer, _context(peer, stamp, "$disconnect", "DISCONNECT", **ending))}


def _context(peer: Peer, stamp: Stamp, route_key: str, event_type: str, **of_this_kind: object) -> dict[str, Any]:
    agent = {} if peer.user_agent is None else {"userAgent": peer.user_agent}
    authorizer = {} if peer.authorizer is None else {"authorizer": dict(peer.authorizer)}
    return {
        "routeKey": route_key,
        **authorizer,
        **of_this_kind,
        "eventType": event_type,
        "extendedRequestId": stamp.request_id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(stamp.at_ms / 1000)),
        "messageDirection": "IN",
        "stage": peer.stage,
        "connectedAt": peer.connected_at_ms,
        "requestTimeEpoch": stamp.at_ms,
        "identity": {**agent, "sourceIp": peer.source_ip},
        "requestId": stamp.request_id,
        "domainName": peer.domain_name,
        "connectionId": peer.connection_id,
        "apiId": peer.api_id,
    }


def _closing(peer: Peer, context: dict[str, Any]) -> Event:
    variables = {"stageVariables": dict(peer.stage_variables)} if peer.stage_variables else {}
    return {**variables, "requestContext": context, "isBase64Encoded": False}


def _headers(pairs: Pairs) -> Event:
    return {"headers": dict(pairs), "multiValueHeaders": _multi(pairs)}


def _query(pairs: Pairs) -> Event:
    if not pairs:
        return {}
    return {"queryStringParameters": dict(pairs), "multiValueQueryStringParameters": _multi(pairs)}


def _multi(pairs: Pairs) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _forwarded(headers: Iterable[tuple[str, str]], source_ip: str, port: int) -> Iterable[tuple[str, str]]:
    own = {"x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    before = []
    for name, value in headers:
        if name.lower() == "x-forwarded-for":
            before.append(value)
        if name.lower() not in own:
            yield name, value
    trace = uuid.uuid4().hex
    yield "X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{trace[:24]}"
    yield "X-Forwarded-For", ", ".join([*before, source_ip])
    yield "X-Forwarded-Port", str(port)
    yield "X-Forwarded-Proto", "http"
