"""The commands about the connection itself: hello, refreshing its token, what it follows, and whether all is well."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket import __version__, encoded_text
from agentsocket.aws.management_api import disconnect
from agentsocket.commands import health
from agentsocket.commands.replay import resume
from agentsocket.commands.request import CommandContext
from agentsocket.errors import BadRequest, Disconnect, Forbidden, NotFound, TokenRejected, Unauthorized
from agentsocket.principal import Principal
from agentsocket.protocol import messages
from agentsocket.protocol.frames import Reply, failure, in_frame

_TOKEN = "token"  # noqa: S105 (a field's name)
_LISTED_BYTES = 200


def hello(command: messages.Hello, request: CommandContext) -> Iterator[Reply]:
    """The connection is live from here on, others may have to go; then what it missed, by thread, 1 MB in all."""
    device = f"{command.client.name} {command.client.version}".strip()
    connection, surplus = request.store.connections.go_live(request.connection_id, device=device)
    for other in surplus:
        _make_room(other.connection_id, request)
    yield Reply(
        messages.Welcome(
            connection_id=request.connection_id,
            user_id=request.principal.user,
            expires_at=connection.token_exp,
            max_message_bytes=request.limits.max_message_bytes,
            ping_interval_s=request.limits.ping_interval_s,
            server_version=__version__,
        )
    )
    yield from _resume_all(command.resume, request)


def _make_room(connection_id: str, request: CommandContext) -> None:
    """End a connection beyond the limit. One that cannot be closed now keeps its row: the next hello tries again."""
    reason, now = Disconnect("connection_limit"), request.store.now()
    if disconnect(request.management_api, connection_id, reason, now=now) != "throttled":
        request.store.connections.remove(connection_id)


def _resume_all(points: list[messages.ResumePoint], request: CommandContext) -> Iterator[Reply]:
    """Resume the threads in order, as long as the bytes and the number of threads allow; the rest by snapshot."""
    limits, connection_id = request.limits, request.connection_id
    room = limits.replay_max_bytes
    for number, point in enumerate(points):
        allowed = room if number < limits.max_resume_threads else 0
        try:
            replies = resume(request.store, connection_id, point.thread_id, point, limits=limits, max_bytes=allowed)
            for reply in replies:
                yield reply
                if isinstance(reply.payload, messages.Batch):
                    room -= sum(len(bytes(event)) for event in reply.payload.events)
        except NotFound as error:
            error.field = f"resume[{number}].thread_id"
            yield Reply(failure(in_frame(error)))


def refresh_token(command: messages.RefreshToken, request: CommandContext) -> Iterator[Reply]:
    """The connection goes on under a newer token of the same user. Raises Unauthorized, Forbidden or BadRequest."""
    try:
        newer = request.verify(command.token)
    except TokenRejected:
        raise Unauthorized("the new token is not accepted; get another one and retry", field=_TOKEN) from None
    _require_successor(newer, request.principal)
    request.store.connections.refresh(
        request.connection_id, token_exp=newer.expires_at, token_iat=newer.issued_at, session=newer.session
    )
    yield Reply(messages.TokenRefreshed(expires_at=newer.expires_at))


def _require_successor(newer: Principal, current: Principal) -> None:
    """Raises Forbidden or BadRequest unless a newer token may stand in for the connection's current one."""
    if newer.user != current.user:
        raise Forbidden("the new token belongs to another user; open a new connection with it", field=_TOKEN)
    if further := sorted(newer.scopes - current.scopes):
        raise Forbidden(
            f"the new token has scopes that this connection lacks ({_listed(further)}); open a new connection with it",
            field=_TOKEN,
        )
    if newer.expires_at <= current.expires_at:
        raise BadRequest(
            f"the new token must expire later than the current one: {newer.expires_at} is not after "
            f"{current.expires_at}",
            field=_TOKEN,
        )


def _listed(scopes: list[str]) -> str:
    return encoded_text.preview(", ".join(scopes), _LISTED_BYTES)


def subscribe(command: messages.Subscribe, request: CommandContext) -> Iterator[Reply]:
    """Follow a thread; `since` brings what came after it, no `since` a snapshot."""
    since = None if command.since is UNSET else command.since
    limits = request.limits
    yield from resume(
        request.store, request.connection_id, command.thread_id, since, limits=limits, max_bytes=limits.replay_max_bytes
    )


def unsubscribe(command: messages.Unsubscribe, request: CommandContext) -> Iterator[Reply]:
    """Stop following a thread of the user's own."""
    request.store.threads.get(command.thread_id)
    request.store.connections.unsubscribe(request.connection_id, command.thread_id)
    yield Reply(messages.Unsubscribed(thread_id=command.thread_id))


def get_health(_command: messages.GetHealth, request: CommandContext) -> Iterator[Reply]:
    """Whether the service is well."""
    probes = {"table": request.store.reachable, "contexts": request.contexts.state}
    yield Reply(health.check(probes, now=request.store.now))


def ping(_command: messages.Ping, _request: CommandContext) -> Iterator[Reply]:
    """Keeps the connection from idling: nothing is read or written."""
    yield Reply(messages.Pong())
