"""What each command asks of AWS; and that a page of a thread, or of the list of threads, costs the same in any.

The adapters are the real ones with real boto3 clients, every call counted (`tests/support/metering.py`). Time is the
processor's outside of the SDK's calls: what moto takes for a Query grows with the partition, and DynamoDB's time does
not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from agentsocket.protocol import messages as protocol
from agentsocket.storage import keys
from benchmarks.delivery import units
from tests.support.metered_deployment import Metered, Speaker, metered
from tests.support.metering import Call

SIZES = (10, 100, 1_000, 10_000)
ROUNDS = 15
PAGE = 50
THREADS = 120
_BATCH = 25  # what DynamoDB takes at once
_WORDS = "words and words, such as people say " * 8


def measure() -> None:
    """Print the calls of every command, then the pages."""
    with metered() as deployment:
        _print_commands(_commands(deployment))
    print(f"  pages of {PAGE}, in a thread of so many messages: aim: the same reads, units and time for every length")
    with metered() as deployment:
        deployment.connect("a1")
        first = _thread(deployment)
        for number in range(THREADS - 1):
            deployment.storage.for_user(deployment.ada).threads.create(f"t{number}", title=_WORDS[:80], metadata={})
        filled = 0
        for size in SIZES:
            _fill(deployment, first, range(filled + 1, size + 1))
            filled = size
            _print_pages(deployment, first, size)


# Commands.


def _commands(deployment: Metered) -> dict[str, list[Call]]:
    """The calls of each command, where another device of the user listens."""
    deployment.connect("a2")
    seen = {"hello": deployment.connect("a1")}
    thread = _thread(deployment)
    deployment.verify = lambda _token: replace(
        deployment.ada, issued_at=deployment.ada.issued_at + 1, expires_at=deployment.ada.expires_at + 900
    )
    asked: dict[str, dict[str, Any]] = {
        "user_message": {"content": "a question", "message_id": "m2", "thread_id": thread},
        "stop_agent": {"message_id": "m2"},
        "subscribe": {"thread_id": thread},
        "switch_thread": {"thread_id": thread},
        "unsubscribe": {"thread_id": thread},
        "create_thread": {"title": "a title"},
        "rename_thread": {"thread_id": thread, "title": "a title"},
        "list_threads": {},
        "get_thread_history": {"thread_id": thread},
        "get_content": {"thread_id": thread, "message_id": "m1"},
        "update_context": {"name": "user.notes", "patch": {"a": 1}},
        "get_context": {"name": "user.notes"},
        "refresh_token": {"token": "a newer one"},
        "get_health": {},
        "ping": {},
        "delete_thread": {"thread_id": thread},
    }
    for kind, payload in asked.items():
        deployment.meter.take()
        deployment.say("a1", kind, **payload)
        seen[kind] = deployment.meter.take()
    if missing := protocol.COMMANDS.keys() - seen.keys():
        raise AssertionError(f"no example of {', '.join(sorted(missing))}")
    return seen


def _thread(deployment: Metered) -> str:
    """A thread with a question and its answer."""
    accepted = deployment.say("a1", "user_message", content="a question", message_id="m1")
    deployment.work(Speaker(2, per_s=50))
    return str(accepted["thread_id"])


def _print_commands(commands: dict[str, list[Call]]) -> None:
    print("  calls of a command, the first in a second, with one other device that listens")
    print(f"    {'command':<19} {'reads':>5} {'writes':>6} {'sends':>5} {'posts':>5} {'RRU':>4} {'WRU':>4}   which")
    for kind, calls in commands.items():
        reads, writes = sum(call.reading for call in calls), sum(call.writing for call in calls)
        sends, posts = (_count(calls, name) for name in ("SendMessage", "PostToConnection"))
        which = ", ".join(f"{call.operation} {call.target}".strip() for call in calls if call.service == "dynamodb")
        print(
            f"    {kind:<19} {reads:5} {writes:6} {sends:5} {posts:5} {sum(call.reads for call in calls):4} "
            f"{sum(map(units, calls)):4}   {which}"
        )


def _count(calls: Iterable[Call], operation: str) -> int:
    return sum(call.operation == operation for call in calls)


# Pages.


def _fill(deployment: Metered, thread_id: str, seqs: range) -> None:
    """Write lines of the transcript, not as they would have come."""
    partition = keys.log(deployment.ada.user, thread_id)
    rows = [_message(partition, seq) for seq in seqs]
    for start in range(0, len(rows), _BATCH):
        puts = [{"PutRequest": {"Item": row}} for row in rows[start : start + _BATCH]]
        deployment.look.batch_write_item(RequestItems={"agentsocket": puts})


def _message(partition: str, seq: int) -> Any:
    texts = {**keys.message(partition, seq), "message_id": f"m{seq}", "role": "user", "content": _WORDS}
    return {name: {"S": text} for name, text in texts.items()} | {
        "truncated": {"BOOL": False},
        "created_at": {"N": "1800000000000"},
    }


def _print_pages(deployment: Metered, thread_id: str, size: int) -> None:
    pages: dict[str, Callable[[], Any]] = {
        "newest page": lambda: deployment.say("a1", "get_thread_history", thread_id=thread_id, limit=PAGE),
        "page in the middle": lambda: deployment.say(
            "a1", "get_thread_history", thread_id=thread_id, limit=PAGE, cursor=str(max(size // 2, PAGE) + 1)
        ),
        f"list of {THREADS} threads": lambda: deployment.say("a1", "list_threads", limit=PAGE),
    }
    for what, page in pages.items():
        deployment.meter.take()
        page()
        reads = [call for call in deployment.meter.take() if call.reading]
        units = sum(call.reads for call in reads)
        print(
            f"    {size:6,} {what:<20} {len(reads)} reads, {units:2} RRU, {_own_ms(deployment.dynamodb, page):5.2f} ms"
        )


def _own_ms(client: Any, step: Callable[[], Any]) -> float:
    """What a step takes but for the client's calls: the median of some rounds."""
    called = 0.0

    def begin(**_rest: Any) -> None:
        nonlocal called
        called -= time.process_time()

    def end(**_rest: Any) -> None:
        nonlocal called
        called += time.process_time()

    client.meta.events.register("before-call", begin)
    client.meta.events.register("after-call", end)
    taken = []
    for _ in range(ROUNDS):
        called, began = 0.0, time.process_time()
        step()
        taken.append((time.process_time() - began - called) * 1000)
    client.meta.events.unregister("before-call", begin)
    client.meta.events.unregister("after-call", end)
    return statistics.median(taken)
