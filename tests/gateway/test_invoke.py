import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.config import Config

from local.gateway import LAMBDA_CONFIG, GatewayError, InvokeResult, LambdaInvoker
from local.gateway.invoke import Invocations
from tests.gateway.fakes import PATIENCE_S, REGION, FakeLambda, arn

KEYS: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
Invoke = Callable[..., Awaitable[LambdaInvoker]]
UNCALLABLE = InvokeResult(error="The function could not be called.")


def failed(message: str) -> Callable[[dict[str, Any]], web.Response]:
    body = {"errorMessage": message, "errorType": "Exception"}
    return lambda event: web.json_response(body, headers={"X-Amz-Function-Error": "Unhandled"})


@pytest.fixture
async def invoker() -> AsyncIterator[Invoke]:
    """A LambdaInvoker with a boto3 client of a Lambda endpoint that runs these functions."""
    ending: list[Callable[[], Any]] = []

    async def made(concurrency: int = 20, **functions: Any) -> LambdaInvoker:
        fake = FakeLambda(functions)
        await fake.start()
        client = boto3.client("lambda", region_name=REGION, endpoint_url=fake.endpoint, config=LAMBDA_CONFIG, **KEYS)
        invoker = LambdaInvoker(client=client, concurrency=concurrency)
        ending.extend([invoker.close, client.close])
        stopping.append(fake)
        return invoker

    stopping: list[FakeLambda] = []
    yield made
    for end in ending:
        end()
    for fake in stopping:
        await fake.stop()


async def test_the_event_goes_out_and_the_object_comes_back(invoker: Invoke):
    invoke = await invoker(echo=lambda event: web.json_response({"got": event}))
    assert await invoke(arn("echo"), {"a": "é"}, 29) == InvokeResult(payload={"got": {"a": "é"}})


async def test_a_functions_error_is_its_message(invoker: Invoke):
    invoke = await invoker(guard=failed("Unauthorized"))
    assert await invoke(arn("guard"), {}, 29) == InvokeResult(error="Unauthorized")


@pytest.mark.parametrize("body", ["[1]", '"text"', "null"])
async def test_an_answer_that_is_not_an_object_has_no_payload(invoker: Invoke, body: str):
    invoke = await invoker(odd=lambda event: web.Response(text=body))
    assert await invoke(arn("odd"), {}, 29) == InvokeResult()


async def test_an_answer_that_is_not_json_is_an_error(invoker: Invoke):
    invoke = await invoker(odd=lambda event: web.Response(text="<html>"))
    assert await invoke(arn("odd"), {}, 29) == InvokeResult(error="The function did not return JSON.")


async def test_a_function_that_does_not_exist_is_an_error(invoker: Invoke):
    invoke = await invoker()
    assert await invoke(arn("nobody"), {}, 29) == InvokeResult(error="ResourceNotFoundException")


async def test_an_endpoint_that_fails_is_asked_once(invoker: Invoke):
    asked = []

    def broken(event: dict[str, Any]) -> web.Response:
        asked.append(event)
        return web.Response(status=500)

    invoke = await invoker(broken=broken)
    assert (await invoke(arn("broken"), {}, 29)).error == "500"
    assert len(asked) == 1


async def test_an_endpoint_that_is_not_there_is_an_error(invoker: Invoke):
    fake = FakeLambda({})
    await fake.start()
    await fake.stop()
    client = boto3.client("lambda", region_name=REGION, endpoint_url=fake.endpoint, config=LAMBDA_CONFIG, **KEYS)
    invoke = LambdaInvoker(client=client)
    assert await invoke(arn("f"), {}, 29) == InvokeResult(error="EndpointConnectionError")
    invoke.close()
    client.close()


async def test_calls_run_at_once_up_to_the_bound(invoker: Invoke):
    together, under_way, most = asyncio.Barrier(3), set(), []

    async def waits_for_two_more(event: dict[str, Any]) -> web.Response:
        under_way.add(event["number"])
        most.append(len(under_way))
        await together.wait()
        under_way.discard(event["number"])
        return web.json_response({})

    invoke = await invoker(concurrency=3, f=waits_for_two_more)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*[invoke(arn("f"), {"number": number}, 29) for number in range(12)])
    assert max(most) == 3


class Patient:
    """An invoker whose calls end only by being cancelled."""

    def __init__(self) -> None:
        self.called, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self, function_arn: str, event: dict[str, Any], timeout_s: float) -> InvokeResult:
        self.called.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return InvokeResult()


async def test_a_call_that_takes_too_long_is_cancelled():
    invoke = Patient()
    result = await Invocations(invoke).call(arn("f"), {}, 0.05)
    assert result.timed_out
    async with asyncio.timeout(PATIENCE_S):
        await invoke.cancelled.wait()


async def test_ending_gives_those_who_wait_and_all_who_come_an_error():
    invoke = Patient()
    invocations = Invocations(invoke)
    waiting = asyncio.create_task(invocations.call(arn("f"), {}, PATIENCE_S))
    await invoke.called.wait()
    await invocations.end()
    assert await waiting == UNCALLABLE
    assert await invocations.call(arn("f"), {}, PATIENCE_S) == UNCALLABLE


async def test_an_invoker_that_raises_is_an_error_and_its_text_is_not_logged(caplog: pytest.LogCaptureFixture):
    def broken(function_arn: str, event: dict[str, Any], timeout_s: float) -> Any:
        raise KeyError("secret")

    assert await Invocations(broken).call(arn("f"), {}, PATIENCE_S) == UNCALLABLE
    await asyncio.sleep(0)
    assert caplog.messages == ["The invoker raised KeyError."]


@pytest.mark.parametrize(
    "config",
    [
        Config(read_timeout=29, retries={"total_max_attempts": 1}),
        Config(read_timeout=60),
        Config(read_timeout=60, retries={"total_max_attempts": 2}),
    ],
)
def test_a_client_that_gives_up_early_or_calls_twice_is_refused(config: Config):
    client = boto3.client("lambda", region_name=REGION, config=config, **KEYS)
    with pytest.raises(GatewayError, match="LAMBDA_CONFIG"):
        LambdaInvoker(client=client)
