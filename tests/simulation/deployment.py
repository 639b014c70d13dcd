"""A whole deployment in one event loop: the real functions' work, each invocation a process, between AWS in memory.

What is real: relay, commands, replay, attempt, connection_checks, and every seam down to the boto3 client. What
`decorators.py` and Lambda do around them (who is invoked when, what becomes of a record) is here.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from agentsocket import principal, relay
from agentsocket.aws.control_queue import ControlQueue
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.contract import ContextStore
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.control.connection_checks import ConnectionChecks
from agentsocket.errors import RateLimited, RunUnfinished, TokenRejected, Unavailable
from agentsocket.handlers import decorators, responses
from agentsocket.inputs import Revocation, RunRequest, SocketRequest
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage import keys
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from lambdakit.dynamodb import serialize
from tests.simulation.agents import Answering
from tests.simulation.apigateway import ApiGateway, InvocationFailed, Management, Routes, Socket
from tests.simulation.dynamodb import Database, DynamoDB
from tests.simulation.faults import Faults
from tests.simulation.processes import Crashed, Process, Tracks
from tests.simulation.sqs import CONTROL, DEAD_LETTERS, RUNS, SQS, Message, Queue, Queues

EPOCH_S = 1_800_000_000.0
ISSUER = "https://issuer.example"
_AGENT = "usage_analyst"


@dataclass(frozen=True, slots=True)
class Making:
    """How a deployment is made: its limits, how many workers at once, how long its tokens live."""

    limits: Limits = field(default_factory=Limits)
    workers: int = 3
    token_life_s: int = 900


@dataclass(frozen=True, slots=True)
class Seams:
    """What one process reaches the world by."""

    storage: Storage
    contexts: ContextStore
    run_queue: RunQueue
    control_queue: ControlQueue
    management_api: ManagementApi


class Deployment:
    """The functions, the queues' pollers, the tokens. `surprises` are errors that no function should have raised."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop, faults: Faults, made: Making) -> None:
        self.loop = loop
        self.limits = made.limits
        self.tracks = Tracks(loop, faults, seed)
        self.database = Database()
        self.queues = Queues(loop.time, self._arrived)
        self.sockets = ApiGateway(loop, faults, seed, self.tracks.note, self.admit)
        self.sockets.authorized = self.authorized
        self.sockets.routes = Routes(self._connect, self._message, self._disconnect)
        self.surprises: list[str] = []
        self.leaving: dict[str, int] = {}  # user id -> not_before of the last sign-out, carried out or not
        self.signed_out: dict[str, tuple[int, float]] = {}  # user id -> not_before, and when that had been carried out
        self.working: dict[str, list[Process]] = {}
        self._faults = faults
        self._random = Random(f"{seed}:deployment")
        self._made = made
        self._tokens: dict[str, Principal] = {}
        self._wakes: list[asyncio.Event] = []
        self._tasks: dict[asyncio.Task[None], None] = {}

    def start(self) -> None:
        """Begin to poll the queues."""
        self._spawn(self._poll(self.queues.runs, self._made.workers, self._work))
        self._spawn(self._poll(self.queues.control, 10, self._control))

    def now(self) -> float:
        """Seconds since the epoch."""
        return EPOCH_S + self.loop.time()

    @property
    def token_life_s(self) -> int:
        return self._made.token_life_s

    @property
    def busy(self) -> bool:
        """Whether a run waits or any process lives."""
        return bool(self.queues.runs.messages or self.tracks.alive)

    # Tokens.

    def token(self, user: str) -> str:
        """A fresh access token."""
        now = int(self.now())
        claims = {"iss": ISSUER, "sub": user, "sid": user, "iat": now, "exp": now + self._made.token_life_s}
        token = f"token{len(self._tokens) + 1}"
        self._tokens[token] = principal.of_claims(claims)
        return token

    def sign_out(self, user: str) -> None:
        """What the auth service says to the control queue."""
        said = {"iss": ISSUER, "sub": user, "not_before": int(self.now())}
        self.leaving[principal.user_id(ISSUER, user)] = int(self.now())
        self.queues.control.send(json.dumps({"revoke": said}), self.loop.time())
        self._arrived()

    def unrevoked(self) -> list[str]:
        """The users whose last sign-out has not been carried out."""
        return [user for user, since in self.leaving.items() if self.signed_out.get(user, (-1, 0.0))[0] < since]

    def authorized(self, socket: Socket, slack_s: float) -> bool:
        """Whether a socket may still be sent events; what is under way takes `slack_s`."""
        row = self.database.at(serialize(keys.connection(socket.who.user, socket.connection_id)))
        expires = int(row["token_exp"]["N"]) if row is not None else self.now()
        not_before, since = self.signed_out.get(socket.who.user, (0, self.now()))
        revoked = socket.who.issued_at <= not_before and self.now() > since + slack_s
        return not revoked and self.now() <= expires + self.limits.token_grace_s + slack_s

    def admit(self, token: str) -> Principal | None:
        """Whose token it is; None for one that is not good (any more)."""
        who = self._tokens.get(token)
        return who if who is not None and who.expires_at > self.now() else None

    def _verify(self, token: str) -> Principal:
        who = self.admit(token)
        if who is None:
            raise TokenRejected("expired")
        return who

    # The routes.

    async def _connect(self, request: SocketRequest) -> bool:
        process, seams = self._process("connect")
        step = functools.partial(relay.connect, storage=seams.storage, control_queue=seams.control_queue)
        try:
            await process.serve(process.run(step, request))
        except TokenRejected:
            return False
        except (Crashed, Unavailable, RateLimited):  # a 429 or a 5xx: the client comes again
            raise InvocationFailed from None
        return True

    async def _message(self, request: SocketRequest) -> bytes | None:
        process, seams = self._process("message")
        step = functools.partial(
            relay.receive,
            storage=seams.storage,
            contexts=seams.contexts,
            run_queue=seams.run_queue,
            management_api=seams.management_api,
            verify=self._verify,
            agents={_AGENT},
        )
        try:
            return await process.serve(
                process.run(
                    responses.respond, cast("responses.Step", step), request, seams.management_api, now=self.now
                )
            )
        except Crashed:
            raise InvocationFailed from None
        except Exception as error:  # noqa: BLE001 (as edge does)
            self._surprised(process, error)
            return responses.internal(request, now=self.now)

    async def _disconnect(self, request: SocketRequest) -> None:
        process, seams = self._process("disconnect")
        try:
            await process.serve(process.run(relay.disconnect, request, storage=seams.storage))
        except (Crashed, Unavailable):
            return  # nobody hears the answer

    # The queues.

    async def _poll(self, queue: Queue, at_once: int, handle: Any) -> None:
        """Lambda's poller: hand out what is visible, as long as there is room."""
        wake = asyncio.Event()
        self._wakes.append(wake)
        busy = [0]

        async def attend(message: Message) -> None:
            try:
                await handle(message, message.handle)
            finally:
                busy[0] -= 1
                wake.set()

        while True:
            wake.clear()
            while busy[0] < at_once and (message := queue.receive(self.loop.time())):
                busy[0] += 1
                self._spawn(attend(message))
            following = queue.next_at(self.loop.time())
            try:
                async with asyncio.timeout_at(following):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _work(self, message: Message, handle: str) -> None:
        """One record: acknowledged when the worker returns, left in the queue when it raises or dies."""
        queue = self.queues.runs
        if self._faults.strike("slow_queue", self._random):
            await asyncio.sleep(self._random.uniform(0, 20))
        if self._faults.strike("redelivered", self._random):
            self.loop.call_later(self._random.expovariate(1 / 5), self._redeliver, handle)
        process, seams = self._process("worker")
        record = decorators._run_record({"body": message.body, "receiptHandle": handle})
        if isinstance(record.request, RunRequest):
            self.working.setdefault(record.request.run_id, []).append(process)
        runtime = Runtime(self.now, process.sleep, process.uniform, process.run, self.limits)
        work: Coroutine[Any, Any, None] = relay.execute(
            record,
            storage=seams.storage,
            contexts=seams.contexts,
            run_queue=seams.run_queue,
            management_api=seams.management_api,
            agents={_AGENT: lambda: Answering(process)},
            runtime=runtime,
        )
        if await self._succeeds(process, work):
            queue.delete(handle, self.loop.time())

    async def _control(self, message: Message, handle: str) -> None:
        process, seams = self._process("control")
        control = ConnectionChecks(
            storage=seams.storage,
            control_queue=seams.control_queue,
            management_api=seams.management_api,
            limits=self.limits,
            now=self.now,
        )
        order = decorators._order({"body": message.body})
        if await self._succeeds(process, process.run(control.act, order)):
            self.queues.control.delete(handle, self.loop.time())
            if isinstance(order, Revocation):
                user = principal.user_id(order.issuer, order.subject)
                if order.not_before > self.signed_out.get(user, (-1, 0.0))[0]:  # a standard queue keeps no order
                    self.signed_out[user] = (order.not_before, self.now())

    async def _succeeds(self, process: Process, work: Coroutine[Any, Any, None]) -> bool:
        try:
            await process.serve(work)
        except (Crashed, RunUnfinished, Unavailable) as error:
            self.tracks.note(process.name, f"unfinished: {error}")
            return False
        except Exception as error:  # noqa: BLE001 (as edge does)
            self._surprised(process, error)
            return False
        self.tracks.note(process.name, "done")
        return True

    def _redeliver(self, handle: str) -> None:
        self.queues.runs.release(handle, self.loop.time())
        self._arrived()

    # Processes.

    def _process(self, kind: str) -> tuple[Process, Seams]:
        process = self.tracks.process(kind)
        table = Table(cast("Any", DynamoDB(self.database, process)), "table", now=self.now)
        queue = cast("Any", SQS(self.queues, process))
        seams = Seams(
            storage=Storage(table, limits=self.limits, generation="g"),
            contexts=TableContexts(table, limits=self.limits),
            run_queue=RunQueue(queue, queue=RUNS, dead_letters=DEAD_LETTERS),
            control_queue=ControlQueue(queue, queue=CONTROL),
            management_api=ManagementApi(cast("Any", Management(self.sockets, process))),
        )
        return process, seams

    def _surprised(self, process: Process, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self.tracks.note(process.name, f"SURPRISED by {type(error).__name__}: {error}")
        self.surprises.append(f"{process.name} raised {type(error).__name__}: {error}")

    def _arrived(self) -> None:
        for wake in self._wakes:
            wake.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
