"""One deployment in one process with real boto3 clients, every call counted, in virtual time.

DynamoDB and SQS are moto's, @connections is a little HTTP server. What the seams do and in which order is the real
thing; a worker's call takes some virtual time, so that what goes on beside it goes on.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Any

import boto3
import msgspec

from agentsocket import relay
from agentsocket.agents.contract import Agent, AgentEvent, Report, Text, Turn
from agentsocket.auth.handshake import Verify
from agentsocket.aws.control_queue import ControlQueue
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.handlers import responses
from agentsocket.inputs import RunRecord, RunRequest, SocketRequest
from agentsocket.limits import Limits
from agentsocket.principal import Principal
from agentsocket.runtime import Runtime
from agentsocket.storage import keys
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import create_table, mocked_aws, principal_of
from tests.support import schema_check
from tests.support.fakes import Clock, Connections
from tests.support.metering import Call, Meter
from tests.support.virtual_time import VirtualLoop

CALL_S = 0.01
_BEGINNING = 1_800_000_000.0
_FIFO = {"FifoQueue": "true"}
_BATCH = 25  # what DynamoDB takes at once


class Speaker:
    """An agent that says `tokens` tokens, `per_s` in a second from its first on, whether or not anybody keeps up."""

    def __init__(self, tokens: int, *, per_s: int) -> None:
        self._tokens = tokens
        self._per_s = per_s

    async def run(self, _turn: Turn) -> AsyncIterator[AgentEvent]:
        time = asyncio.get_running_loop().time
        began = time()
        for number in range(self._tokens):
            await asyncio.sleep(max(0.0, began + number / self._per_s - time()))
            yield Text(f"{number % 1000:03} ")
        yield Report()


class Metered:
    """The seams of one deployment, one user of it, and what its clients do."""

    def __init__(self, connections: Connections, *, limits: Limits, call_s: float) -> None:
        self._call_s = call_s
        self._loop = VirtualLoop()
        self.limits = limits
        self.ada = principal_of("ada", Clock(_BEGINNING))
        self.dynamodb, self._sqs = boto3.client("dynamodb"), boto3.client("sqs")
        management = boto3.client("apigatewaymanagementapi", endpoint_url=connections.url)
        create_table(self.dynamodb)
        runs = self._sqs.create_queue(QueueName="runs.fifo", Attributes=_FIFO)["QueueUrl"]
        control = self._sqs.create_queue(QueueName="control")["QueueUrl"]
        self._queue = runs
        self._receiver = boto3.client("sqs")
        self.look = boto3.client("dynamodb")
        self.meter = Meter(self.look)
        for client in (self.dynamodb, self._sqs, management):
            self.meter.attach(client)
        table = Table(self.dynamodb, "agentsocket", now=self.now)
        self.storage = Storage(table, limits=limits, generation="1")
        self.contexts = TableContexts(table, limits=limits)
        self._run_queue = RunQueue(self._sqs, queue=runs, dead_letters=runs)
        self._control_queue = ControlQueue(self._sqs, queue=control)
        self._management_api = ManagementApi(management)
        self.verify: Verify = _nobody

    def now(self) -> float:
        return _BEGINNING + self._loop.time()

    def connect(self, connection_id: str, **hello: Any) -> list[Call]:
        """Open a socket and say hello; the calls of the hello."""
        relay.connect(SocketRequest(self.ada, connection_id), storage=self.storage, control_queue=self._control_queue)
        self.meter.take()
        self.say(connection_id, "hello", protocol=1, **hello)
        return self.meter.take()

    def say(self, connection_id: str, kind: str, **payload: Any) -> dict[str, Any]:
        """A second later, let the Message function handle a command; the route response's payload, {} when it posts."""
        self._loop.jump(1)
        body = msgspec.json.encode({"type": kind, "payload": payload, "id": "c1"}).decode()
        receive = functools.partial(
            relay.receive,
            storage=self.storage,
            contexts=self.contexts,
            run_queue=self._run_queue,
            management_api=self._management_api,
            verify=self.verify,
            agents={"usage_analyst"},
        )
        request = SocketRequest(self.ada, connection_id, body)
        answer = responses.respond(receive, request, self._management_api, now=self.now)
        payload_of: dict[str, Any] = schema_check.read(answer)["payload"] if answer else {}
        return payload_of

    def work(self, agent: Agent) -> None:
        """Let the worker handle the next record with this agent."""
        [message] = self._receiver.receive_message(QueueUrl=self._queue)["Messages"]
        record = RunRecord(RunRequest(**json.loads(message["Body"])), message["ReceiptHandle"])
        self.run(
            relay.execute(
                record,
                storage=self.storage,
                contexts=self.contexts,
                run_queue=self._run_queue,
                management_api=self._management_api,
                agents={"usage_analyst": lambda: agent},
                runtime=Runtime(self.now, asyncio.sleep, max, self._offload, self.limits),
            )
        )
        self._receiver.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])

    def fill(self, thread_id: str, size: int) -> None:
        """Write a thread's log up to `size` events, not as they would have come."""
        partition = keys.log(self.ada.user, thread_id)
        for first in range(1, size + 1, _BATCH):
            events = [_event(partition, seq) for seq in range(first, min(first + _BATCH, size + 1))]
            self.look.batch_write_item(RequestItems={"agentsocket": [{"PutRequest": {"Item": e}} for e in events]})
        self.look.update_item(
            TableName="agentsocket",
            Key={name: {"S": text} for name, text in keys.meta(partition).items()},
            UpdateExpression="SET top = :top",
            ExpressionAttributeValues={":top": {"N": str(size)}},
        )

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run something to its end in virtual time."""
        self._loop.run_until_complete(main)

    async def _offload(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self._call_s)
        return function(*args, **kwargs)

    def close(self) -> None:
        self._loop.close()


@contextmanager
def metered(*, call_s: float = CALL_S) -> Iterator[Metered]:
    """A deployment for as long as the block lasts; a worker's calls take `call_s` of virtual time each."""
    connections = Connections()
    try:
        with mocked_aws(), closing(Metered(connections, limits=Limits(), call_s=call_s)) as deployment:
            yield deployment
    finally:
        connections.stop()


def _event(partition: str, seq: int) -> Any:
    """A row of the log, as large as one of text usually is."""
    frame = '{"type":"partial_result","payload":{"content":"' + "x" * 350 + '"}}'
    texts = {**keys.event(partition, seq), "event_id": f"e{seq:06}", "run_id": "r", "owner": "o", "frame": frame}
    numbers = {"attempt": 1, "expires_at": int(_BEGINNING) + 3600}
    return {name: {"S": text} for name, text in texts.items()} | {n: {"N": str(v)} for n, v in numbers.items()}


def _nobody(_token: str) -> Principal:
    raise AssertionError("no token is refreshed here")
