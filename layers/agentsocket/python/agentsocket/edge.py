"""Where Lambda meets the code: events become inputs, answers take Lambda's form, errors become what a client may know.

One decorator per kind of function. Nothing of an exception of ours leaves here but `internal`; the log gets its type
and place, not its text, since that may quote a message. The authorizer imports this too, so what only a socket function
needs is imported when one is made.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from aws_lambda_powertools import Logger

from agentsocket import principal
from agentsocket.errors import NoToken, RunUnfinished, TokenRejected, Unavailable
from agentsocket.inputs import RunRecord, RunRequest, SocketRequest, Upgrade
from agentsocket.principal import Principal

if TYPE_CHECKING:
    from agentsocket.gateway import Gateway
    from agentsocket.replies import Step

Event = Mapping[str, Any]
Answer = dict[str, Any]
Handler = Callable[[Event, object], Answer]
T = TypeVar("T")

logger = Logger()


class Unauthorized(Exception):
    """API Gateway answers 401 when an authorizer raises an error whose text is exactly this word."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


def authorizer(step: Callable[[Upgrade], Principal]) -> Handler:
    """REQUEST authorizer: an Allow with the principal's context, a Deny (403), or the error that means 401."""

    def decide(event: Event) -> Answer | None:
        try:
            who = step(_upgrade(event))
        except NoToken:
            logger.info("refused: no token")
            return None
        except (TokenRejected, Unavailable) as error:
            logger.info("refused", reason=str(error))
            return deny(event)
        logger.info("admitted")
        return _policy("Allow", event["methodArn"], who.user, who.context())

    def deny(event: Event) -> Answer:
        return _policy("Deny", event["methodArn"], "refused", {})

    def handler(event: Event, _context: object) -> Answer:
        answer = _guarded(lambda: decide(event), otherwise=lambda: deny(event))
        if answer is None:
            raise Unauthorized
        return answer

    return handler


def connect(step: Callable[[SocketRequest], str | None]) -> Handler:
    """$connect: 200, naming the subprotocol that `step` returns."""

    def open_socket(event: Event) -> Answer:
        subprotocol = step(_socket_request(event))
        return {"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": subprotocol} if subprotocol else {}}

    return _route("CONNECT", open_socket, otherwise=lambda _event: {"statusCode": 500})


def disconnect(step: Callable[[SocketRequest], None]) -> Handler:
    """$disconnect: nobody hears the answer. An event without the authorizer's context has nothing to forget."""

    def close_socket(event: Event) -> Answer:
        if event["requestContext"].get("authorizer"):
            step(_socket_request(event))
        return {"statusCode": 200}

    return _route("DISCONNECT", close_socket, otherwise=lambda _event: {"statusCode": 500})


def websocket(gateway: Gateway) -> Callable[[Step], Handler]:
    """$default: a client's frame; the answer rides the route response or is posted."""
    from agentsocket import replies

    def decorate(step: Step) -> Handler:
        def answer(event: Event) -> Answer:
            return _with_body(replies.respond(step, _socket_request(event), gateway, now=time.time))

        def apologize(event: Event) -> Answer:
            return _with_body(replies.internal(_socket_request(event), now=time.time))

        return _route("MESSAGE", answer, otherwise=apologize)

    return decorate


def queue(step: Callable[[RunRecord], Coroutine[Any, Any, None]]) -> Handler:
    """SQS: each record is acknowledged when `step` returns, and left in the queue when it raises."""

    import asyncio

    def attempt(record: Event) -> bool:
        try:
            asyncio.run(step(_run_record(record)))
        except (RunUnfinished, Unavailable) as error:
            logger.info("run unfinished", reason=str(error))
            return False
        return True

    def succeeds(record: Event) -> bool:
        return _guarded(lambda: attempt(record), otherwise=lambda: False)

    def handler(event: Event, _context: object) -> Answer:
        failed = [record["messageId"] for record in event["Records"] if not succeeds(record)]
        logger.info("handled", failed=len(failed))
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

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
            logger.info("refused: not this route's event", event_type=context["eventType"])
            return {"statusCode": 400}
        answer = _guarded(lambda: step(event), otherwise=lambda: otherwise(event))
        logger.info("done", route=context["routeKey"], connection_id=context["connectionId"])
        return answer

    return handler


def _guarded(step: Callable[[], T], *, otherwise: Callable[[], T]) -> T:
    try:
        return step()
    except Exception as error:  # noqa: BLE001 (the edge: whatever it is, it must not reach a client)
        first = _first(error)
        frames = traceback.extract_tb(first.__traceback__)[-8:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        logger.error("internal error", error=type(first).__name__, places=places)  # noqa: TRY400 (no text of it)
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
    return Upgrade(headers | {name.lower(): values for name, values in several.items()})


def _socket_request(event: Event) -> SocketRequest:
    context = event["requestContext"]
    who = principal.of_context(context["authorizer"])
    return SocketRequest(who, context["connectionId"], event.get("body") or "", _upgrade(event))


def _run_record(record: Event) -> RunRecord:
    body = json.loads(record["body"])
    return RunRecord(RunRequest(body["user"], body["thread_id"], body["run_id"]), record["receiptHandle"])


def _policy(effect: Literal["Allow", "Deny"], resource: str, who: str, context: dict[str, str]) -> Answer:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {
        "principalId": who,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
