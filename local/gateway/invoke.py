"""Calls functions: what a call answers, the bound on every call, and a caller for Lambda's API.

What the answers mean to a handshake or a message is decided in dispatch.py.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.gateway.errors import GatewayError
from local.gateway.events import Event

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

log = logging.getLogger("local.gateway")

CONCURRENCY = 20
LONGEST_CALL_S = 29

LAMBDA_CONFIG = Config(
    read_timeout=60,  # longer than API Gateway waits, so that the gateway's own limit is the one that is met
    max_pool_connections=CONCURRENCY,
    retries={"total_max_attempts": 1},  # API Gateway never calls a function twice for one message
)
"""The configuration a boto3 Lambda client needs for LambdaInvoker."""


@dataclass(frozen=True)
class InvokeResult:
    """What a call of a function gave: its JSON object, or why there is none.

    `error` is the function's own errorMessage, or a short text when it could not be called at all.
    """

    payload: dict[str, Any] | None = None
    error: str | None = None
    timed_out: bool = False


UNCALLABLE = InvokeResult(error="The function could not be called.")

Invoker = Callable[[str, Event, float], Awaitable[InvokeResult]]
"""Calls the function of an ARN with an event, and need not wait longer than the given seconds."""


class Invocations:
    """Calls under way. A call through here never raises, never outlives its limit, and can be ended from outside."""

    def __init__(self, invoke: Invoker) -> None:
        self._invoke = invoke
        self._under_way: set[asyncio.Task[InvokeResult]] = set()
        self._has_ended = False

    async def call(self, function_arn: str, event: Event, timeout_s: float) -> InvokeResult:
        """The result of the call; an exception of the invoker is an error result."""
        if self._has_ended:
            return UNCALLABLE
        under_way = asyncio.create_task(self._run(function_arn, event, timeout_s))
        self._under_way.add(under_way)
        under_way.add_done_callback(self._ended)
        done, _ = await asyncio.wait({under_way}, timeout=timeout_s)
        if not done:
            under_way.cancel()
            return InvokeResult(error="The function took too long.", timed_out=True)
        if under_way.cancelled() or under_way.exception():
            return UNCALLABLE
        return under_way.result()

    async def end(self) -> None:
        """Gives every waiting caller an error result now, and every later one."""
        self._has_ended = True
        ended = [*self._under_way]
        for under_way in ended:
            under_way.cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    async def _run(self, function_arn: str, event: Event, timeout_s: float) -> InvokeResult:
        return await self._invoke(function_arn, event, timeout_s)

    def _ended(self, under_way: asyncio.Task[InvokeResult]) -> None:
        self._under_way.discard(under_way)
        if not under_way.cancelled() and (failure := under_way.exception()):
            # The name alone: an exception's text may quote the event.
            log.error("The invoker raised %s.", type(failure).__name__)


class LambdaInvoker:
    """Calls functions through Lambda's Invoke API, at most `concurrency` at once. Close it when the gateway is stopped.

    The client must wait longer than API Gateway does and never retry: make it with
    ``boto3.client("lambda", config=LAMBDA_CONFIG)``. Raises GatewayError if it would not.
    """

    def __init__(self, *, client: "LambdaClient", concurrency: int = CONCURRENCY) -> None:
        _require_patience(client.meta.config)
        self._client = client
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="lambda-invoke")

    async def __call__(self, function_arn: str, event: Event, timeout_s: float) -> InvokeResult:  # noqa: ARG002
        """`timeout_s` is the gateway's to keep: a thread that waits for Lambda cannot be ended earlier."""
        payload = json.dumps(event).encode()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, function_arn, payload)

    def close(self) -> None:
        """Forgets the calls that wait for a thread; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _call(self, function_arn: str, payload: bytes) -> InvokeResult:
        try:
            answer = self._client.invoke(FunctionName=function_arn, Payload=payload)
            content = answer["Payload"].read()
        except ClientError as exc:
            return _uncallable(function_arn, exc.response["Error"].get("Code", "an error"))
        except BotoCoreError as exc:
            return _uncallable(function_arn, type(exc).__name__)
        return _result(content, failed="FunctionError" in answer)


def _uncallable(function_arn: str, why: str) -> InvokeResult:
    log.warning("Lambda could not call %s: %s.", function_arn, why)
    return InvokeResult(error=why)


def _result(content: bytes, *, failed: bool) -> InvokeResult:
    try:
        payload = json.loads(content)
    except ValueError:
        return InvokeResult(error="The function did not return JSON.")
    if failed:
        message = payload.get("errorMessage") if isinstance(payload, dict) else None
        return InvokeResult(error=str(message))
    return InvokeResult(payload=payload if isinstance(payload, dict) else None)


def _require_patience(config: Any) -> None:
    attempts = (config.retries or {}).get("total_max_attempts")
    if config.read_timeout > LONGEST_CALL_S and attempts == 1:
        return
    raise GatewayError(
        "This Lambda client gives up before API Gateway would, or calls a function twice: "
        "make it with boto3.client('lambda', config=local.gateway.LAMBDA_CONFIG)."
    )
