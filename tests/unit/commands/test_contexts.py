"""What is remembered: by clients, by agents, and what each of them gets to see of the other's."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from agentsocket.agents.contract import Remember, Report, Text
from agentsocket.errors import BadRequest, RunUnfinished, TooLarge, Unavailable, VersionConflict
from agentsocket.limits import Limits
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(command_burst=10_000, max_remembered=5, max_remembered_bytes=2048)


@pytest.fixture
def limits():
    return LIMITS


@pytest.fixture
def world(storage, runtime, ada):
    world = World(storage, runtime, Scripted([Text("Yes."), Report()]))
    world.connect(ada, "a1")
    return world


class Remembering(Scripted):
    """A scripted agent that declares names."""

    remembers = ("user.likes", "thread.step", "agent.notes")


def get(world, who, name="user.likes", connection_id="a1"):
    [context] = world.say(who, connection_id, "get_context", name=name)
    return context


def change(world, who, patch, name="user.likes", connection_id="a1", **payload):
    [context] = world.say(who, connection_id, "update_context", name=name, patch=patch, **payload)
    return context


def contexts(world, connection_id):
    return [frame["payload"] for frame in world.sockets.posted[connection_id] if frame["type"] == "context"]


async def answer(world, who, *script, message_id="m1", **payload):
    world.agent = Remembering([*script, Report()])
    accepted = world.send(who, "a1", "hi", message_id=message_id, **payload)
    await world.work()
    return accepted


def errors(world, connection_id="a1"):
    events = world.sockets.events(connection_id)
    return [event["payload"]["error_type"] for event in events if event["type"] == "agent_error"]


def test_nothing_is_remembered_at_first(world, ada):
    assert get(world, ada) == {"name": "user.likes", "value": {}, "version": 0}


def test_a_change_is_a_merge_patch(world, ada):
    """RFC 7386."""
    change(world, ada, {"tea": {"green": True, "black": False}, "milk": 1})
    changed = change(world, ada, {"tea": {"black": None}, "milk": None, "sugar": []})
    assert changed["value"] == {"tea": {"green": True}, "sugar": []}
    assert get(world, ada) == changed


def test_versions_grow(world, ada):
    versions = [change(world, ada, {"n": number})["version"] for number in range(3)]
    assert versions == sorted(set(versions))
    assert versions[0] > 0


def test_of_two_changes_to_one_version_one_is_refused(world, ada):
    """K4."""
    before = change(world, ada, {"n": 1})["version"]
    change(world, ada, {"n": 2}, version=before)
    with pytest.raises(VersionConflict):
        change(world, ada, {"n": 3}, version=before)
    assert get(world, ada)["value"] == {"n": 2}


def test_the_first_of_two_that_find_nothing_wins(world, ada):
    """K4: version 0 is that there is none."""
    change(world, ada, {"n": 1}, version=0)
    with pytest.raises(VersionConflict):
        change(world, ada, {"n": 2}, version=0)


def test_the_other_connections_are_notified_of_a_change(world, ada, bob):
    world.connect(ada, "a2")
    world.connect(bob, "b1")
    changed = change(world, ada, {"n": 1})
    assert (contexts(world, "a1"), contexts(world, "a2"), contexts(world, "b1")) == ([], [changed], [])


def test_users_remember_apart(world, ada, bob):
    """E7."""
    world.connect(bob, "b1")
    change(world, ada, {"n": 1})
    assert get(world, bob, connection_id="b1")["version"] == 0
    change(world, bob, {"n": 2}, connection_id="b1")
    assert get(world, ada)["value"] == {"n": 1}


@pytest.mark.parametrize("name", ["agent.notes", "thread.step", "user.", "user", "users.x", "user.a/b", "user.x\n"])
@pytest.mark.parametrize("command", ["get_context", "update_context"])
def test_clients_see_their_own_names_only(world, ada, name, command):
    patch: dict[str, Any] = {"patch": {}} if command == "update_context" else {}
    with pytest.raises(BadRequest) as refused:
        world.say(ada, "a1", command, name=name, **patch)
    assert refused.value.field == "payload.name"


def test_what_is_too_large_is_refused(world, ada):
    change(world, ada, {"a": "x" * 1200})
    with pytest.raises(TooLarge):
        change(world, ada, {"b": "x" * 1200})
    assert get(world, ada)["value"].keys() == {"a"}


def test_so_many_names_and_no_more(world, ada):
    for number in range(5):
        change(world, ada, {"n": 1}, name=f"user.{number}")
    with pytest.raises(BadRequest):
        change(world, ada, {"n": 1}, name="user.5")
    change(world, ada, {"n": 2}, name="user.0")


# Agents.


async def test_an_agent_gets_what_it_declares_and_nothing_else(world, ada):
    change(world, ada, {"tea": True})
    change(world, ada, {"secret": True}, name="user.else")
    await answer(world, ada)
    assert world.agent.turns[0].remembered == {"user.likes": {"tea": True}, "thread.step": {}, "agent.notes": {}}


async def test_what_an_agent_remembers_it_gets_in_the_next_turn(world, ada):
    """H2: what is the thread's stays in that thread."""
    script = (
        Remember("thread.step", {"at": 1}),
        Remember("agent.notes", {"seen": 1}),
        Remember("user.likes", {"x": 1}),
    )
    first = await answer(world, ada, *script)
    await answer(world, ada, message_id="m2", thread_id=first["thread_id"])
    assert world.agent.turns[0].remembered == {
        "user.likes": {"x": 1},
        "thread.step": {"at": 1},
        "agent.notes": {"seen": 1},
    }
    await answer(world, ada, message_id="m3")
    assert world.agent.turns[0].remembered["thread.step"] == {}
    assert world.agent.turns[0].remembered["agent.notes"] == {"seen": 1}


async def test_clients_are_notified_of_what_they_may_see_and_of_nothing_else(world, ada, bob):
    world.connect(ada, "a2")
    world.connect(bob, "b1")
    await answer(world, ada, Remember("user.likes", {"tea": 1}), Remember("agent.notes", {"n": 1}))
    for connection_id in ("a1", "a2"):
        assert [context["name"] for context in contexts(world, connection_id)] == ["user.likes"]
        assert contexts(world, connection_id)[0] == get(world, ada)
    assert contexts(world, "b1") == []


async def test_the_next_attempt_goes_on_from_what_was_remembered(world, ada, clock):
    """K3: the checkpoint outlives the worker."""

    class Dying(Remembering):
        async def run(self, turn):
            async for event in super().run(turn):
                yield event
            raise Unavailable("the worker is gone")

    world.agent = Dying([Remember("thread.step", {"at": 7})])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    record = world.queue.take()
    with pytest.raises(RunUnfinished):
        await world.work(record)
    clock.advance(60)
    world.agent = Remembering([Text("Done."), Report()])
    await world.work(record)
    assert world.agent.turns[0].remembered["thread.step"] == {"at": 7}
    run = world.storage.for_user(ada).runs.get(accepted["run_id"])
    assert run is not None
    assert (run.state, run.attempts) == ("completed", 2)


@pytest.mark.parametrize(
    "wrong",
    [Remember("user.likes", {"x": "y" * 3000}), Remember("user.hates", {}), Remember("", {})],
    ids=["too large", "not declared", "empty"],
)
async def test_what_cannot_be_remembered_ends_the_run_and_says_so(world, ada, wrong):
    await answer(world, ada, wrong, Text("never said"))
    assert errors(world) == ["context_refused"]


async def test_a_connection_that_takes_no_notification_holds_nothing_up(world, ada):
    """J8: a connection that takes no post costs the run nothing."""
    world.connect(ada, "a2")
    world.sockets.busy.add("a2")
    await answer(world, ada, Remember("user.likes", {"tea": 1}), Text("Yes."))
    assert [event["type"] for event in world.sockets.events("a1")][-1] == "final_report"
    assert get(world, ada)["value"] == {"tea": 1}


async def test_connections_that_cannot_be_read_cost_no_attempt(world, ada):
    """J8: reading the connections to notify fails, once."""
    reads = []

    def fail_once(**_: Any) -> None:
        reads.append(1)
        if len(reads) == 1:
            raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    class Blind(Remembering):
        async def run(self, turn):
            world.storage._table._client.meta.events.register("before-call.dynamodb.Query", fail_once)
            async for event in super().run(turn):
                yield event

    world.agent = Blind([Remember("user.likes", {"tea": 1}), Text("Yes."), Report()])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    run = world.storage.for_user(ada).runs.get(accepted["run_id"])
    assert run is not None
    assert (run.state, run.attempts) == ("completed", 1)
    assert reads


async def test_a_deleted_thread_remembers_nothing(world, ada):
    """H5: gone and staying gone, also for an agent that is still at it."""

    class Late(Remembering):
        async def run(self, turn):
            yield Remember("thread.step", {"at": 1})
            world.say(ada, "a1", "delete_thread", thread_id=thread)
            yield Remember("thread.step", {"at": 2})

    thread = (await answer(world, ada))["thread_id"]
    world.agent = Late([])
    world.send(ada, "a1", "hi", message_id="m2", thread_id=thread)
    await world.work()
    await world.work()
    rows: list[dict[str, Any]] = world.storage._table._client.scan(TableName="agentsocket")["Items"]
    left = {row["SK"]["S"] for row in rows if row["PK"]["S"].endswith(thread)}
    assert left <= {"META"}
