"""What a turn of 1,000 tokens asks of AWS, call by call, and its list price; and what a replay reads.

The adapters are the real ones with real boto3 clients, every call counted (`tests/support/metering.py`); the 20 s in
which the agent speaks, and 10 ms for every call, are virtual time with the flush decisions of real time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.support.metered_deployment import Metered, Speaker, metered
from tests.support.metering import Call

TOKENS = 1000
PER_S = 50
MISSED = 300
THREADS = (400, 10_000)
# US dollars per million, on demand, us-east-1, as AWS listed them in 2025: DynamoDB write and read request units,
# API Gateway WebSocket messages of up to 32 KB, SQS FIFO requests.
WRU, RRU, MESSAGE, REQUEST = 0.625, 0.125, 1.00, 0.50
PRICES = (
    f"list prices, us-east-1, on demand: {WRU} a WRU, {RRU} an RRU, {MESSAGE:.2f} a message, {REQUEST:.2f} a request"
)
# The event source mapping's, on our bill: one to receive the record, one to delete it.
POLLER_REQUESTS = 2
# API Gateway's, on our bill: the command, and its route response.
ROUTE_MESSAGES = 2


@dataclass
class Line:
    """One kind of call."""

    what: str
    calls: list[Call]

    def total(self, of: Callable[[Call], float]) -> float:
        return sum(map(of, self.calls))

    @property
    def dollars(self) -> float:
        """Per million turns."""
        return self.total(dollars)


def measure() -> None:
    """Print the calls of a turn and their price, then the reads of a replay."""
    with metered() as deployment:
        before, turn = _turn(deployment)
    _print_before(before)
    _print_table(f"the worker: {TOKENS:,} tokens at {PER_S}/s, one device", turn)
    _print_price(before, turn)
    for size in THREADS:
        with metered() as deployment:
            _print_replay(size, _replay(deployment, size))


def dollars(call: Call) -> float:
    """The list price of a million such calls."""
    return {
        "dynamodb": WRU * units(call) + RRU * call.reads,
        "sqs": REQUEST,
        "apigatewaymanagementapi": MESSAGE,
    }[call.service]


def units(call: Call, kind: str | None = None) -> int:
    """WRU of the rows of one kind, or of all."""
    return sum(write.units for write in call.writes if kind in (None, write.kind))


def count(calls: Iterable[Call], *operations: str) -> int:
    return sum(call.operation in operations for call in calls)


def _turn(deployment: Metered) -> tuple[list[Call], list[Call]]:
    """The calls that accept a message in a thread that exists, and those of its run."""
    deployment.connect("a1")
    accepted = deployment.say("a1", "user_message", content="first", message_id="m1")
    deployment.work(Speaker(1, per_s=PER_S))
    deployment.meter.take()
    deployment.say("a1", "user_message", content="second", message_id="m2", thread_id=accepted["thread_id"])
    before = deployment.meter.take()
    deployment.work(Speaker(TOKENS, per_s=PER_S))
    return before, deployment.meter.take()


def _print_before(calls: list[Call]) -> None:
    _print_table("before the run: user_message", calls)
    reads, writes = (sum(is_it) for is_it in zip(*((c.reading, c.writing) for c in calls), strict=True))
    sends, posts = count(calls, "SendMessage"), count(calls, "PostToConnection")
    print(f"  {reads} read, {writes} DynamoDB writes, {sends} send, {posts} posts   aim: 1, at most 2, 1, none")


def _print_table(title: str, calls: list[Call]) -> None:
    lines: dict[str, Line] = {}
    for call in calls:
        what = f"{call.operation} {call.target if call.service == 'dynamodb' else ''}".strip()
        lines.setdefault(what, Line(what, [])).calls.append(call)
    print(f"  {title}")
    print(f"    {'call':<62} {'calls':>5} {'B out':>7} {'B in':>7} {'WRU':>4} {'RRU':>4} {'$/M':>7}")
    for line in [*lines.values(), Line("all", calls)]:
        print(
            f"    {line.what:<62} {len(line.calls):5} {line.total(lambda c: c.sent):7.0f} "
            f"{line.total(lambda c: c.received):7.0f} {line.total(units):4.0f} {line.total(lambda c: c.reads):4.0f} "
            f"{line.dollars:7.2f}"
        )


def _print_price(before: list[Call], turn: list[Call]) -> None:
    posts = count(turn, "PostToConnection")
    appends = [call for call in turn if call.target == "EVENT" and call.writing]
    writes = [call for call in turn if units(call, "EVENT")]
    print(f"  per device {posts} posts; {len(writes)} log writes   aim: at most 100 each")
    partial = WRU * sum(units(call) for call in appends)
    framing = WRU * sum(units(call, "EVENT") for call in turn) - partial
    everything = sum(map(dollars, [*before, *turn])) + REQUEST * POLLER_REQUESTS + MESSAGE * ROUTE_MESSAGES
    delivery = MESSAGE * posts + partial + framing
    per_token = (MESSAGE + WRU) * (TOKENS - len(appends)) + delivery
    print(f"  per million turns ({PRICES})")
    for what, price in {
        "posts": MESSAGE * posts,
        "event rows, each appended": partial,
        "event rows in the transactions of start and ending, at twice the units": framing,
        "transport and log   aim: at most 150": delivery,
        "the other rows, and all reads": sum(map(dollars, _only(before + turn, "dynamodb"))) - partial - framing,
        "SQS, with the mapping's receive and delete": sum(map(dollars, _only(before + turn, "sqs")))
        + REQUEST * POLLER_REQUESTS,
        "user_message and message_accepted": MESSAGE * ROUTE_MESSAGES,
        "the whole, without Lambda's time, storage and transfer": everything,
        "transport and log with one post and one write for each token": per_token,
    }.items():
        print(f"    {what:<72} ${price:8.2f}")
    print(f"    ratio {delivery / per_token:.2f}")


def _only(calls: list[Call], service: str) -> list[Call]:
    return [call for call in calls if call.service == service]


def _replay(deployment: Metered, size: int) -> list[Call]:
    """The calls of a `hello` that resumes where `MISSED` of the thread's `size` events are still to come."""
    deployment.connect("a1")
    accepted = deployment.say("a1", "user_message", content="first", message_id="m1")
    deployment.work(Speaker(1, per_s=PER_S))
    deployment.fill(accepted["thread_id"], size)
    point = {"thread_id": accepted["thread_id"], "epoch": accepted["epoch"], "seq": size - MISSED}
    return deployment.connect("a2", resume=[point])


def _print_replay(size: int, calls: list[Call]) -> None:
    reads = [call for call in calls if call.reading]
    print(
        f"  replay of {MISSED} events in a thread of {size:6,}: {len(reads)} reads, "
        f"{sum(call.reads for call in reads)} RRU, {count(calls, 'PostToConnection')} posts   "
        "aim: the same number for every length"
    )
