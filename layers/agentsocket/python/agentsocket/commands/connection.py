"""The commands about connections and runs: each yields what answers it. Which there are: `registry.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from agentsocket import __version__
from agentsocket.auth.handshake import Verify
from agentsocket.aws.management_api import ManagementApi, disconnect
from agentsocket.commands import health
from agentsocket.commands.replay import resume
from agentsocket.errors import BadRequest, Disconnect, Forbidden, NotFound, TokenRejected, Unauthorized
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply, failure

if TYPE_CHECKING:
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.storage.user import UserStorage

_TELLING_S = 5  # whoever asked waits for that: what others then have not heard, their lists will tell
_TOKEN = "payload.token"  # noqa: S105 (a field's name)


class CommandContext(Struct, frozen=True, kw_only=True):
    """What a command comes with: who asks, over which connection, and the seams that answers are made with.

    `connection_id` is empty over HTTP, where the token has been checked with the request (`api.py`). `command_id`
    is the client's own id of the command, or one made for it.
    """

    principal: Principal
    connection_id: str
    command_id: str
    user: UserStorage
    contexts: ContextStore
    run_queue: RunQueue
    management_api: ManagementApi
    verify: Verify
    limits: Limits

    def admit(self) -> None:
        """Raises Disconnect when the connection may do nothing (any more): one read."""
        if self.connection_id:
            self.user.connections.require_admitted(self.connection_id)

    def enter(self, thread_id: str) -> None:
        """As `admit`, for one of the user's threads. Raises NotFound, too: one read."""
        if self.connection_id:
            self.user.enter(self.connection_id, thread_id)
        else:
            self.user.threads.get(thread_id)


def hello(command: protocol.Hello, asked: CommandContext) -> Iterator[Reply]:
    """The connection is live from here on, others may have to go; then what it missed, by thread, 1 MB in all."""
    user, connection_id, limits = asked.user, asked.connection_id, asked.limits
    device = f"{command.client.name} {command.client.version}".strip()
    connection, surplus = user.connections.go_live(connection_id, device=device)
    crowded = Disconnect("connection_limit")
    for other in surplus:
        if disconnect(asked.management_api, other.connection_id, crowded, now=user.now()) != "throttled":
            user.connections.forget(other.connection_id)
    yield Reply(
        protocol.Welcome(
            connection_id=connection_id,
            user_id=asked.principal.user,
            expires_at=connection.token_exp,
            max_message_bytes=limits.max_message_bytes,
            ping_interval_s=limits.ping_interval_s,
            server_version=__version__,
        )
    )
    room = limits.replay_max_bytes
    for number, point in enumerate(command.resume):
        allowed = room if number < limits.max_resume_threads else 0
        try:
            for reply in resume(user, connection_id, point.thread_id, point, limits=limits, max_bytes=allowed):
                yield reply
                if isinstance(reply.payload, protocol.Batch):
                    room -= sum(len(bytes(event)) for event in reply.payload.events)
        except NotFound as error:
            error.field = f"payload.resume[{number}].thread_id"
            yield Reply(failure(error))


def refresh_token(command: protocol.RefreshToken, asked: CommandContext) -> Iterator[Reply]:
    """The connection goes on under a newer token of the same user. Raises Unauthorized, Forbidden or BadRequest."""
    who = asked.principal
    try:
        newer = asked.verify(command.token)
    except TokenRejected:
        raise Unauthorized("the token is not accepted", field=_TOKEN) from None
    if newer.user != who.user:
        raise Forbidden("the token is another user's", field=_TOKEN)
    if not newer.scopes <= who.scopes:
        raise Forbidden("the token has scopes that the connection does not have", field=_TOKEN)
    if newer.expires_at <= who.expires_at:
        raise BadRequest("the new token ends no later than the one in use", field=_TOKEN)
    asked.user.connections.refresh(
        asked.connection_id, token_exp=newer.expires_at, token_iat=newer.issued_at, session=newer.session
    )
    yield Reply(protocol.TokenRefreshed(expires_at=newer.expires_at))


def stop_agent(command: protocol.StopAgent, asked: CommandContext) -> Iterator[Reply]:
    """Stop a run of the user's, be it under way, waiting, or not even accepted yet."""
    if (command.run_id is UNSET) == (command.message_id is UNSET):
        raise BadRequest("name the run by run_id or by message_id", field="payload.run_id")
    known = command.run_id is not UNSET
    run_id = command.run_id if command.run_id is not UNSET else asked.user.run_id(str(command.message_id))
    asked.user.stop(run_id, connection_id=asked.connection_id, known=known)
    yield Reply(protocol.StopAccepted(run_id=run_id))


def tell_others(news: protocol.Payload, asked: CommandContext) -> None:
    """The user's other connections hear of it, as far as they can be reached."""
    tell(news, user=asked.user, management_api=asked.management_api, but=asked.connection_id)


def tell(news: protocol.Payload, *, user: UserStorage, management_api: ManagementApi, but: str = "") -> None:
    """The user's connections hear of it, as far as they can be reached in time; not the one named by `but`."""
    frame = frames.frame(news, frame_id=user.new_id(), now=user.now()).encode()
    enough = user.now() + _TELLING_S
    for connection in user.connections.listening():
        if connection.connection_id != but and user.now() < enough:
            management_api.post(connection.connection_id, frame)


def subscribe(command: protocol.Subscribe, asked: CommandContext) -> Iterator[Reply]:
    """Follow a thread; `since` brings what came after it, no `since` a snapshot."""
    since = None if command.since is UNSET else command.since
    limits = asked.limits
    yield from resume(
        asked.user, asked.connection_id, command.thread_id, since, limits=limits, max_bytes=limits.replay_max_bytes
    )


def unsubscribe(command: protocol.Unsubscribe, asked: CommandContext) -> Iterator[Reply]:
    """Stop following a thread of the user's own."""
    asked.user.threads.get(command.thread_id)
    asked.user.connections.unsubscribe(asked.connection_id, command.thread_id)
    yield Reply(protocol.Unsubscribed(thread_id=command.thread_id))


def get_health(_command: protocol.GetHealth, asked: CommandContext) -> Iterator[Reply]:
    """Whether the service is well."""
    looks = {"table": asked.user.reachable, "contexts": asked.contexts.state}
    yield Reply(health.check(looks, now=asked.user.now))


def ping(_command: protocol.Ping, _asked: CommandContext) -> Iterator[Reply]:
    """Keeps the connection from idling: nothing is read or written."""
    yield Reply(protocol.Pong())
