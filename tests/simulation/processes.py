"""A function's invocation as a process: blocking code in greenlets, so that each call of AWS is a scheduling point.

A process can be killed at any call, or frozen: then it wakes up to a minute later and goes on as if nothing had been.
A dead process does nothing any more; what it had sent may still take effect. What a call does is its service's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.faults import Faults

T = TypeVar("T")

READ_TIMEOUT_S = 5.0  # wiring's
ATTEMPTS = 3  # of the SDK, in its standard mode
HUNG_S = 45.0
FROZEN_S = 60.0
OUTAGE_S = 30.0
_current: ContextVar[Process | None] = ContextVar("process", default=None)
_ENDPOINT = "simulated"


class Crashed(Exception):
    """The process that was waited for is dead."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a service: `commit` does it at once, and raises ClientError when it is refused."""

    service: str
    operation: str
    commit: Callable[[], Any]
    refusal: str  # the error code of being throttled
    status: int = 400


class Tracks:
    """All processes of a world, and what they did, as lines that a person can read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, faults: Faults, seed: int) -> None:
        self.loop = loop
        self.faults = faults
        self.seed = seed
        self.alive: dict[str, Process] = {}
        self.lines: list[str] = []
        self.outages: dict[str, float] = {}  # until when a service refuses all
        self.failed_calls = 0  # that the SDK has given up on
        self._born = 0

    def process(self, kind: str) -> Process:
        self._born += 1
        process = Process(f"{kind}-{self._born}", self)
        self.alive[process.name] = process
        return process

    def note(self, who: str, what: str) -> None:
        self.lines.append(f"{self.loop.time():10.3f} {who:14} {what}")


class Process:
    """One invocation. Its randomness is its own: what others do does not change what it meets."""

    def __init__(self, name: str, tracks: Tracks) -> None:
        self.name = name
        self.dead = False
        self._killed = tracks.loop.create_future()
        self._tracks = tracks
        self._loop = tracks.loop
        self._faults = tracks.faults
        self._random = Random(f"{tracks.seed}:{name}")
        self._frozen_until = 0.0
        self._greenlets: dict[greenlet, None] = {}
        self._tasks: dict[asyncio.Task[Any], None] = {}

    # The life of a process.

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A blocking function, as a thread of this process would run it: cancelled, it still goes on."""
        if self.dead:
            raise asyncio.CancelledError
        result: asyncio.Future[T] = self._loop.create_future()

        def body() -> None:
            try:
                value = function(*args, **kwargs)
            except GreenletExit:
                return
            except Exception as error:  # noqa: BLE001 (it goes to whoever waits, as from a thread)
                if not result.done():
                    result.set_exception(error)
            else:
                if not result.done():
                    result.set_result(value)
            finally:
                self._greenlets.pop(thread, None)

        thread = greenlet(body)
        self._greenlets[thread] = None
        thread.switch()
        return await result

    async def serve(self, work: Coroutine[Any, Any, T]) -> T:
        """The whole invocation: its tasks are this process's, and end with it. Raises Crashed when it is killed."""
        token = _current.set(self)
        task = self._loop.create_task(work)
        _current.reset(token)
        try:
            await asyncio.wait({task, self._killed}, return_when=asyncio.FIRST_COMPLETED)
            if self.dead:
                raise Crashed(self.name)
            return task.result()
        finally:
            self._tracks.alive.pop(self.name, None)

    def kill(self) -> None:
        """SIGKILL: no code of it has any effect from here on."""
        if not self.dead:
            self._tracks.note(self.name, "KILLED")
            self.dead = True
            self._loop.call_soon(self._reap)  # a greenlet cannot end others: it would not get control back

    def _reap(self) -> None:
        for thread in list(self._greenlets):
            thread.throw(GreenletExit)
        for task in list(self._tasks):
            task.cancel()
        self._killed.set_result(None)

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def sleep(self, seconds: float) -> None:
        """What the process's code sleeps by: a frozen one oversleeps."""
        await asyncio.sleep(seconds)
        if (late := self._frozen_until - self._loop.time()) > 0:
            await asyncio.sleep(late)

    def strike(self, kind: str) -> bool:
        """Whether a fault of that kind happens now."""
        return self._faults.strike(kind, self._random)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    # One call.

    def call(self, call: Call) -> Any:
        """The SDK's standard mode: three attempts. Raises what botocore raises."""
        for attempt in range(1, ATTEMPTS):
            try:
                return self._attempt(call)
            except ClientError as error:
                if not _passing(error):
                    raise
            except (ConnectionClosedError, ReadTimeoutError):
                pass  # as the SDK does: it tries again
            self._pause(self._random.uniform(0, 2 ** (attempt - 1)))
        try:
            return self._attempt(call)
        except (ConnectionClosedError, ReadTimeoutError, ClientError):
            self._tracks.failed_calls += 1
            raise

    def _attempt(self, call: Call) -> Any:
        random, strike = self._random, self._faults.strike
        self._pause(random.uniform(0.001, 0.012))
        if strike("killed", random):
            self._die(call if random.random() < 0.5 else None)
        if strike("outage", random):
            self._tracks.outages[call.service] = self._loop.time() + random.uniform(1, OUTAGE_S)
        if strike("refused", random) or self._tracks.outages.get(call.service, 0.0) > self._loop.time():
            self._tracks.note(self.name, f"{call.operation} REFUSED")
            raise refusal(call.refusal, call.operation, call.status)
        if strike("hung", random):
            self._loop.call_later(random.uniform(READ_TIMEOUT_S, HUNG_S), self._late, call)
            self._tracks.note(self.name, f"{call.operation} HANGS")
            self._pause(READ_TIMEOUT_S)
            raise ReadTimeoutError(endpoint_url=_ENDPOINT)
        lost = strike("answer_lost", random)
        if strike("frozen", random):
            self._freeze()
        answer, refused = None, None
        try:
            answer = call.commit()
        except ClientError as error:
            refused = error
        said = f" {refused.response['Error']['Code']}" if refused else ""
        self._tracks.note(self.name, f"{call.operation}{said}{' ANSWER LOST' if lost else ''}")
        if lost:
            self._pause(random.choice((0.01, READ_TIMEOUT_S)))
            raise ConnectionClosedError(endpoint_url=_ENDPOINT)
        self._pause(random.uniform(0.001, 0.008))
        if refused:
            raise refused
        return answer

    def _late(self, call: Call) -> None:
        """A request that was on its way takes effect; nobody hears of it."""
        try:
            call.commit()
        except ClientError as error:
            self._tracks.note(self.name, f"{call.operation} late: {error.response['Error']['Code']}")
        else:
            self._tracks.note(self.name, f"{call.operation} late")

    def _die(self, call: Call | None) -> None:
        if call is not None:  # the request was out
            self._loop.call_later(self._random.uniform(0.0, 3.0), self._late, call)
        self.kill()
        raise GreenletExit

    def _freeze(self) -> None:
        seconds = self._random.uniform(1.0, FROZEN_S)
        self._tracks.note(self.name, f"FROZEN for {seconds:.1f} s")
        self._frozen_until = self._loop.time() + seconds

    def _pause(self, seconds: float) -> None:
        """Let others go on; a frozen process stays away for longer."""
        this = getcurrent()
        self._loop.call_later(seconds, this.switch)
        _back(this)
        while (late := self._frozen_until - self._loop.time()) > 0:
            self._loop.call_later(late, this.switch)
            _back(this)
        if self.dead:
            raise GreenletExit


def _back(this: greenlet) -> None:
    assert this.parent is not None, "blocking code outside of a process"
    this.parent.switch()


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Every task belongs to the process that made it."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    process = _current.get()
    if process is not None:
        process.own(task)
    return task


def refusal(code: str, operation: str, status: int = 400, *, row: Any = None) -> ClientError:
    """An error as botocore raises it; `row` is what stood in a conditional write's way."""
    response: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response | ({"Item": row} if row is not None else {}), operation)


_RETRIED = {"ThrottlingException", "InternalServerError", "LimitExceededException", "TransactionInProgressException"}


def _passing(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in _RETRIED
