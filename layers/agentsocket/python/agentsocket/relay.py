"""The life of one message, in the order it happens. Start reading here.

    connect -> receive -> start_run -> execute (start, publish, publish, ..., finish) -> resume -> disconnect

Each step names the seams it needs and gets no others: its signature is its IAM policy. Events are appended to the log
before they are pushed: a failed push is a late event, not a lost one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, cast

import msgspec
from msgspec import UNSET

from agentsocket import principal
from agentsocket.auth import handshake
from agentsocket.auth.handshake import Verify
from agentsocket.commands import registry
from agentsocket.commands.connection import CommandContext
from agentsocket.control import deadlines
from agentsocket.errors import BadRequest, LeaseHeld, RunUnfinished, TooManyRuns, Unavailable
from agentsocket.inputs import Check, Deletion, RunRecord, RunRequest, SocketRequest
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply
from agentsocket.storage.rows import Run

if TYPE_CHECKING:  # seams are types here: loading them would load the SDK
    from agentsocket.agents.contract import Agent
    from agentsocket.aws.control_queue import ControlQueue
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.runtime import Runtime
    from agentsocket.storage.thread_log import Lease, LeaseGrant
    from agentsocket.storage.user import Storage, UserStorage

_logger = logging.getLogger("agentsocket.relay")


def connect(request: SocketRequest, *, storage: Storage, control_queue: ControlQueue) -> str | None:
    """$connect: remember the socket, and to look at it later. Returns the subprotocol to answer with.

    Nothing can be posted to it yet. Raises TokenRejected when its ticket was used before, or its token is revoked, and
    RateLimited.
    """
    who = request.principal
    user = storage.for_user(who)
    user.quotas.connect()
    connection = user.connections.open(request.connection_id)
    first = Check(who.user, request.connection_id, connection.checks)
    control_queue.check(first, delay_s=deadlines.first_check_s(connection, storage.limits))
    return handshake.answered_subprotocol(request.upgrade)


def disconnect(request: SocketRequest, *, storage: Storage) -> None:
    """$disconnect: forget the socket. Best effort; 410 on the next push and TTL are the guarantee."""
    storage.for_user(request.principal).connections.forget(request.connection_id)


def receive(
    request: SocketRequest,
    *,
    storage: Storage,
    contexts: ContextStore,
    run_queue: RunQueue,
    management_api: ManagementApi,
    verify: Verify,
    agents: Collection[str],
) -> Iterator[Reply]:
    """$default: one frame from a client; yields its answer. Raises ClientError, or Disconnect to end the connection.

    `verify` checks a newer token; `management_api` is for what the user's other connections hear of it.
    """
    parsed = frames.parse(request.body, limits=storage.limits)
    user = storage.for_user(request.principal)
    user.connections.require_authorized(request.connection_id)
    if isinstance(parsed.payload, protocol.SendMessage):
        yield start_run(parsed.payload, request, user=user, run_queue=run_queue, agents=agents)
        return
    asked = CommandContext(
        principal=request.principal,
        connection_id=request.connection_id,
        command_id=parsed.id or user.new_id(),
        user=user,
        contexts=contexts,
        run_queue=run_queue,
        management_api=management_api,
        verify=verify,
        limits=storage.limits,
    )
    yield from registry.answer(parsed.payload, asked)


def start_run(
    command: protocol.SendMessage,
    request: SocketRequest,
    *,
    user: UserStorage,
    run_queue: RunQueue,
    agents: Collection[str],
) -> Reply:
    """Accept a message once and queue its run. A retry finds the run it made, and queues it again if it still waits.

    A part that does not complete its message is kept, and answered with what is missing.
    """
    from agentsocket.commands import accept  # with the SDK, which is loaded when the seams are made
    from agentsocket.storage.multipart import NewMessage

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
    accepted = accept.accept(command, message, user=user)
    if isinstance(accepted, protocol.PartAccepted):
        return Reply(accepted)
    run = accepted.run
    if run.state == "accepted":
        run_queue.send(RunRequest(request.principal.user, run.thread_id, run.run_id))
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
    contexts: ContextStore,
    run_queue: RunQueue,
    management_api: ManagementApi,
    agents: Mapping[str, Callable[[], Agent]],
    runtime: Runtime,
) -> None:
    """Worker: run the agent, publish each event, end the run; or sweep a deleted thread. Safe to repeat.

    Returns when nothing is left to do: the run is terminal (or was never accepted). Raises RunUnfinished, or
    Unavailable, when the record must come again.
    """
    from agentsocket.worker import (  # the worker's alone: routes start cold without them and asyncio
        attempt,
        thread_sweep,
    )

    request = record.request
    await _hide(record, runtime.limits.visibility_s, run_queue, runtime)
    if isinstance(request, Deletion):
        await thread_sweep.sweep(
            record, request, storage=storage, contexts=contexts, run_queue=run_queue, runtime=runtime
        )
        return
    who = principal.of_queued(request.user)
    user = storage.for_user(who)
    run = await _pending(request, user, management_api, runtime)
    if run is None:
        return
    work = attempt.RunJob(
        run,
        record,
        spent=await _place(run, record, user, run_queue, runtime),
        user=user,
        contexts=contexts.for_user(who),
        run_queue=run_queue,
        management_api=management_api,
        agents=agents,
        runtime=runtime,
    )
    taken_at = runtime.clock()
    lease, taken = await _lease(run, record, user, run_queue, runtime)
    await attempt.attempt(work, lease, taken=taken, taken_at=taken_at)
    await runtime.offload(user.quotas.end, run.run_id)


async def _pending(
    request: RunRequest, user: UserStorage, management_api: ManagementApi, runtime: Runtime
) -> Run | None:
    """The run to be run, if one is: of a failed one's redriven copy it is another. Else what is left to do is done."""
    from agentsocket.worker import attempt

    run: Run | None
    run, deleted = await runtime.offload(user.queued, request.run_id, request.thread_id)
    if run is None:
        _logger.error("run_row_missing", extra={"run_id": request.run_id})
        return None
    if run.state == "failed" and request.retry:
        run = cast(Run, await runtime.offload(user.retry, run))
    if deleted:
        await runtime.offload(user.erasure(run.thread_id).end_run, run.run_id)
    elif run.terminal:
        await attempt.push_ending(run, user, management_api, runtime)
    else:
        return run
    await runtime.offload(user.quotas.end, run.run_id)
    return None


async def _place(run: Run, record: RunRecord, user: UserStorage, run_queue: RunQueue, runtime: Runtime) -> int:
    """Count the run among those under way; what the user has spent. Raises RunUnfinished where others have to end."""
    try:
        spent: int = await runtime.offload(user.quotas.begin, run)
    except TooManyRuns as crowded:
        await _hide(record, runtime.limits.run_retry_s, run_queue, runtime)
        raise RunUnfinished("it has to wait for the user's other runs") from crowded
    return spent


async def _lease(
    run: Run, record: RunRecord, user: UserStorage, run_queue: RunQueue, runtime: Runtime
) -> tuple[Lease, LeaseGrant]:
    """Become the writer of the run's thread. Raises RunUnfinished while another worker is."""
    from agentsocket.storage.thread_log import Lease

    lease = Lease(owner=user.new_id(), run_id=run.run_id, attempt=run.attempts + 1)
    try:
        taken: LeaseGrant = await runtime.offload(user.log(run.thread_id).take_lease, lease)
    except LeaseHeld as held:
        await _hide(record, math.ceil(held.remaining_s), run_queue, runtime)
        raise RunUnfinished("another worker is at it") from held
    if not taken.intact:
        await runtime.offload(user.threads.renew_epoch, run.thread_id)
    return lease, taken


async def _hide(record: RunRecord, seconds: int, run_queue: RunQueue, runtime: Runtime) -> None:
    """Let the record return `seconds` from now. When that fails it returns later, by the queue's own time-out."""
    try:
        await runtime.offload(run_queue.set_visibility, record, seconds)
    except Unavailable:
        _logger.warning("visibility_not_set", extra={"thread_id": record.request.thread_id})
