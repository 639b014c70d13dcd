"""One request at a time: who may connect, which function gets a message, what goes back. Sockets are not known here.

    upgrade request -> authorizer -> $connect -> messages, each on its own -> $disconnect

Statuses were measured on AWS by others: a $connect function's own status is passed on, one that raises is a 502, and
the status a message's function returns changes nothing.
"""

import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from local.gateway import authorizer, proxy
from local.gateway.answers import FORBIDDEN, INTERNAL_ERROR, TIMED_OUT, Refusal, error_frame
from local.gateway.events import (
    Event,
    Opening,
    Peer,
    Stamp,
    Upgrade,
    authorizer_event,
    connect_event,
    disconnect_event,
    message_event,
    new_id,
)
from local.gateway.invoke import Invocations, InvokeResult
from local.gateway.limits import GatewayLimits
from local.gateway.routes import CONNECT, DISCONNECT, Api, Authorizer, Route

log = logging.getLogger("local.gateway")


@dataclass(frozen=True)
class Accepted:
    """A handshake that may be completed, naming the subprotocol that the $connect function named, if any."""

    peer: Peer
    subprotocol: str | None


class Dispatcher:
    """Carries the requests of one attached API to its functions."""

    def __init__(
        self,
        api: Api,
        invocations: Invocations,
        *,
        domain_name: str,
        limits: GatewayLimits,
        now: Callable[[], float],
        empty_replies: bool,
    ) -> None:
        self._api, self._invocations, self._limits, self._now = api, invocations, limits, now
        self._domain_name, self._empty_replies = domain_name, empty_replies

    def opening(self, upgrade: Upgrade, source_ip: str) -> Opening:
        """Gives a handshake its connection id and its request id."""
        stamp = Stamp.at(self._now())
        peer = Peer(
            connection_id=new_id(),
            connected_at_ms=stamp.at_ms,
            source_ip=source_ip,
            user_agent=upgrade.header("User-Agent"),
            domain_name=self._domain_name,
            api_id=self._api.api_id,
            stage=self._api.stage,
            stage_variables=self._api.stage_variables,
        )
        return Opening(peer, upgrade, stamp)

    async def open(self, opening: Opening) -> Accepted | Refusal:
        """Asks the authorizer, then $connect, as far as the API has them."""
        route = self._api.routes.get(CONNECT)
        if route is None:
            return Accepted(opening.peer, None)
        started = time.monotonic()
        peer = await self._authorized(route, opening)
        if isinstance(peer, Refusal):
            return peer
        authorizer_ms = int((time.monotonic() - started) * 1000)
        return await self._connected(route, dataclasses.replace(opening, peer=peer), authorizer_ms)

    async def message(self, peer: Peer, body: str) -> str | None:
        """What goes back to the client for one message: a function's body, an error frame, or nothing."""
        stamp = Stamp.at(self._now())
        route = self._api.route_for(body)
        if route is None:
            log.info("%s: a message for which there is no route.", peer.connection_id)
            return error_frame(FORBIDDEN, peer.connection_id, stamp.request_id)
        result = await self._call(route, message_event(peer, route.key, body, stamp))
        try:
            return self._reply(route, result)
        except proxy.MalformedAnswerError as exc:
            log.warning("%s: the function of %s failed: %s", peer.connection_id, route.key, exc)
            reason = TIMED_OUT if result.timed_out else INTERNAL_ERROR
            return error_frame(reason, peer.connection_id, stamp.request_id)

    async def disconnected(self, peer: Peer, code: int, reason: str) -> None:
        """Tells $disconnect, if there is one. Nobody hears its answer."""
        log.info("%s: disconnected with %d.", peer.connection_id, code)
        route = self._api.routes.get(DISCONNECT)
        if route is not None:
            result = await self._call(route, disconnect_event(peer, code, reason, Stamp.at(self._now())))
            if result.error is not None:
                log.warning("%s: the function of $disconnect failed.", peer.connection_id)

    async def _authorized(self, route: Route, opening: Opening) -> Peer | Refusal:
        if route.authorizer is None:
            return opening.peer
        event = authorizer_event(opening, self._method_arn(route.authorizer))
        if authorizer.lacks_identity(route.authorizer.identity_sources, event):
            return authorizer.UNAUTHORIZED
        timeout_s = self._limits.integration_timeout_s
        result = await self._invocations.call(route.authorizer.function_arn, event, timeout_s)
        limit = self._limits.authorizer_result_bytes
        context = authorizer.verdict(result, event["methodArn"], limit_bytes=limit)
        return context if isinstance(context, Refusal) else dataclasses.replace(opening.peer, authorizer=context)

    async def _connected(self, route: Route, opening: Opening, authorizer_ms: int) -> Accepted | Refusal:
        result = await self._call(route, connect_event(opening, authorizer_ms))
        if result.timed_out:
            return Refusal(504, TIMED_OUT)
        try:
            answer = _answer(result)
        except proxy.MalformedAnswerError as exc:
            log.warning("%s: the function of $connect failed: %s", opening.peer.connection_id, exc)
            return Refusal(502, INTERNAL_ERROR)
        return Accepted(opening.peer, answer.subprotocol) if answer.status < 300 else Refusal(answer.status)

    def _reply(self, route: Route, result: InvokeResult) -> str | None:
        body = _answer(result).body
        if not route.two_way:
            return None
        if body is not None and len(body.encode()) > self._limits.message_bytes:
            raise proxy.MalformedAnswerError("body is larger than a message may be.")
        return "" if body is None and self._empty_replies else body

    def _method_arn(self, authorizer: Authorizer) -> str:
        """The function's ARN names the partition and account, which nothing else in an API's description does."""
        partition, account = authorizer.function_arn.split(":")[1], authorizer.function_arn.split(":")[4]
        api = self._api
        return f"arn:{partition}:execute-api:{api.region}:{account}:{api.api_id}/{api.stage}/{CONNECT}"

    async def _call(self, route: Route, event: Event) -> InvokeResult:
        return await self._invocations.call(route.function_arn, event, route.timeout_s)


def _answer(result: InvokeResult) -> proxy.Answer:
    if result.error is not None:
        # The function's own message may quote the event, so it is not repeated.
        raise proxy.MalformedAnswerError("It timed out." if result.timed_out else "It raised or could not be called.")
    return proxy.read(result.payload)
