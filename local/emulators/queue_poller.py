"""Takes messages from a queue to a Lambda function, as the service does between SQS and Lambda.

Inside: one invocation per message (BatchSize 1), side by side, order within a FIFO queue's group, partial failures.
Kept out: the order itself, which the queue keeps: it gives out a group's next message only when the one before it is
deleted or visible again. ministack has such a mapping too, but runs one batch per queue, so that a long run in one
conversation would hold up all the others, and it finds a message whose delay has passed only at its next round, up to
a second later; a long poll finds it within 0.1 s.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import Access
from local.deploy import Feed

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

CONCURRENCY = 16  # each invocation at once is a process of 40 MB
WAIT_S = 2  # a long poll; bounds how long `stop` takes
LONGEST_FUNCTION_S = 900  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
PAUSE_AFTER_FAULT_S = 0.5
ONCE = Config(retries={"total_max_attempts": 1})

log = logging.getLogger(__name__)


class Poller:
    """Serves one feed from `start` to `stop`."""

    def __init__(self, access: Access, feed: Feed, *, concurrency: int = CONCURRENCY) -> None:
        """`concurrency` bounds the invocations at once; those from a FIFO queue are each of another message group."""
        self._feed, self._region = feed, access.region_name
        # The loop below tries again by itself; a retry of the client's would outlive `stop`.
        self._sqs: SQSClient = access.client("sqs", ONCE.merge(Config(max_pool_connections=concurrency + 1)))
        # Never sent twice: the function may have run although its answer was lost.
        patient = Config(max_pool_connections=concurrency, read_timeout=LONGEST_FUNCTION_S + 10)
        self._lambda: LambdaClient = access.client("lambda", ONCE.merge(patient))
        self._threads = ThreadPoolExecutor(concurrency + 1, thread_name_prefix="poller")
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._begin(self._receive())

    async def stop(self) -> None:
        """Take nothing more, and await nothing that is under way: its messages become visible again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self) -> None:
        while True:
            await self._slots.acquire()
            message = await self._next_message()
            if message:
                self._begin(self._deliver(message))
            else:
                self._slots.release()

    async def _next_message(self) -> Any:
        # One at a time: of several, two may be of one group, and the second would have to be given back.
        try:
            received = await self._call(
                lambda: self._sqs.receive_message(
                    QueueUrl=self._feed.queue_url,
                    MaxNumberOfMessages=1,
                    WaitTimeSeconds=WAIT_S,
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
            )
        except (BotoCoreError, ClientError) as error:
            log.warning("The queue cannot be read: %s", error)
            await asyncio.sleep(PAUSE_AFTER_FAULT_S)
            return None
        return next(iter(received.get("Messages", [])), None)

    async def _deliver(self, message: Any) -> None:
        try:
            if await self._invoke(message):
                await self._call(
                    lambda: self._sqs.delete_message(
                        QueueUrl=self._feed.queue_url, ReceiptHandle=message["ReceiptHandle"]
                    )
                )
        except (BotoCoreError, ClientError) as error:
            log.warning("A message was not processed and will be delivered again: %s", error)
        finally:
            self._slots.release()

    async def _invoke(self, message: Any) -> bool:
        """Whether the function says that the message is done with."""
        event = {"Records": [record(message, self._feed.queue_arn, self._region)]}
        answer = await self._call(
            lambda: self._lambda.invoke(FunctionName=self._feed.function_arn, Payload=json.dumps(event).encode())
        )
        payload = await self._call(lambda: answer["Payload"].read())
        return "FunctionError" not in answer and is_success(payload)

    async def _call(self, request: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, request)


def record(message: Any, queue_arn: str, region: str) -> dict[str, Any]:
    """A received message as Lambda gives it to a function.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-fifo-queue-message-event
    """
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {"stringListValues": [], "binaryListValues": []}
            | {key[0].lower() + key[1:]: part for key, part in value.items()}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }


def is_success(payload: bytes) -> bool:
    """Whether a function's answer to its one record means success.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html: nothing, or an empty list of failures.
    An answer that names another message, or is in no known form, fails the whole batch.
    """
    try:
        answer = json.loads(payload or b"null")
    except ValueError:
        return False
    return answer is None or (isinstance(answer, dict) and not answer.get("batchItemFailures"))
