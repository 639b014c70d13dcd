"""The worker's streaming rate and its first token, beside a loop that puts a row and posts a frame for each token.

Both use the same boto3 clients on the same endpoint (`loopback.py`). It answers at once, so that nothing but processor
time is compared, or after 2 ms, still sooner than AWS. The worker is the whole of `relay.execute`, with looks; the loop
does nothing else, and its frames are made beforehand. A token is delivered when its frame has come to the endpoint.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from msgspec.structs import replace

from agentsocket import relay, wiring
from agentsocket.agents.contract import AgentEvent, Text, Turn
from agentsocket.aws.management_api import ManagementApi
from agentsocket.aws.run_queue import RunQueue
from agentsocket.contexts.dynamodb import TableContexts
from agentsocket.inputs import RunRecord, RunRequest
from agentsocket.limits import Limits
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from benchmarks.loopback import Arrival, Loopback, loopback
from tests.support.metered_deployment import metered

TOKENS = 300
ROUNDS = 7
FIRST_ROUNDS = 30
DELAYS_MS = (0, 2)
PAUSE_S = 0.1  # a model thinks before its first token; the loop waits as long, to be no warmer
AS_DEPLOYED = Limits()
# Every token an append and a post of its own; and no consumer is too slow, since the agent waits for appends alone.
UNGATHERED = Limits(flush_fast_ms=0, flush_slow_ms=0, tail_max_events=10 * TOKENS)
FOREVER = {"N": "4000000000"}
CONNECTION = "a1"


class Speaker:
    """An agent that says its tokens as fast as they are taken, `pause_s` before and after them; notes when it began."""

    def __init__(self, tokens: int, *, pause_s: float = 0) -> None:
        self._tokens = tokens
        self._pause_s = pause_s
        self.began = 0.0

    async def run(self, _turn: Turn) -> AsyncIterator[AgentEvent]:
        await asyncio.sleep(self._pause_s)
        self.began = time.monotonic()
        for number in range(self._tokens):
            yield Text(f"{number:03} ")
        await asyncio.sleep(self._pause_s)


@dataclass
class Bench:
    """A worker and the bare loop on one endpoint."""

    endpoint: Loopback
    run: RunRequest
    dynamodb: Any
    management: Any
    sqs: Any

    def work(self, agent: Speaker, limits: Limits) -> list[Arrival]:
        """Let the worker do the run; what has come to the endpoint."""
        self.endpoint.arrivals()
        table = Table(self.dynamodb, "agentsocket", now=time.time)
        asyncio.run(
            relay.execute(
                RunRecord(self.run, "receipt"),
                storage=Storage(table, limits=limits, generation="1"),
                contexts=TableContexts(table, limits=limits),
                run_queue=RunQueue(self.sqs, queue=f"{self.endpoint.url}/runs"),
                management_api=ManagementApi(self.management),
                agents={"usage_analyst": lambda: agent},
                runtime=replace(wiring.runtime(), limits=limits),
            )
        )
        return self.endpoint.arrivals()

    def bare(self, tokens: int) -> tuple[float, list[Arrival]]:
        """Put and post each token; when that began, and what has come."""
        ready = [_row(self.run, number) for number in range(tokens)]
        self.endpoint.arrivals()
        began = time.monotonic()
        for item, frame in ready:
            self.dynamodb.put_item(TableName="agentsocket", Item=item)
            self.management.post_to_connection(ConnectionId=CONNECTION, Data=frame)
        return began, self.endpoint.arrivals()


def measure() -> None:
    """Print rates and delays for each endpoint."""
    run, rows = _accepted()
    for delay_ms in DELAYS_MS:
        with loopback(delay_ms) as endpoint, _bench(endpoint, run) as bench:
            endpoint.load(rows)
            print(f"  an endpoint that answers {f'after {delay_ms} ms' if delay_ms else 'at once'}")
            bench.work(Speaker(TOKENS), AS_DEPLOYED)
            bench.bare(TOKENS)
            _rates(bench)
            _first(bench)


def _rates(bench: Bench) -> None:
    bare, ungathered, deployed = [], [], []
    for _ in range(ROUNDS):
        began, arrivals = bench.bare(TOKENS)
        bare.append(TOKENS / (_last(arrivals) - began))
        ungathered.append(_rate(bench, UNGATHERED, at_least=TOKENS))
        deployed.append(_rate(bench, AS_DEPLOYED))
    _show("bare loop (floor)", bare, bare, "")
    _show("worker, a row and a post per token", ungathered, bare, "aim: at least 0.9")
    _show("worker, as deployed", deployed, bare, "aim: at least 0.9")


def _rate(bench: Bench, limits: Limits, *, at_least: int = 0) -> float:
    agent = Speaker(TOKENS)
    arrivals = bench.work(agent, limits)
    counted = Counter(what for _, what in arrivals)
    assert min(counted["partial"], counted["PutItem"]) >= at_least, "tokens were gathered"
    return TOKENS / (_last(arrivals) - agent.began)


def _first(bench: Bench) -> None:
    floor, ours = [], []
    between: Counter[str] = Counter()
    for _ in range(FIRST_ROUNDS):
        time.sleep(PAUSE_S)
        began, arrivals = bench.bare(1)
        floor.append(_last(arrivals) - began)
        agent = Speaker(1, pause_s=PAUSE_S)
        arrivals = bench.work(agent, AS_DEPLOYED)
        [came, *_] = [when for when, what in arrivals if what == "partial"]
        ours.append(came - agent.began)
        between.update(what for when, what in arrivals if agent.began <= when < came)
    put_and_post, first = statistics.median(floor), statistics.median(ours)
    asked = ", ".join(f"{count} {what}" for what, count in between.items())
    print(f"    one put and one post (floor)         {put_and_post * 1000:8.2f} ms to the frame at the endpoint")
    print(f"    the agent's first token              {first * 1000:8.2f} ms   {first / put_and_post:5.2f} x floor")
    print(f"    what came before the frame, in {FIRST_ROUNDS} runs: {asked}")


def _last(arrivals: list[Arrival]) -> float:
    return max(when for when, what in arrivals if what == "partial")


def _show(what: str, rates: Sequence[float], floor: Sequence[float], aim: str) -> None:
    median = statistics.median(rates)
    ratios = [rate / bare for rate, bare in zip(rates, floor, strict=True)]
    print(
        f"    {what:<36} {median:8.0f} tokens/s ({min(rates):.0f} to {max(rates):.0f})   "
        f"ratio {statistics.median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})   {aim}"
    )


@contextmanager
def _bench(endpoint: Loopback, run: RunRequest) -> Iterator[Bench]:
    """Clients as `wiring.py` makes them, on this endpoint."""
    config = Config(
        connect_timeout=1,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=16,
    )
    clients = [
        boto3.client(name, endpoint_url=endpoint.url, config=config)
        for name in ("dynamodb", "apigatewaymanagementapi", "sqs")
    ]
    yield Bench(endpoint, run, *clients)
    for client in clients:
        client.close()


def _accepted() -> tuple[RunRequest, list[Any]]:
    """A run that waits for its worker, and the rows of its user, one connection among them, good for ever."""
    with metered() as deployment:
        deployment.connect(CONNECTION)
        accepted = deployment.say(CONNECTION, "user_message", content="hello", message_id="m1")
        rows = deployment.look.scan(TableName="agentsocket")["Items"]
    kept = [row | {name: FOREVER for name in ("expires_at", "token_exp") if name in row} for row in rows]
    return RunRequest(deployment.ada.user, accepted["thread_id"], accepted["run_id"]), kept


def _row(run: RunRequest, number: int) -> tuple[dict[str, Any], bytes]:
    """What the worker would write and post for one token, in size and form."""
    agent = {"agent_name": "usage_analyst", "agent_id": f"{run.run_id}.1"}
    payload = protocol.PartialResult(
        **agent, message_id=f"{run.run_id}.1", offset=4 * number, content=f"{number:03} ", is_complete=False
    )
    event_id = f"{run.run_id}.1.{number}"
    made = frames.frame(
        payload, frame_id=event_id, now=time.time(), thread_id=run.thread_id, run_id=run.run_id, seq=number + 1
    )
    frame = made.encode()
    texts = {
        "PK": f"USER#{run.user}#THREAD#{run.thread_id}",
        "SK": f"EVENT#{number:012}",
        "event_id": event_id,
        "run_id": run.run_id,
        "owner": run.run_id,
        "frame": frame.decode(),
    }
    item = {name: {"S": text} for name, text in texts.items()}
    return item | {"attempt": {"N": "1"}, "expires_at": FOREVER}, frame
