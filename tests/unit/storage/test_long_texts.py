"""`get_content`: any text of the transcript, a page at a time; and no frame or item that is too large for its way."""

from __future__ import annotations

import hashlib
import json

import pytest
from msgspec.structs import replace

from agentsocket import encoded_text, relay
from agentsocket.agents.contract import Failed, Report, Text, Thinking, ToolEnded, ToolStarted
from agentsocket.errors import BadRequest, CommandError, Disconnect, NotFound, Unavailable
from agentsocket.inputs import SocketRequest
from agentsocket.limits import KB, Limits
from agentsocket.protocol import frames
from agentsocket.protocol import messages as protocol
from agentsocket.storage import keys
from agentsocket.storage.multipart import NewMessage
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.fault_injection import Meddled
from tests.support.world import World

LIMITS = Limits(command_burst=10_000)  # all of it happens in one moment here
# What costs most: six bytes for one, four for one, both beside what costs little.
WORST = {
    "escapes": "\x01",
    "quotes": '"\\\n',
    "emoji": "🎉",
    "deletes": "\x7f",
    "mixed": 'plain text, then "\x00\x1f" 🎉🎉 €\x7f\n',
}


@pytest.fixture
def client(dynamodb):
    return Meddled(dynamodb)


@pytest.fixture
def world(client, runtime, clock, ada):
    storage = Storage(Table(client, "agentsocket", now=clock), limits=LIMITS, generation="1")
    world = World(storage, replace(runtime, limits=LIMITS), Scripted([Text("It is short."), Report()]))
    world.connect(ada, "a1")
    return world


def says(world, *deltas):
    world.agent = Scripted([*map(Text, deltas), Report()])


def send(world, who, content, message_id="m1", **payload):
    """A message, in parts if it has to be."""
    if encoded_text.encoded_bytes(content) < 100 * KB:
        return world.send(who, "a1", content, message_id=message_id, **payload)
    step = int(len(content) / max(len(content.encode()) / (31 * KB), encoded_text.encoded_bytes(content) / (100 * KB)))
    parts = [content[start : start + step] for start in range(0, len(content), step)]
    for number, part in enumerate(parts, start=1):
        numbers = {"part": number, "parts": len(parts)}
        answer = world.send(who, "a1", part, message_id=message_id, **numbers, **payload)
    return answer


def page(world, who, thread_id, message_id, connection_id="a1", **payload):
    [answer] = world.say(who, connection_id, "get_content", thread_id=thread_id, message_id=message_id, **payload)
    return answer


def read(world, who, thread_id, message_id):
    """A whole text, and its pages."""
    pages = [page(world, who, thread_id, message_id)]
    while "next_offset" in pages[-1]:
        pages.append(page(world, who, thread_id, message_id, offset=pages[-1]["next_offset"]))
    return "".join(each["content"] for each in pages), pages


def answer_id(accepted):
    return f"{accepted['run_id']}.1"


async def test_question_and_answer_are_read_again(world, ada):
    accepted = send(world, ada, "What is it?")
    await world.work()
    for message_id, text in (("m1", "What is it?"), (answer_id(accepted), "It is short.")):
        assert page(world, ada, accepted["thread_id"], message_id) == {
            "content": text,
            "offset": 0,
            "bytes": len(text),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }


@pytest.mark.parametrize("pattern", WORST.values(), ids=WORST)
@pytest.mark.parametrize("size", [2 * KB, 24 * KB, 24 * KB + 1, 700 * KB])
async def test_a_text_is_read_whole_in_pages_that_fit_a_frame(world, ada, pattern, size, dynamodb):
    """J6: and on the way no frame is over 30 KB, no item over 300 KB."""
    text = pattern * (size // len(pattern.encode())) + "."
    says(world, text)
    # In 40 frames of 128 KB there is no room for so many escapes: then only the answer is that long.
    question = "?" if pattern == "\x01" and size > 200 * KB else text
    accepted = send(world, ada, question)
    await world.work()
    assert world.agent.turns[0].text == question
    for message_id, expected in (("m1", question), (answer_id(accepted), text)):
        whole, pages = read(world, ada, accepted["thread_id"], message_id)
        assert whole == expected
        offset = 0
        for each in pages:
            assert each["offset"] == offset
            assert encoded_text.encoded_bytes(each["content"]) <= 24 * KB
            assert (each["bytes"], each["sha256"]) == (len(whole.encode()), encoded_text.sha256(whole))
            offset += len(each["content"])
        assert len(pages) <= 6 + 2 * encoded_text.encoded_bytes(whole) // (24 * KB)
    assert max(map(len, every_frame(world, ada, accepted))) <= 30 * KB
    assert max(size_of(item) for item in dynamodb.scan(TableName="agentsocket")["Items"]) <= 300 * KB


def every_frame(world, who, accepted):
    """What the run's events, a replay of them, a snapshot and a page of text are as frames."""
    log = world.storage.for_user(who).log(accepted["thread_id"])
    events, _ = log.events(after=0, limit=1000)
    sent = [event.frame for event in events]
    since = {"epoch": accepted["epoch"], "seq": 0}
    asked = [
        ("subscribe", {"since": {**since, "seq": max(0, len(events) - 30)}}),
        ("subscribe", {"since": since}),
        ("subscribe", {}),
        ("get_content", {"message_id": answer_id(accepted)}),
    ]
    for kind, payload in asked:
        sent += encoded(world, who, kind, thread_id=accepted["thread_id"], **payload)
    assert sent
    return sent


def encoded(world, who, kind, **payload):
    body = json.dumps({"type": kind, "payload": payload, "id": "c" * 64})
    replies = relay.receive(
        SocketRequest(who, "a1", body),
        storage=world.storage,
        contexts=world.contexts,
        run_queue=world.queue,
        management_api=world.sockets,
        verify=world.verify,
        agents=set(),
    )
    return [
        frames.frame(reply.payload, frame_id="x" * 26, now=1e9, reply_to="c" * 64, thread_id=reply.thread_id).encode()
        for reply in replies
    ]


def size_of(item):
    """As DynamoDB counts, roughly: names and values in UTF-8."""
    return sum(len(name.encode()) + weight(value) for name, value in item.items())


def weight(value):
    [held] = value.values()
    return len(held if isinstance(held, bytes) else (held if isinstance(held, str) else json.dumps(held)).encode())


async def test_an_answer_of_one_megabyte_is_read_again(world, ada):
    """J6."""
    text = "".join(f"{number:07}\n" for number in range(128 * KB))
    assert len(text) == LIMITS.max_answer_bytes
    says(world, *(text[start : start + 10_000] for start in range(0, len(text), 10_000)))
    accepted = send(world, ada, "?")
    await world.work()
    assert read(world, ada, accepted["thread_id"], answer_id(accepted))[0] == text
    report = json.loads(every_frame(world, ada, accepted)[-1])["payload"]
    assert report["sha256"] == encoded_text.sha256(text)


async def test_the_number_of_reads_does_not_grow_with_the_text(world, ada, client):
    counts = set()
    for number, size in enumerate((10, 30 * KB, 1000 * KB)):
        says(world, "x" * size)
        accepted = send(world, ada, "?", message_id=f"m{number}")
        await world.work()
        for offset in (0, size // 2, size):
            client.reset()
            page(world, ada, accepted["thread_id"], answer_id(accepted), offset=offset)
            assert "query" not in client.names
            counts.add(len(client.names))
    assert counts == {3}


async def test_a_page_begins_at_any_character(world, ada):
    text = "aä€🎉" * 60_000
    says(world, text)
    accepted = send(world, ada, "?")
    await world.work()
    for offset in (1, 2, 3, 59_999, 60_000, 120_001, 239_998):
        found = page(world, ada, accepted["thread_id"], answer_id(accepted), offset=offset)
        assert found["content"]
        assert text[offset:].startswith(found["content"])


@pytest.mark.parametrize("size", [12, 100 * KB])
async def test_an_offset_beyond_the_end_is_refused_by_name(world, ada, size):
    says(world, "x" * size)
    accepted = send(world, ada, "?")
    await world.work()
    last = page(world, ada, accepted["thread_id"], answer_id(accepted), offset=size)
    assert (last["content"], last["offset"], "next_offset" in last) == ("", size, False)
    with pytest.raises(BadRequest) as refused:
        page(world, ada, accepted["thread_id"], answer_id(accepted), offset=size + 1)
    assert refused.value.field == "payload.offset"


async def test_an_answer_without_a_word_is_a_text_too(world, ada):
    says(world)
    accepted = send(world, ada, "?")
    await world.work()
    found = page(world, ada, accepted["thread_id"], answer_id(accepted))
    assert (found["content"], found["bytes"]) == ("", 0)


async def test_what_is_not_there_is_not_found(world, ada, bob):
    """E6: in the same words, whosever it is."""
    accepted = send(world, ada, "x" * 100 * KB)
    await world.work()
    other = send(world, ada, "elsewhere", message_id="m2")["thread_id"]
    await world.work()
    world.connect(bob, "b1")
    thread_id, answered = accepted["thread_id"], answer_id(accepted)
    asked = [
        (ada, "a1", thread_id, "unknown"),
        (ada, "a1", thread_id, "m2"),
        (ada, "a1", other, "m1"),
        (ada, "a1", other, answered),
        (ada, "a1", thread_id, f"{accepted['run_id']}.2"),
        (bob, "b1", thread_id, "m1"),
        (bob, "b1", thread_id, answered),
        (ada, "a1", "nowhere", "m1"),
    ]
    said = set()
    for who, connection_id, thread, message in asked:
        with pytest.raises(NotFound) as refused:
            page(world, who, thread, message, connection_id)
        said.add((str(refused.value), refused.value.field))
    assert said == {("no such message", "payload.message_id"), ("no such thread", "payload.thread_id")}


async def test_nothing_of_a_deleted_thread_is_read(world, ada):
    """H5."""
    accepted = send(world, ada, "x" * 100 * KB)
    await world.work()
    world.say(ada, "a1", "delete_thread", thread_id=accepted["thread_id"])
    for message_id in ("m1", answer_id(accepted)):
        with pytest.raises(NotFound):
            page(world, ada, accepted["thread_id"], message_id)


async def test_a_run_that_failed_has_no_answer_to_read(world, ada):
    world.agent = Scripted([Text("half"), Failed("x", "x", "x", "x")])
    accepted = send(world, ada, "?")
    await world.work()
    with pytest.raises(NotFound):
        page(world, ada, accepted["thread_id"], answer_id(accepted))
    assert page(world, ada, accepted["thread_id"], "m1")["content"] == "?"


async def test_texts_outlive_the_runs_they_belong_to(world, ada, clock):
    """data-model.md, Rows: a text is kept with its message, a run for 30 days."""
    says(world, "y" * 50 * KB)
    accepted = send(world, ada, "z" * 50 * KB)
    await world.work()
    says(world, "short too")
    second = send(world, ada, "short", message_id="m2", thread_id=accepted["thread_id"])
    await world.work()
    clock.advance(LIMITS.run_row_s + 1)
    later = principal_of("ada", clock)
    world.connect(later, "a2")
    for message_id, text in (
        ("m1", "z" * 50 * KB),
        (answer_id(accepted), "y" * 50 * KB),
        ("m2", "short"),
        (answer_id(second), "short too"),
    ):
        found = page(world, later, accepted["thread_id"], message_id, "a2")
        assert text.startswith(found["content"])
        assert found["bytes"] == len(text)


def test_a_long_message_can_be_read_from_its_acceptance_on(world, ada):
    accepted = send(world, ada, "z" * 50 * KB)
    assert read(world, ada, accepted["thread_id"], "m1")[0] == "z" * 50 * KB


def test_a_connection_that_may_not_ask_gets_nothing(world, ada):
    accepted = send(world, ada, "z" * 50 * KB)
    with pytest.raises(Disconnect):
        page(world, ada, accepted["thread_id"], "m1", "unknown")
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        page(world, ada, accepted["thread_id"], "m1")
    assert ended.value.code == "revoked"


async def test_a_long_message_that_meets_a_deletion_leaves_no_text_behind(world, ada, client, dynamodb):
    """The thread is deleted and swept between the look at it and the message's rows."""
    thread_id = send(world, ada, "hi")["thread_id"]
    await world.work()
    adas = world.storage.for_user(ada)
    client.reset()

    def delete():
        erasure = adas.thread_deletion(thread_id, by="c")
        erasure.hide()
        while erasure.sweep():
            pass

    client.before[1] = delete
    message = NewMessage("m2", "z" * 50 * KB, thread_id, "a1", agent="", context="{}")
    with pytest.raises(Unavailable):
        adas.runs.accept(message)
    with pytest.raises(NotFound):
        adas.runs.accept(message)
    left = [item["SK"]["S"] for item in dynamodb.scan(TableName="agentsocket")["Items"]]
    assert not [sort for sort in left if sort.startswith((keys.CONTENT, keys.MESSAGE))]


async def test_every_event_fits_a_frame_whatever_the_agent_says(world, ada):
    bad = WORST["mixed"] * 3000
    world.agent = Scripted(
        [
            Thinking(bad),
            ToolStarted(bad, bad, bad),
            ToolEnded(bad, bad, "success", bad, 1),
            Text(bad),
            Report([{"title": bad}, {"title": "x"}], [bad, "y"], {"z": bad}),
        ]
    )
    accepted = send(world, ada, "?")
    await world.work()
    world.agent = Scripted([Failed(bad, bad, bad, bad)])
    send(world, ada, bad[:9000], message_id="m2", thread_id=accepted["thread_id"])
    await world.work()
    assert max(map(len, every_frame(world, ada, accepted))) <= 30 * KB


@pytest.mark.parametrize("pattern", WORST.values(), ids=WORST)
def test_an_error_fits_a_frame_whatever_it_quotes(world, ada, pattern):
    name = pattern * (100 * KB // len(pattern.encode()))
    for body in (
        {"type": "ping", "payload": {name: 1}},
        {"type": "ping", "payload": {}, name: 1},
        {"type": name, "payload": {}},
        {"type": "user_message", "payload": {"message_id": name, "content": "x"}},
        {"type": "hello", "payload": {"protocol": 1, "client": {name: 1}}},
    ):
        with pytest.raises(CommandError) as refused:
            frames.parse(json.dumps(body, ensure_ascii=False), limits=Limits(max_message_bytes=10**7))
        told = frames.failure(refused.value)
        assert len(frames.frame(told, frame_id="x" * 26, now=1e9, reply_to="c" * 64).encode()) <= 2 * KB


def test_a_page_s_offset_is_a_number_that_can_be(world, ada):
    for offset in (-1, "0", 1.5, 10**13):
        with pytest.raises(BadRequest) as refused:
            page(world, ada, "t", "m1", offset=offset)
        assert refused.value.field == "payload.offset"


def test_the_protocol_names_both():
    assert protocol.COMMANDS["get_content"] is protocol.GetContent
    assert protocol.CONTROL["content"] is protocol.Content
