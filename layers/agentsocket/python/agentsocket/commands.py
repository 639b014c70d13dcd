"""The commands a client may send, but for `user_message` (`relay.py`): each yields what answers it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket import frames, protocol
from agentsocket.admission import Verify
from agentsocket.dispatch import Dispatch
from agentsocket.errors import BadRequest, Disconnect, Forbidden, NotFound, TokenRejected, Unauthorized
from agentsocket.frames import Reply, failure
from agentsocket.gateway import Gateway, dismiss
from agentsocket.inputs import Deletion, SocketRequest
from agentsocket.limits import Limits
from agentsocket.resuming import resume
from agentsocket.storage import UserStorage

_CROWDED = Disconnect("connection_limit", "too many connections: another has taken this one's place", reconnect=False)
_TOKEN = "payload.token"  # noqa: S105 (a field's name)


def cost(command: protocol.Payload, limits: Limits) -> int:
    """For how many commands one counts. What ends a run, keeps a socket or renews its token is never held up.

    But for a stop that may precede its run: that leaves a row which every worker of the user's reads.
    """
    if isinstance(command, protocol.StopAgent):
        return int(command.run_id is UNSET)
    if isinstance(command, protocol.Ping | protocol.RefreshToken | protocol.Unsubscribe):
        return 0
    if isinstance(command, protocol.Subscribe) or (isinstance(command, protocol.Hello) and command.resume):
        return limits.replay_cost
    return 1


def hello(
    command: protocol.Hello, request: SocketRequest, *, user: UserStorage, gateway: Gateway, limits: Limits
) -> Iterator[Reply]:
    """The connection is live from here on, others may have to go; then what it missed, by thread, 1 MB in all."""
    device = f"{command.client.name} {command.client.version}".strip()
    connection, surplus = user.connections.go_live(request.connection_id, device=device)
    for other in surplus:
        if dismiss(gateway, other.connection_id, _CROWDED, now=user.now()) != "throttled":
            user.connections.forget(other.connection_id)
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


def delete_thread(
    command: protocol.DeleteThread,
    request: SocketRequest,
    command_id: str,
    *,
    user: UserStorage,
    dispatch: Dispatch,
    gateway: Gateway,
) -> Reply:
    """Hide a thread at once and have its rows swept. Queued first: what is hidden will be swept, whoever dies now."""
    user.connections.require_admitted(request.connection_id)
    erasure = user.erasure(command.thread_id, by=command_id)
    erasure.require()
    dispatch.delete(Deletion(request.principal.user, command.thread_id, command_id))
    erasure.hide()
    deleted = protocol.ThreadDeleted(thread_id=command.thread_id)
    _tell_others(deleted, request, user=user, gateway=gateway)
    return Reply(deleted)


def _tell_others(news: protocol.Payload, request: SocketRequest, *, user: UserStorage, gateway: Gateway) -> None:
    """The user's other connections hear of it, as far as they can be reached."""
    frame = frames.frame(news, frame_id=user.new_id(), now=user.now()).encode()
    for connection in user.connections.listening():
        if connection.connection_id != request.connection_id:
            gateway.post(connection.connection_id, frame)


def subscribe(
    command: protocol.Subscribe, request: SocketRequest, *, user: UserStorage, limits: Limits
) -> Iterator[Reply]:
    """Follow a thread; `since` brings what came after it, no `since` a snapshot."""
    since = None if command.since is UNSET else command.since
    yield from resume(
        user, request.connection_id, command.thread_id, since, limits=limits, max_bytes=limits.replay_max_bytes
    )


def get_content(command: protocol.GetContent, request: SocketRequest, *, user: UserStorage) -> Reply:
    """A page of the text of a message in a thread of the user's own."""
    user.connections.require_admitted(request.connection_id)
    user.thread(command.thread_id)
    page = user.log(command.thread_id).contents.page(command.message_id, command.offset)
    payload = protocol.Content(
        content=page.content,
        offset=page.offset,
        bytes=page.bytes,
        sha256=page.sha256,
        next_offset=UNSET if page.next_offset is None else page.next_offset,
    )
    return Reply(payload, command.thread_id)


def unsubscribe(command: protocol.Unsubscribe, request: SocketRequest, *, user: UserStorage) -> Iterator[Reply]:
    """Stop following a thread of the user's own."""
    user.thread(command.thread_id)
    user.connections.unsubscribe(request.connection_id, command.thread_id)
    yield Reply(protocol.Unsubscribed(thread_id=command.thread_id))
