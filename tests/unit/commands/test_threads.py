"""The commands about threads, in one process: made once, named, listed, read in pages, followed one at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentsocket.agents.contract import Report, Text
from agentsocket.errors import BadRequest, Disconnect, IdempotencyConflict, NotFound, TooLarge
from agentsocket.inputs import SocketRequest
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(command_burst=10_000, runs_per_day=10_000)
KB = 1024
LISTED = {"thread_id", "title", "metadata", "created_at", "activity"}


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("It is so."), Report()]))
    world.connect(ada, "a1")
    return world


def create(world, who, *, connection_id="a1", command_id="c1", **payload):
    body = msgspec.json.encode({"type": "create_thread", "payload": payload, "id": command_id}).decode()
    [reply] = world.receive(SocketRequest(who, connection_id, body))
    return msgspec.json.decode(msgspec.json.encode(reply.payload))


def listed(world, who, **payload):
    [page] = world.say(who, "a1", "list_threads", **payload)
    return page


def history(world, who, thread_id, **payload):
    [page] = world.say(who, "a1", "get_thread_history", thread_id=thread_id, **payload)
    return page


def heard(world, connection_id):
    """What a connection was told besides its own answers, by type."""
    return [(frame["type"], frame["payload"]) for frame in world.sockets.posted[connection_id]]


def test_a_thread_is_made_and_listed(world, ada):
    made = create(world, ada, title="Costs", metadata={"team": "red"})
    assert made.keys() == LISTED
    assert (made["title"], made["metadata"]) == ("Costs", {"team": "red"})
    assert listed(world, ada) == {"threads": [made]}


def test_every_other_connection_of_the_user_is_notified_once(world, ada, bob):
    """H1."""
    for connection_id, who in (("a2", ada), ("a3", ada), ("b1", bob)):
        world.connect(who, connection_id)
    made = create(world, ada)
    for connection_id in ("a2", "a3"):
        assert heard(world, connection_id) == [("thread_created", made)]
    assert heard(world, "a1") == [], "its own is the answer"
    assert heard(world, "b1") == []


def test_the_same_command_makes_one_thread(world, ada):
    """H1, H3: a retry whose answer was lost."""
    world.connect(ada, "a2")
    first = create(world, ada, title="once")
    assert create(world, ada, title="once") == first
    assert len(listed(world, ada)["threads"]) == 1
    assert len(heard(world, "a2")) == 1


@pytest.mark.parametrize(
    "other", [{"title": "twice"}, {"title": "once", "metadata": {"x": 1}}], ids=["title", "metadata"]
)
def test_the_same_id_for_another_thread_is_refused(world, ada, other):
    create(world, ada, title="once")
    with pytest.raises(IdempotencyConflict):
        create(world, ada, **other)


def test_a_thread_that_has_been_renamed_is_found_by_its_command_still(world, ada):
    made = create(world, ada, title="once")
    world.say(ada, "a1", "rename_thread", thread_id=made["thread_id"], title="renamed")
    assert create(world, ada, title="once") == {**made, "title": "renamed"}


def test_other_commands_make_other_threads(world, ada, bob):
    """H3, H7: also another user's with the same id."""
    world.connect(bob, "b1")
    ids = {create(world, ada, command_id=f"c{number}")["thread_id"] for number in range(4)}
    ids.add(create(world, bob, connection_id="b1", command_id="c0")["thread_id"])
    assert len(ids) == 5


def test_a_thread_s_id_is_not_its_command_s_run(world, ada):
    """Both are derived from what the client chooses."""
    thread = create(world, ada, command_id="same")["thread_id"]
    assert thread != world.send(ada, "a1", "hi", message_id="same")["run_id"]


async def test_what_was_given_to_it_stays(world, ada):
    """H4."""
    made = create(world, ada, title="before", metadata={"deep": {"er": [1, "ä", None]}})
    [renamed] = world.say(ada, "a1", "rename_thread", thread_id=made["thread_id"], title="after")
    assert renamed == {"thread_id": made["thread_id"], "title": "after"}
    world.send(ada, "a1", "hi", message_id="m1", thread_id=made["thread_id"])
    await world.work()
    world.say(ada, "a1", "switch_thread", thread_id=made["thread_id"])
    [thread] = listed(world, ada)["threads"]
    assert (thread["title"], thread["metadata"]) == ("after", made["metadata"])


def test_the_other_connections_are_notified_of_a_new_title(world, ada):
    world.connect(ada, "a2")
    made = create(world, ada)
    world.say(ada, "a1", "rename_thread", thread_id=made["thread_id"], title="new")
    assert heard(world, "a2")[1:] == [("thread_renamed", {"thread_id": made["thread_id"], "title": "new"})]


async def test_the_newest_activity_comes_first(world, ada, clock):
    threads = []
    for number in range(3):
        clock.advance(1)
        threads.append(create(world, ada, command_id=f"c{number}")["thread_id"])
    clock.advance(1)
    world.send(ada, "a1", "hi", message_id="m1", thread_id=threads[0])
    await world.work()
    assert [thread["thread_id"] for thread in listed(world, ada)["threads"]] == [threads[0], threads[2], threads[1]]


def all_threads(world, who, **payload):
    pages: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = listed(world, who, **payload, **cursor)
        pages.append(page["threads"])
        if "cursor" not in page:
            return pages
        cursor = {"cursor": page["cursor"]}


def test_a_list_comes_in_pages(world, ada, clock):
    made: list[str] = []
    for number in range(7):
        clock.advance(1)
        made.insert(0, create(world, ada, command_id=f"c{number}")["thread_id"])
    pages = all_threads(world, ada, limit=3)
    assert [thread["thread_id"] for page in pages for thread in page] == made
    assert [len(page) for page in pages][:2] == [3, 3]


def test_a_page_of_the_list_fits_a_frame(world, ada, clock):
    """However much stands in it, and nothing is left out."""
    made: list[str] = []
    for number in range(30):
        clock.advance(1)
        command = {"command_id": f"c{number}", "title": "\x01" * 200, "metadata": {"x": "y" * 2000}}
        made.insert(0, create(world, ada, **command)["thread_id"])
    pages = all_threads(world, ada, limit=100)
    assert len(pages) > 2
    assert all(len(msgspec.json.encode(page)) <= 30 * KB for page in pages)
    assert [thread["thread_id"] for page in pages for thread in page] == made


def fill(world, who, thread_id, numbers, *, content="message {}"):
    """Write a transcript as runs would have left it."""
    partition = f"USER#{who.user}#THREAD#{thread_id}"
    table = world.storage._table
    for number in numbers:
        row = {"message_id": f"m{number}", "role": "user", "truncated": False, "created_at": number}
        row |= {"PK": partition, "SK": f"MESSAGE#{number:012}", "content": content.format(number)}
        table._client.put_item(TableName="agentsocket", Item=_stored(row))


def _stored(row):
    kinds = {str: "S", bool: "BOOL", int: "N"}
    return {name: {kinds[type(value)]: str(value) if type(value) is int else value} for name, value in row.items()}


def test_a_hundred_messages_in_pages_of_25(world, ada):
    """H6: no overlap, none missing, and what is said meanwhile shifts nothing."""
    thread = create(world, ada)["thread_id"]
    fill(world, ada, thread, range(1, 101))
    seen: list[list[int]] = []
    cursor: dict[str, str] = {}
    new = 200
    for _ in range(5):
        page = history(world, ada, thread, limit=25, **cursor)
        seen.append([message["seq"] for message in page["messages"]])
        fill(world, ada, thread, range(new, new + 3))
        new += 3
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    newest_first = list(range(100, 0, -1))
    assert seen[:4] == [newest_first[start : start + 25] for start in range(0, 100, 25)]
    assert not any(seen[4:])


@pytest.mark.parametrize("content", ["x" * 24_000, "\x01" * 4000, "ä{}"], ids=["long", "escapes", "short"])
def test_a_page_of_the_history_fits_a_frame(world, ada, content):
    """Long messages are cut and marked; get_content has the whole."""
    thread = create(world, ada)["thread_id"]
    fill(world, ada, thread, range(1, 41), content=content)
    pages: list[Any] = []
    cursor: dict[str, Any] = {}
    while not pages or "cursor" in pages[-1]:
        pages.append(history(world, ada, thread, limit=100, **cursor))
        cursor = {"cursor": pages[-1].get("cursor")}
        assert len(msgspec.json.encode(pages[-1])) <= 30 * KB
    messages = [message for page in pages for message in page["messages"]]
    assert [message["seq"] for message in messages] == list(range(40, 0, -1))
    assert all(message["truncated"] == (len(content) > 2 * KB) for message in messages)
    assert all(len(message["content"].encode()) <= 2 * KB for message in messages)


async def test_a_history_is_what_was_said(world, ada):
    accepted = world.send(ada, "a1", "Is it?", message_id="m1")
    await world.work()
    page = history(world, ada, accepted["thread_id"])
    assert [(m["role"], m["content"]) for m in page["messages"]] == [("assistant", "It is so."), ("user", "Is it?")]
    assert "cursor" not in page


@pytest.mark.parametrize("cursor", ["0", "-1", "x", "1.5", "٣", "9" * 30, "1\n"])
@pytest.mark.parametrize("command", ["get_thread_history", "list_threads"])
def test_a_cursor_that_is_none_is_refused(world, ada, command, cursor):
    named = {"thread_id": create(world, ada)["thread_id"]} if command == "get_thread_history" else {}
    if command == "list_threads":
        cursor = {"0": "0.#", "1.5": ".t"}.get(cursor, f"{cursor}.t")
    with pytest.raises(BadRequest) as refused:
        world.say(ada, "a1", command, cursor=cursor, **named)
    assert refused.value.field == "payload.cursor"


async def test_a_switch_leaves_every_other_thread(world, ada):
    """H2, E3: from then on only this one's events come."""
    first, second = (create(world, ada, command_id=f"c{number}")["thread_id"] for number in range(2))
    world.say(ada, "a1", "subscribe", thread_id=first)
    switched, subscribed, snapshot = world.say(ada, "a1", "switch_thread", thread_id=second)
    assert switched == {"thread_id": second}
    assert (subscribed["thread_id"], subscribed["recovered"]) == (second, False)
    assert snapshot["messages"] == []
    world.connect(ada, "a2")
    for thread, message_id in ((first, "m1"), (second, "m2")):
        world.send(ada, "a2", "hi", message_id=message_id, thread_id=thread)
        await world.work()
    assert {event["thread_id"] for event in world.sockets.events("a1")} == {second}


async def test_a_switch_with_a_position_brings_what_was_missed(world, ada):
    thread = create(world, ada)["thread_id"]
    accepted = world.send(ada, "a1", "hi", message_id="m1", thread_id=thread)
    await world.work()
    since = {"epoch": accepted["epoch"], "seq": 2}
    _, subscribed, batch = world.say(ada, "a1", "switch_thread", thread_id=thread, since=since)
    assert subscribed["recovered"] is True
    assert [event["seq"] for event in batch["events"]] == list(range(3, subscribed["seq"] + 1))


THREAD_COMMANDS = {
    "rename_thread": {"title": "mine"},
    "delete_thread": {},
    "get_thread_history": {},
    "switch_thread": {},
    "subscribe": {},
}


@pytest.mark.parametrize("command", THREAD_COMMANDS)
def test_another_user_s_thread_is_not_found(world, ada, bob, command):
    """E6: nothing changes."""
    made = create(world, ada, title="Ada's")
    world.connect(bob, "b1")
    with pytest.raises(NotFound):
        world.say(bob, "b1", command, thread_id=made["thread_id"], **THREAD_COMMANDS[command])
    assert listed(world, ada) == {"threads": [made]}


@pytest.mark.parametrize("command", THREAD_COMMANDS)
def test_a_deleted_thread_is_not_found(world, ada, command):
    """H5: and the command that made it makes it no more."""
    made = create(world, ada)
    world.say(ada, "a1", "delete_thread", thread_id=made["thread_id"])
    body = {"thread_id": made["thread_id"], **THREAD_COMMANDS[command]}
    frame = msgspec.json.encode({"type": command, "payload": body, "id": "another"}).decode()
    with pytest.raises(NotFound):
        list(world.receive(SocketRequest(ada, "a1", frame)))
    with pytest.raises(NotFound):
        create(world, ada)
    assert listed(world, ada) == {"threads": []}


@pytest.mark.parametrize(
    "command",
    [
        {"type": "create_thread", "payload": {}},
        {"type": "rename_thread", "payload": {"thread_id": "t", "title": "t"}},
        {"type": "list_threads", "payload": {}},
        {"type": "get_thread_history", "payload": {"thread_id": "t"}},
        {"type": "get_context", "payload": {"name": "user.x"}},
        {"type": "update_context", "payload": {"name": "user.x", "patch": {}}},
    ],
    ids=lambda command: command["type"],
)
def test_a_revoked_token_gets_nothing(world, ada, command):
    """C3."""
    world.storage.for_user(ada).revocations.revoke(session="", not_before=ada.issued_at)
    with pytest.raises(Disconnect) as ended:
        list(world.receive(SocketRequest(ada, "a1", msgspec.json.encode(command).decode())))
    assert ended.value.code == "revoked"


def test_metadata_has_a_bound(world, ada):
    with pytest.raises(TooLarge) as refused:
        create(world, ada, metadata={"x": "y" * 2 * KB})
    assert refused.value.field == "payload.metadata"


def test_a_title_has_a_bound(world, ada):
    with pytest.raises(BadRequest) as refused:
        create(world, ada, title="x" * 201)
    assert refused.value.field == "payload.title"
