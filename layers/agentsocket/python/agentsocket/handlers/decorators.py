"""Where Lambda meets the code: events become inputs, answers take Lambda's form, errors become what a client may know.

One decorator per kind of function. Nothing of an exception of ours leaves here but `internal`; the log gets its type
and place, not its text, since that may quote a message. The authorizer imports this too, so what only a socket function
needs is imported when one is made.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aws_lambda_powertools import Logger

from agentsocket import principal
from agentsocket.errors import NoToken, RateLimited, RunUnfinished, TokenRejected, Unavailable
from agentsocket.inputs import (
    Check,
    Deletion,
    Revocation,
    RunRecord,
    RunRequest,
    SocketRequest,
    Upgrade,
)
from agentsocket.principal import Principal

if TYPE_CHECKING:
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.handlers.responses import Step
    from agentsocket.http_api.api import Api

Event = Mapping[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Event, object], Answer]
T = TypeVar("T")

logger = Logger()


class Unauthorized(Exception):
    """API Gateway answers 401 when an authorizer raises an error whose text is exactly this word."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


class Undecided(Exception):
    """Any other error of an authorizer is a 500: nobody gets in, and clients know that they may try again."""


def authorizer(step: Callable[[Upgrade], Principal]) -> Handler:
    """REQUEST authorizer: an Allow with the principal's context, a Deny (403), or an error that means 401 or 500."""

    def decide(event: Event) -> Answer | Exception:
        try:
            who = step(_upgrade(event))
        except NoToken:
            logger.info("upgrade_refused", reason="no token")
            return Unauthorized()
        except TokenRejected as error:
            logger.info("upgrade_refused", reason=str(error))
            return _policy("Deny", event["methodArn"], "refused", {})
        except Unavailable as error:
            logger.warning("upgrade_undecided", reason=str(error))
            return Undecided()
        logger.info("upgrade_admitted", auth_mode=who.auth_mode)
        return _policy("Allow", event["methodArn"], who.user, who.context())

    def handler(event: Event, _context: object) -> Answer:
        answer = _guarded(lambda: decide(event), otherwise=Undecided)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return handler


def connect(step: Callable[[SocketRequest], str | None]) -> Handler:
    """$connect: 200, naming the subprotocol that `step` returns; 403 for a dead token, 429 for too many sockets."""

    def open_socket(event: Event) -> Answer:
        try:
            subprotocol = step(_socket_request(event))
        except TokenRejected as error:
            logger.info("connection_refused", reason=str(error))
            return {"statusCode": 403}
        except RateLimited as error:
            logger.info("connection_refused", reason=str(error))
            return {"statusCode": 429}
        return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}}

    return _route("CONNECT", open_socket, otherwise=lambda _event: {"statusCode": 500})


def disconnect(step: Callable[[SocketRequest], None]) -> Handler:
    """$disconnect: nobody hears the answer. An event without the authorizer's context has nothing to forget."""

    def close_socket(event: Event) -> Answer:
        if event["requestContext"].get("authorizer"):
            step(_socket_request(event))
        return {"statusCode": 200}

    return _route("DISCONNECT", close_socket, otherwise=lambda _event: {"statusCode": 500})


def websocket(management_api: ManagementApi) -> Callable[[Step], Handler]:
    """$default: a client's frame; the answer rides the route response or is posted."""
    from agentsocket.handlers import responses

    def decorate(step: Step) -> Handler:
        def answer(event: Event) -> Answer:
            return _with_body(responses.respond(step, _socket_request(event), management_api, now=time.time))

        def apologize(event: Event) -> Answer:
            return _with_body(responses.internal(_socket_request(event), now=time.time))

        return _route("MESSAGE", answer, otherwise=apologize)

    return decorate


def queue(step: Callable[[RunRecord], Coroutine[Any, Any, None]]) -> Handler:
    """The run queue: each record is acknowledged when `step` returns, and left in the queue when it raises."""
    import asyncio

    return _records(lambda record: asyncio.run(step(_run_record(record))))


def control(step: Callable[[Check | Revocation], None]) -> Handler:
    """The control queue: each order is acknowledged when `step` returns, and left in the queue when it raises."""
    return _records(lambda record: step(_order(record)))


def _records(step: Callable[[Event], None]) -> Handler:
    def attempt(record: Event) -> bool:
        try:
            step(record)
        except (RunUnfinished, Unavailable) as error:
            logger.info("record_deferred", reason=str(error))
            return False
        return True

    def succeeds(record: Event) -> bool:
        return _guarded(lambda: attempt(record), otherwise=lambda: False)

    def handler(event: Event, _context: object) -> Answer:
        failed = [record["messageId"] for record in event["Records"] if not succeeds(record)]
        logger.info("batch_completed", failed=len(failed))
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    return handler


def http(api: Api, *, origins: Collection[str]) -> Handler:
    """The HTTP API (payload format 2.0). CORS is ours, and on every answer: API Gateway's would miss our errors."""
    from agentsocket.http_api import resolver as http_resolver
    from agentsocket.http_api.api import internal
    from lambdakit import cors

    resolver = http_resolver.resolver(api, origins=origins)

    def handler(event: Event, context: Any) -> Answer:
        answer = _guarded(lambda: resolver.resolve(event, context), otherwise=lambda: http_resolver.answer(internal()))
        logger.info("request_completed", method=event["requestContext"]["http"]["method"], status=answer["statusCode"])
        allowed = cors.headers(http_resolver.headers(event).get("origin"), origins=origins)
        return {**answer, "headers": {**allowed, **answer["headers"], "Cache-Control": "no-store"}}

    return handler


def _route(
    event_type: Literal["CONNECT", "MESSAGE", "DISCONNECT"],
    step: Callable[[Event], Answer],
    *,
    otherwise: Callable[[Event], Answer],
) -> Handler:
    """A route's handler. Refuses other event types: a frame may name `$disconnect` as its type and be routed there."""

    def handler(event: Event, _context: object) -> Answer:
        context = event["requestContext"]
        if context["eventType"] != event_type:
            logger.info("event_type_refused", event_type=context["eventType"])
            return {"statusCode": 400}
        answer = _guarded(lambda: step(event), otherwise=lambda: otherwise(event))
        logger.info("route_completed", route=context["routeKey"], connection_id=context["connectionId"])
        return answer

    return handler


def _guarded(step: Callable[[], T], *, otherwise: Callable[[], T]) -> T:
    try:
        return step()
    except Exception as error:  # noqa: BLE001 (the edge: whatever it is, it must not reach a client)
        first = _first(error)
        frames = traceback.extract_tb(first.__traceback__)[-8:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        logger.error("internal_error", error=type(first).__name__, places=places)  # noqa: TRY400 (no text of it)
        return otherwise()


def _first(error: BaseException) -> BaseException:
    """The first of a task group's failures: the group itself says nothing."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _with_body(frame: bytes | None) -> Answer:
    return {"statusCode": 200} if frame is None else {"statusCode": 200, "body": frame.decode()}


def _upgrade(event: Event) -> Upgrade:
    """All values of all headers: API Gateway's `headers` keeps only the last of several."""
    several: Mapping[str, list[str]] = event.get("multiValueHeaders") or {}
    headers = {name.lower(): [value] for name, value in (event.get("headers") or {}).items()}
    query: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    return Upgrade(headers | {name.lower(): values for name, values in several.items()}, query)


def _socket_request(event: Event) -> SocketRequest:
    context = event["requestContext"]
    who = principal.of_context(context["authorizer"])
    return SocketRequest(who, context["connectionId"], event.get("body") or "", _upgrade(event))


def _run_record(record: Event) -> RunRecord:
    """What a message of the run queue asks for. Raises KeyError or TypeError for anything else."""
    body = json.loads(record["body"])
    user, thread_id = body["user"], body["thread_id"]
    if "delete" in body:
        return RunRecord(Deletion(user, thread_id, body["delete"]), record["receiptHandle"])
    return RunRecord(RunRequest(user, thread_id, body["run_id"], body.get("retry", False)), record["receiptHandle"])


def _order(record: Event) -> Check | Revocation:
    """What a message of the control queue says. Raises KeyError or TypeError for anything else."""
    body = json.loads(record["body"])
    if "revoke" in body:
        said = body["revoke"]
        return Revocation(said["iss"], said["sub"], said.get("sid", ""), int(said["not_before"]))
    said = body["check"]
    return Check(said["user"], said["connection_id"], int(said["number"]))


def _policy(effect: Literal["Allow", "Deny"], resource: str, who: str, context: dict[str, str]) -> Answer:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {
        "principalId": who,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
