"""The life of one message, in the order it happens. Start reading here.

    connect -> receive -> start_run -> execute (claim, start, publish, publish, ..., finish) -> resume -> disconnect

Each step names the adapters it needs and gets no others: its signature is its IAM policy. Events are appended to the
log before they are pushed: a failed push is a late event, not a lost one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from msgspec import UNSET

from agentsocket import principal, wording
from agentsocket.auth import handshake
from agentsocket.auth.handshake import Verify
from agentsocket.commands import registry
from agentsocket.commands.request import CommandContext
from agentsocket.control import deadlines
from agentsocket.errors import BadRequest, CommandError
from agentsocket.inputs import Check, Deletion, RunRecord, RunRequest, SocketRequest
from agentsocket.protocol import frames, messages
from agentsocket.protocol.frames import Reply

if TYPE_CHECKING:  # adapters are types here: loading them would load the SDK
    from agentsocket.agents.contract import Agent
    from agentsocket.aws.control_queue import ControlQueue
    from agentsocket.aws.management_api import ManagementApi
    from agentsocket.aws.run_queue import RunQueue
    from agentsocket.contexts.contract import ContextStore
    from agentsocket.runtime import Runtime
    from agentsocket.storage.user import Storage, UserStorage
    from agentsocket.worker.job import RunJob


def connect(request: SocketRequest, *, storage: Storage, control_queue: ControlQueue) -> str | None:
    """$connect: write the connection's row, and order its first check. Returns the subprotocol to answer with.

    Nothing can be posted to it yet. Raises TokenRejected when its ticket was used before, or its token is revoked, and
    RateLimited.
    """
    store = storage.for_user(request.principal)
    store.quotas.connect()
    connection = store.connections.open(request.connection_id)
    first = Check(request.principal.user, request.connection_id, connection.checks)
    control_queue.check(first, delay_s=deadlines.first_check_s(connection, storage.limits))
    return handshake.answered_subprotocol(request.upgrade)


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
    """$default: one frame from a client; yields its replies. Raises CommandError, or Disconnect to end the connection.

    `verify` checks a newer token; `management_api` notifies the user's other connections; `agents` are their names.
    """
    parsed = frames.parse(request.body, limits=storage.limits)
    store = storage.for_user(request.principal)
    store.connections.require_authorized(request.connection_id)
    context = CommandContext(
        principal=request.principal,
        connection_id=request.connection_id,
        command_id=parsed.id or store.new_id(),
        store=store,
        contexts=contexts,
        run_queue=run_queue,
        management_api=management_api,
        verify=verify,
        limits=storage.limits,
    )
    try:
        if isinstance(parsed.payload, messages.SendMessage):
            yield start_run(parsed.payload, request, store=store, run_queue=run_queue, agents=agents)
        else:
            yield from registry.reply(parsed.payload, context)
    except CommandError as error:
        frames.in_frame(error)
        raise


def start_run(
    command: messages.SendMessage,
    request: SocketRequest,
    *,
    store: UserStorage,
    run_queue: RunQueue,
    agents: Collection[str],
) -> Reply:
    """Accept a message once and queue its run. A retry finds the run it made, and queues it again if it is not running.

    A part that does not complete its message is kept; its reply says which parts are missing.
    """
    from agentsocket.commands import accept  # with the SDK, which is loaded when the adapters are made

    if command.agent is not UNSET and command.agent not in agents:
        allowed = ", ".join(sorted(agents))
        raise BadRequest(f"unknown agent `{wording.quoted(command.agent)}`; allowed: {allowed}", field="agent")
    accepted = accept.accept(command, connection_id=request.connection_id, store=store)
    if isinstance(accepted, messages.PartAccepted):
        return Reply(accepted)
    run = accepted.run
    if run.state == "accepted":
        run_queue.send(RunRequest(request.principal.user, run.thread_id, run.run_id))
    return Reply(
        messages.MessageAccepted(
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
    # The worker's alone: routes start cold without them and asyncio.
    from agentsocket.worker import claim, thread_sweep
    from agentsocket.worker.job import RunJob

    request = record.request
    await claim.hide(record, runtime.limits.visibility_s, run_queue, runtime)
    if isinstance(request, Deletion):
        sweep = thread_sweep.sweep
        await sweep(record, request, storage=storage, contexts=contexts, run_queue=run_queue, runtime=runtime)
        return
    owner = principal.of_queued(request.user)
    store = storage.for_user(owner)
    run, is_deleted = await claim.find(request, store, runtime)
    if run is None:
        return
    job = RunJob(
        run=run,
        lease=claim.lease_for(run, store),
        record=record,
        store=store,
        contexts=contexts.for_user(owner),
        run_queue=run_queue,
        management_api=management_api,
        agents=agents,
        runtime=runtime,
    )
    await _carry_on(job, is_deleted=is_deleted)
    await runtime.offload(store.quotas.end, run.run_id)


async def _carry_on(job: RunJob, *, is_deleted: bool) -> None:
    """Bring a run to its end, from wherever the last worker left it. Raises RunUnfinished or Unavailable."""
    from agentsocket.worker import attempt, claim

    if is_deleted:
        await attempt.end_silently(job)
    elif job.run.terminal:
        await attempt.push_ending(job)
    else:
        await attempt.attempt(job, await claim.claim(job))


def disconnect(request: SocketRequest, *, storage: Storage) -> None:
    """$disconnect: delete the connection's row. Best effort; 410 on the next push and TTL are the guarantee."""
    storage.for_user(request.principal).connections.remove(request.connection_id)
