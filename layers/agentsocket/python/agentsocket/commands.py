"""The commands a client may send, but for `user_message` (`relay.py`): each yields what answers it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket import protocol
from agentsocket.errors import NotFound
from agentsocket.frames import Reply, failure
from agentsocket.inputs import SocketRequest
from agentsocket.limits import Limits
from agentsocket.resuming import resume
from agentsocket.storage import UserStorage


def hello(command: protocol.Hello, request: SocketRequest, *, user: UserStorage, limits: Limits) -> Iterator[Reply]:
    """The connection is live from here on; then what it missed, thread by thread, 1 MB in all."""
    client = command.client
    connection = user.go_live(request.connection_id, device=f"{client.name} {client.version}".strip())
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
    user.unsubscribe(request.connection_id, command.thread_id)
    yield Reply(protocol.Unsubscribed(thread_id=command.thread_id))
