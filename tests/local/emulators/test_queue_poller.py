"""What local/emulators/queue_poller.py promises, on ministack's real queues and real functions.

The function writes down what it does in a file, and does what each message's body asks for. A message stays hidden for
longer than any test takes, unless the test says otherwise: a slow machine must not make it come twice.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from local.deploy import Feed
from local.emulators.ministack import Ministack
from local.emulators.queue_poller import Poller, is_success, record
from tests.local.functions import call, make_function
from tests.support.processes import wait_until

VISIBILITY_S = 600
DELAY_S = 3  # in which a warm function is called, however busy the machine is

DOES_WHAT_IT_IS_TOLD = """
import json, os, time

def handler(event, context):
    record = event["Records"][0]
    body = json.loads(record["body"])
    say = lambda text: open(body["log"], "a").write(text + "\\n")
    with open(body["log"] + "-receipts", "a") as receipts:
        receipts.write(record["receiptHandle"] + "\\n")
    say("begin " + body["name"])
    deadline = time.time() + 60
    while body.get("until") and not os.path.exists(body["until"]) and time.time() < deadline:
        time.sleep(0.01)
    if int(record["attributes"]["ApproximateReceiveCount"]) <= body.get("failures", 0):
        say("fail " + body["name"])
        if body.get("by") == "exception":
            raise RuntimeError("told to")
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]}]}
    say("end " + body["name"])
    print("done")
    return {"batchItemFailures": []}
"""


class Queue:
    """A queue that feeds the function, and the function's log. FIFO, unless it is to be a standard one."""

    def __init__(self, ministack: Ministack, function: str, folder: Path, *, is_fifo: bool = True) -> None:
        self.access, self.log, self.is_fifo = ministack.access, folder / "log", is_fifo
        self.sqs = self.access.client("sqs")
        self.name = f"tested-{uuid4().hex}{'.fifo' if is_fifo else ''}"
        url = self.create()
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.feed = Feed(url, arn, function)

    def create(self) -> str:
        """Its address."""
        attributes = {"VisibilityTimeout": str(VISIBILITY_S)} | ({"FifoQueue": "true"} if self.is_fifo else {})
        return str(self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"])

    def send(self, name: str, *, group: str = "g", delay_s: int = 0, **body: Any) -> None:
        ordered = {"MessageGroupId": group, "MessageDeduplicationId": name}
        self.sqs.send_message(
            QueueUrl=self.feed.queue_url,
            MessageBody=json.dumps({"name": name, "log": str(self.log), **body}),
            **(ordered if self.is_fifo else {"DelaySeconds": delay_s}),
        )

    def hide(self, seconds: int) -> None:
        """The message that the function was given last stays hidden for so long from now on."""
        receipt = Path(f"{self.log}-receipts").read_text().splitlines()[-1]
        self.sqs.change_message_visibility(
            QueueUrl=self.feed.queue_url, ReceiptHandle=receipt, VisibilityTimeout=seconds
        )

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def left(self) -> int:
        """Messages in the queue, waiting or under way."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.feed.queue_url, AttributeNames=names)["Attributes"]
        return sum(map(int, found.values()))

    async def until(self, line: str) -> list[str]:
        """What the function wrote down, once it has written `line`."""
        await asyncio.to_thread(wait_until, lambda: line in self.lines(), f"the function's line {line!r}")
        return self.lines()

    async def empty(self) -> None:
        await asyncio.to_thread(wait_until, lambda: not self.left(), "an empty queue")


@pytest.fixture(scope="module")
def function(ministack: Ministack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The function's ARN. One process of it runs already: what tests compare must not hang on a cold start."""
    made = make_function(ministack.access, DOES_WHAT_IT_IS_TOLD)
    body = json.dumps({"name": "warm", "log": str(tmp_path_factory.mktemp("warm") / "log")})
    warm = {"body": body, "receiptHandle": "", "messageId": "", "attributes": {"ApproximateReceiveCount": "1"}}
    assert call(ministack.access, made, {"Records": [warm]}) == {"batchItemFailures": []}
    return made


@pytest.fixture
def queue(ministack: Ministack, function: str, tmp_path: Path) -> Queue:
    return Queue(ministack, function, tmp_path)


@pytest.fixture
def standard(ministack: Ministack, function: str, tmp_path: Path) -> Queue:
    return Queue(ministack, function, tmp_path, is_fifo=False)


@asynccontextmanager
async def polling(queue: Queue, **settings: int) -> AsyncIterator[None]:
    poller = Poller(queue.access, queue.feed, **settings)
    poller.start()
    try:
        yield
    finally:
        await poller.stop()


async def test_messages_of_one_group_run_one_after_the_other_and_leave_the_queue(queue):
    for name in ("1", "2", "3"):
        queue.send(name)
    async with polling(queue):
        lines = await queue.until("end 3")
        await queue.empty()
    assert lines == ["begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3"]


async def test_a_group_that_takes_long_holds_up_no_other(queue, tmp_path):
    queue.send("long", group="a", until=str(tmp_path / "go"))
    queue.send("after long", group="a")
    queue.send("short", group="b")
    async with polling(queue):
        assert "end long" not in await queue.until("end short")
        (tmp_path / "go").touch()
        lines = await queue.until("end after long")
    assert lines.index("end long") < lines.index("begin after long")


async def test_no_more_than_the_bound_run_at_once(queue, tmp_path):
    for group in ("a", "b", "c"):
        queue.send(group, group=group, until=str(tmp_path / "go"))
    async with polling(queue, concurrency=2):
        await queue.until("begin b")
        await asyncio.sleep(0.5)
        assert "begin c" not in queue.lines()
        (tmp_path / "go").touch()
        await queue.until("end c")


async def test_a_standard_queue_has_no_groups_and_nothing_waits_for_another(standard, tmp_path):
    standard.send("long", until=str(tmp_path / "go"))
    standard.send("short")
    async with polling(standard):
        assert "end long" not in await standard.until("end short")
        (tmp_path / "go").touch()
        await standard.until("end long")
        await standard.empty()


async def test_a_delayed_message_comes_when_its_time_has_come_and_not_before(standard):
    before = time.monotonic()
    standard.send("later", delay_s=DELAY_S)
    standard.send("now")
    async with polling(standard):
        assert "begin later" not in await standard.until("end now")
        await standard.until("end later")
    assert time.monotonic() - before >= DELAY_S


async def test_a_failed_message_of_a_standard_queue_comes_again(standard):
    standard.send("1", failures=1, by="report")
    async with polling(standard):
        await standard.until("fail 1")
        standard.hide(0)
        assert await standard.until("end 1") == ["begin 1", "fail 1", "begin 1", "end 1"]


@pytest.mark.parametrize("by", ["report", "exception"])
async def test_a_failed_message_comes_again_before_its_groups_next(queue, by):
    queue.send("1", failures=1, by=by)
    queue.send("2")
    async with polling(queue):
        await queue.until("fail 1")
        queue.hide(0)
        lines = await queue.until("end 2")
    assert lines == ["begin 1", "fail 1", "begin 1", "end 1", "begin 2", "end 2"]


async def test_a_message_that_its_function_has_hidden_comes_again_when_that_is_over(queue, tmp_path):
    """So a run waits for the user's others: its worker says how long, and fails the record. It holds up no other."""
    queue.send("1", group="a", failures=1, by="report", until=str(tmp_path / "go"))
    async with polling(queue):
        await queue.until("begin 1")
        before = time.monotonic()
        queue.hide(DELAY_S)
        (tmp_path / "go").touch()
        await queue.until("fail 1")
        queue.send("2", group="b")
        assert "end 1" not in await queue.until("end 2")
        await queue.until("end 1")
    assert time.monotonic() - before >= DELAY_S


async def test_after_a_stop_nothing_more_is_taken(queue):
    queue.send("1")
    async with polling(queue):
        await queue.until("end 1")
        await queue.empty()
    queue.send("2")
    await asyncio.sleep(0.5)
    assert (queue.lines(), queue.left()) == (["begin 1", "end 1"], 1)


async def test_a_queue_that_is_away_for_a_moment_is_read_again(queue, caplog):
    url = queue.feed.queue_url
    queue.sqs.delete_queue(QueueUrl=url)
    async with polling(queue):
        await asyncio.to_thread(wait_until, lambda: "cannot be read" in caplog.text, "an attempt to read it")
        queue.create()
        queue.send("1")
        await queue.until("end 1")


async def test_a_record_has_the_form_that_lambda_gives_it(queue):
    queue.sqs.send_message(
        QueueUrl=queue.feed.queue_url,
        MessageBody="text",
        MessageGroupId="ada.thread",
        MessageDeduplicationId="run",
        MessageAttributes={"kind": {"StringValue": "run", "DataType": "String"}},
    )
    (message,) = queue.sqs.receive_message(
        QueueUrl=queue.feed.queue_url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    made = record(message, queue.feed.queue_arn, "us-east-1")
    assert set(made) == {
        *("messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody"),
        *("eventSource", "eventSourceARN", "awsRegion"),
    }
    assert made["attributes"]["MessageGroupId"] == "ada.thread"
    assert made["attributes"]["ApproximateReceiveCount"] == "1"
    assert made["messageAttributes"] == {
        "kind": {"stringValue": "run", "stringListValues": [], "binaryListValues": [], "dataType": "String"}
    }
    assert (made["body"], made["eventSource"], made["awsRegion"]) == ("text", "aws:sqs", "us-east-1")
    assert made["eventSourceARN"].endswith(f":{queue.name}")


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"batchItemFailures": []}', b'{"batchItemFailures": null}'])
def test_these_answers_mean_success(payload):
    assert is_success(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"batchItemFailures": [{"itemIdentifier": "1"}]}',
        b'{"batchItemFailures": [{"itemIdentifier": ""}]}',
        b'{"batchItemFailures": [{}]}',
        b"[]",
        b'"ok"',
        b"{",
    ],
)
def test_these_answers_mean_failure(payload):
    assert not is_success(payload)
