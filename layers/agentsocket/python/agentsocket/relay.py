"""The life of one message, in the order it happens. Start reading here.

    connect -> receive -> start_run -> execute (start, publish, publish, ..., finish) -> resume -> disconnect

Each step names the seams it needs and gets no others: its signature is its IAM policy. Events are appended to the log
before they are pushed: a failed push is a late event, not a lost one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec
from msgspec import UNSET

from agentsocket import admission, commands, due, frames, principal, protocol
from agentsocket.admission import Verify
from agentsocket.agents import Agent
from agentsocket.dispatch import Dispatch
from agentsocket.errors import BadRequest, LeaseHeld, RunUnfinished, Unavailable
from agentsocket.frames import Reply
from agentsocket.gateway import Gateway
from agentsocket.inputs import Check, RunRecord, RunRequest, SocketRequest
from agentsocket.limits import Limits
from agentsocket.runtime import Runtime
from agentsocket.schedule import Schedule
from agentsocket.storage import NewMessage, Storage, UserStorage
from agentsocket.threadlog import Lease

_logger = logging.getLogger("agentsocket.relay")


def connect(request: SocketRequest, *, storage: Storage, schedule: Schedule, limits: Limits) -> str | None:
    """$connect: remember the socket, and to look at it later. Returns the subprotocol to answer with.

    Nothing can be posted to it yet. Raises TokenRejected when its ticket was used before, or its token is revoked.
    """
    who = request.principal
    connection = storage.for_user(who).connections.open(request.connection_id)
    first = Check(who.user, request.connection_id, connection.checks)
    schedule.check(first, delay_s=due.first_check_s(connection, limits))
    return admission.answered_subprotocol(request.upgrade)


def disconnect(request: SocketRequest, *, storage: Storage) -> None:
    """$disconnect: forget the socket. Best effort; 410 on the next push and TTL are the guarantee."""
    storage.for_user(request.principal).connections.forget(request.connection_id)


def receive(
    request: SocketRequest,
    *,
    storage: Storage,
    dispatch: Dispatch,
    verify: Verify,
    agents: Collection[str],
    limits: Limits,
) -> Iterator[Reply]:
    """$default: one frame from a client; yields its answer. Raises ClientError, or Disconnect to end the connection.

    `verify` checks a newer token.
    """
    command = frames.parse(request.body, limits=limits).payload
    user = storage.for_user(request.principal)
    user.connections.require_authorized(request.connection_id)
    if isinstance(command, protocol.SendMessage):
        yield start_run(command, request, user=user, dispatch=dispatch, agents=agents)
    elif isinstance(command, protocol.Hello):
        yield from commands.hello(command, request, user=user, limits=limits)
    elif isinstance(command, protocol.Subscribe):
        yield from commands.subscribe(command, request, user=user, limits=limits)
    elif isinstance(command, protocol.Unsubscribe):
        yield from commands.unsubscribe(command, request, user=user)
    elif isinstance(command, protocol.StopAgent):
        yield commands.stop_agent(command, request, user=user)
    elif isinstance(command, protocol.RefreshToken):
        yield commands.refresh_token(command, request, user=user, verify=verify)
    else:
        yield Reply(protocol.Pong())


def start_run(
    command: protocol.SendMessage,
    request: SocketRequest,
    *,
    user: UserStorage,
    dispatch: Dispatch,
    agents: Collection[str],
) -> Reply:
    """Accept a message once and queue its run. A retry finds the run it made, and queues it again if it still waits."""
    agent = "" if command.agent is UNSET else command.agent
    if agent and agent not in agents:
        raise BadRequest("no such agent", field="payload.agent")
    message = NewMessage(
        message_id=command.message_id,
        content=command.content,
        thread_id=None if command.thread_id is UNSET else command.thread_id,
        connection_id=request.connection_id,
        agent=agent,
        context=msgspec.json.encode(command.context, order="sorted").decode(),
    )
    accepted = user.accept(message)
    run = accepted.run
    if run.state == "accepted":
        dispatch.send(RunRequest(request.principal.user, run.thread_id, run.run_id))
    return Reply(
        protocol.MessageAccepted(
            thread_id=run.thread_id,
            epoch=accepted.thread.epoch,
            run_id=run.run_id,
            message_id=run.message_id,
            duplicate=accepted.duplicate,
        )
    )


async def execute(
    record: RunRecord,
    *,
    storage: Storage,
    dispatch: Dispatch,
    gateway: Gateway,
    agents: Mapping[str, Callable[[], Agent]],
    runtime: Runtime,
) -> None:
    """Worker: run the agent, publish each event, end the run. Safe to repeat for the same record.

    Returns when nothing is left to do: the run is terminal (or was never accepted). Raises RunUnfinished, or
    Unavailable, when the record must come again.
    """
    from agentsocket import attempts  # the worker's alone: routes start cold without it, and without asyncio

    offload = runtime.offload
    await _hide(record, runtime.limits.visibility_s, dispatch, runtime)
    user = storage.for_user(principal.of_queued(record.request.user))
    run = await offload(user.run, record.request.run_id)
    if run is None:
        _logger.error("a run without a row", extra={"run_id": record.request.run_id})
        return
    if run.terminal:
        await attempts.push_ending(run, user, gateway, runtime)
        return
    lease = Lease(owner=user.new_id(), run_id=run.run_id, attempt=run.attempts + 1)
    taken_at = runtime.clock()
    try:
        taken = await offload(user.log(run.thread_id).take_lease, lease)
    except LeaseHeld as held:
        await _hide(record, math.ceil(held.remaining_s), dispatch, runtime)
        raise RunUnfinished("another worker is at it") from held
    if not taken.intact:
        await offload(user.renew_epoch, run.thread_id)
    await attempts.attempt(
        run,
        record,
        lease,
        top=taken.top,
        taken_at=taken_at,
        user=user,
        dispatch=dispatch,
        gateway=gateway,
        agents=agents,
        runtime=runtime,
    )


async def _hide(record: RunRecord, seconds: int, dispatch: Dispatch, runtime: Runtime) -> None:
    """Let the record return `seconds` from now. When that fails it returns later, by the queue's own time-out."""
    try:
        await runtime.offload(dispatch.hide, record, seconds)
    except Unavailable:
        _logger.warning("visibility not set", extra={"run_id": record.request.run_id})
