"""The commands a client may send, but for `user_message` (`relay.py`): each yields what answers it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket import protocol
from agentsocket.admission import Verify
from agentsocket.errors import BadRequest, Forbidden, NotFound, TokenRejected, Unauthorized
from agentsocket.frames import Reply, failure
from agentsocket.inputs import SocketRequest
from agentsocket.limits import Limits
from agentsocket.resuming import resume
from agentsocket.storage import UserStorage

_TOKEN = "payload.token"  # noqa: S105 (a field's name)


def hello(command: protocol.Hello, request: SocketRequest, *, user: UserStorage, limits: Limits) -> Iterator[Reply]:
    """The connection is live from here on; then what it missed, thread by thread, 1 MB in all."""
    client = command.client
    connection = user.connections.go_live(request.connection_id, device=f"{client.name} {client.version}".strip())
    yield Reply(
        protocol.Welcome(
            connection_id=request.connection_id,
            user_id=request.principal.user,
            expires_at=connection.token_exp,
            max_message_bytes=limits.max_message_bytes,
            ping_interval_s=limits.ping_interval_s,
        )
    )
    room = limits.replay_max_bytes
    for number, point in enumerate(command.resume):
        allowed = room if number < limits.max_resume_threads else 0
        try:
            for reply in resume(user, request.connection_id, point.thread_id, point, limits=limits, max_bytes=allowed):
                yield reply
                if isinstance(reply.payload, protocol.Batch):
                    room -= sum(len(bytes(event)) for event in reply.payload.events)
        except NotFound as error:
            error.field = f"payload.resume[{number}].thread_id"
            yield Reply(failure(error))


def refresh_token(
    command: protocol.RefreshToken, request: SocketRequest, *, user: UserStorage, verify: Verify
) -> Reply:
    """The connection goes on under a newer token of the same user. Raises Unauthorized, Forbidden or BadRequest."""
    who = request.principal
    try:
        newer = verify(command.token)
    except TokenRejected:
        raise Unauthorized("the token is not accepted", field=_TOKEN) from None
    if newer.user != who.user:
        raise Forbidden("the token is another user's", field=_TOKEN)
    if not newer.scopes <= who.scopes:
        raise Forbidden("the token has scopes that the connection does not have", field=_TOKEN)
    if newer.expires_at <= who.expires_at:
        raise BadRequest("the new token ends no later than the one in use", field=_TOKEN)
    user.connections.refresh(
        request.connection_id, token_exp=newer.expires_at, token_iat=newer.issued_at, session=newer.session
    )
    return Reply(protocol.TokenRefreshed(expires_at=newer.expires_at))


def stop_agent(command: protocol.StopAgent, request: SocketRequest, *, user: UserStorage) -> Reply:
    """Stop a run of the user's, be it under way, waiting, or not even accepted yet."""
    if (command.run_id is UNSET) == (command.message_id is UNSET):
        raise BadRequest("name the run by run_id or by message_id", field="payload.run_id")
    known = command.run_id is not UNSET
    run_id = command.run_id if command.run_id is not UNSET else user.run_id(str(command.message_id))
    user.stop(run_id, connection_id=request.connection_id, known=known)
    return Reply(protocol.StopAccepted(run_id=run_id))


def subscribe(
    command: protocol.Subscribe, request: SocketRequest, *, user: UserStorage, limits: Limits
) -> Iterator[Reply]:
    """Follow a thread; `since` brings what came after it, no `since` a snapshot."""
    since = None if command.since is UNSET else command.since
    yield from resume(
        user, request.connection_id, command.thread_id, since, limits=limits, max_bytes=limits.replay_max_bytes
    )


def unsubscribe(command: protocol.Unsubscribe, request: SocketRequest, *, user: UserStorage) -> Iterator[Reply]:
    """Stop following a thread of the user's own."""
    user.thread(command.thread_id)
    user.connections.unsubscribe(request.connection_id, command.thread_id)
    yield Reply(protocol.Unsubscribed(thread_id=command.thread_id))
