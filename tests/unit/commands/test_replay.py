"""Resume and subscribe, through the commands a client sends (protocol.md, Resume)."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agentsocket.agents.contract import Report, Text, Thinking
from agentsocket.aws.management_api import ManagementApi
from agentsocket.errors import Disconnect, NotFound
from agentsocket.handlers import responses
from agentsocket.inputs import SocketRequest
from agentsocket.limits import Limits
from agentsocket.storage.user import Storage
from tests.conftest import principal_of
from tests.support.fakes import Scripted
from tests.support.waiting import until
from tests.support.world import World

LIMITS = Limits()


def big_script(events):
    return [*(Thinking(f"{n} " + "x" * 1900) for n in range(events)), Text("done"), Report()]


@pytest.fixture
def world(storage, runtime):
    return World(storage, runtime, Scripted([Thinking("a"), Text("answer"), Report()]))


@pytest.fixture
async def thread(world, ada):
    """A thread with one finished run of six events."""
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    return accepted


def subscribe(world, who, connection_id, accepted, seq=None, epoch=None):
    since = {} if seq is None else {"since": {"epoch": epoch or accepted["epoch"], "seq": seq}}
    return world.say(who, connection_id, "subscribe", thread_id=accepted["thread_id"], **since)


async def test_resume_replays_what_was_missed(world, thread, ada):
    subscribed, batch = subscribe(world, ada, "a1", thread, 2)
    assert subscribed == {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": 7, "recovered": True}
    assert [event["seq"] for event in batch["events"]] == [3, 4, 5, 6, 7]
    assert batch["more"] is False
    assert batch["events"] == world.sockets.events("a1")[2:]


async def test_who_has_everything_gets_an_empty_replay(world, thread, ada):
    subscribed, batch = subscribe(world, ada, "a1", thread, 7)
    assert (subscribed["recovered"], subscribed["seq"], batch) == (True, 7, {"events": [], "more": False})


async def test_hello_resumes_threads(world, thread, ada):
    world.open(ada, "a2")
    point = {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": 5}
    welcome, subscribed, batch = world.say(ada, "a2", "hello", protocol=1, resume=[point])
    assert welcome["connection_id"] == "a2"
    assert subscribed["recovered"] is True
    assert [event["seq"] for event in batch["events"]] == [6, 7]


async def test_hello_replies_for_every_thread_also_those_it_cannot_find(world, thread, ada):
    point = {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": 7}
    _, error, subscribed, _ = world.say(
        ada, "a1", "hello", protocol=1, resume=[{**point, "thread_id": "nowhere"}, point]
    )
    assert (error["code"], error["field"]) == ("not_found", "payload.resume[0].thread_id")
    assert subscribed["recovered"] is True


async def test_hello_resumes_ten_threads_and_the_rest_by_snapshot(world, thread, ada):
    point = {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": 0}
    responses = world.say(ada, "a1", "hello", protocol=1, resume=[point] * 11)
    answers = [reply for reply in responses if "recovered" in reply]
    assert [answer["recovered"] for answer in answers] == [True] * 10 + [False]
    assert answers[-1]["reason"] == "limit"


async def test_what_hello_may_not_resume_it_does_not_read(world, thread, ada, dynamodb):
    """A thread beyond the tenth costs no replay that would be thrown away, also when nothing of it was missed."""
    point = {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": 7}
    assert [reply["recovered"] for reply in resumed(world, ada, [point] * 11)] == [True] * 10 + [False]
    reads = []
    dynamodb.meta.events.register("before-call.dynamodb.Query", lambda **_kwargs: reads.append(True))
    resumed(world, ada, [point] * 10)
    ten = len(reads)
    resumed(world, ada, [point] * 11)
    assert len(reads) - 2 * ten == 2  # of the snapshot: the tail and the transcript


def resumed(world, who, points):
    return [reply for reply in world.say(who, "a1", "hello", protocol=1, resume=points) if "recovered" in reply]


async def test_another_epoch_gets_a_snapshot(world, thread, ada):
    subscribed, snapshot = subscribe(world, ada, "a1", thread, 2, epoch="1.other")
    assert (subscribed["recovered"], subscribed["reason"], subscribed["epoch"]) == (False, "epoch", thread["epoch"])
    assert (snapshot["seq"], snapshot["epoch"]) == (7, thread["epoch"])
    assert [(m["role"], m["content"]) for m in snapshot["messages"]] == [("user", "hi"), ("assistant", "answer")]


async def test_a_seq_beyond_the_log_means_a_new_epoch(world, thread, ada):
    """delivery.md, Cursors: the client has seen what the log does not know."""
    subscribed, snapshot = subscribe(world, ada, "a1", thread, 8)
    assert (subscribed["recovered"], subscribed["reason"]) == (False, "epoch")
    assert subscribed["epoch"] == snapshot["epoch"] != thread["epoch"]
    again, _ = subscribe(world, ada, "a1", thread, 7, epoch=subscribed["epoch"])
    assert again["recovered"] is True


def limited(storage, limits):
    """The same table, in a deployment with other limits."""
    return Storage(storage._table, limits=limits, generation="1")


async def test_what_lies_too_far_back_is_not_replayed(thread, storage, runtime, ada):
    """delivery.md, Cursors: the log is kept for a day, and for so many events."""
    near = World(limited(storage, Limits(log_max_events=5)), runtime, Scripted([]))
    recovered, _ = subscribe(near, ada, "a1", thread, 2)
    trimmed, snapshot = subscribe(near, ada, "a1", thread, 1)
    assert recovered["recovered"] is True
    assert (trimmed["recovered"], trimmed["reason"], snapshot["seq"]) == (False, "trimmed", 7)


async def test_an_expired_log_is_a_snapshot_and_never_a_hole(world, thread, ada, clock, storage):
    """D8."""
    clock.advance(LIMITS.event_row_s + 1)
    ada = principal_of("ada", clock)
    world.open(ada, "a1")
    subscribed, snapshot = subscribe(world, ada, "a1", thread, 2)
    assert (subscribed["recovered"], subscribed["reason"]) == (False, "trimmed")
    assert snapshot["seq"] == 7


async def test_a_subscriber_who_names_no_position_gets_a_snapshot(world, thread, ada):
    subscribed, snapshot = subscribe(world, ada, "a1", thread)
    assert subscribed["recovered"] is False
    assert "reason" not in subscribed
    assert len(snapshot["messages"]) == 2


async def test_a_long_replay_comes_in_frames_that_fit(world, ada):
    world.agent = Scripted(big_script(100))
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    subscribed, *batches = subscribe(world, ada, "a1", accepted, 0)
    assert subscribed["recovered"] is True
    assert [batch["more"] for batch in batches] == [True] * (len(batches) - 1) + [False]
    events = [event for batch in batches for event in batch["events"]]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events == world.sockets.events("a1")


async def test_a_replay_over_the_limit_is_a_snapshot(world, ada):
    world.agent = Scripted(big_script(300))
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    await world.work()
    subscribed, _ = subscribe(world, ada, "a1", accepted, 0)
    assert (subscribed["recovered"], subscribed["reason"]) == (False, "limit")
    top = subscribed["seq"]
    recovered, _ = subscribe(world, ada, "a1", accepted, top - 3)
    assert recovered["recovered"] is True


async def test_a_snapshot_fits_a_frame_whatever_was_said(world, ada):
    world.connect(ada, "a1")
    accepted = world.send(ada, "a1", '"' * 20_000, message_id="m0")
    await world.work()
    for number in range(1, 30):
        world.send(ada, "a1", '"' * 20_000, message_id=f"m{number}", thread_id=accepted["thread_id"])
        await world.work()
    frames = [frame for frame in _frames(world, ada, "a1", accepted) if frame.startswith(b'{"type":"thread_snapshot"')]
    assert len(frames) == 1
    assert len(frames[0]) <= LIMITS.max_outbound_frame_bytes


def _frames(world, who, connection_id, accepted):
    body = f'{{"type":"subscribe","payload":{{"thread_id":"{accepted["thread_id"]}"}}}}'
    request = SocketRequest(who, connection_id, body)
    sent = []

    class Recorder(ManagementApi):
        def __init__(self):
            """No client: nothing leaves."""

        def post(self, _connection_id, frame):
            sent.append(frame)
            return "delivered"

    assert responses.respond(world.receive, request, Recorder(), now=lambda: 1.0) is None
    return sent


async def test_another_user_s_thread_is_not_found(world, thread, bob):
    """E6."""
    world.connect(bob, "b1")
    with pytest.raises(NotFound):
        subscribe(world, bob, "b1", thread, 0)
    with pytest.raises(NotFound):
        world.say(bob, "b1", "unsubscribe", thread_id=thread["thread_id"])
    assert world.storage.for_user(bob).connections.activity().connections[0].subscriptions == {}


async def test_subscribing_on_a_lost_connection_ends_it(world, thread, ada):
    with pytest.raises(Disconnect):
        subscribe(world, ada, "nowhere", thread, 0)


async def test_the_cursor_is_written_before_the_log_is_read_and_moved_after_the_last_frame(world, thread, ada):
    """delivery.md, Cursors: what is appended meanwhile is sent twice rather than not at all."""
    body = (
        f'{{"type":"subscribe","payload":{{"thread_id":"{thread["thread_id"]}",'
        f'"since":{{"epoch":"{thread["epoch"]}","seq":2}}}}}}'
    )
    steps = world.receive(SocketRequest(ada, "a1", body))

    def cursor():
        [connection] = world.storage.for_user(ada).connections.activity().connections
        return connection.subscriptions[thread["thread_id"]].cursor

    cursors = [cursor() for _ in steps]
    assert cursors == [2, 2]
    assert cursor() == 7


async def test_unsubscribed_means_no_more_events(world, thread, ada):
    subscribe(world, ada, "a1", thread, 7)
    [answer] = world.say(ada, "a1", "unsubscribe", thread_id=thread["thread_id"])
    assert answer == {"thread_id": thread["thread_id"]}
    assert world.storage.for_user(ada).connections.activity().connections[0].subscriptions == {}


async def test_a_log_that_has_lost_its_beginning_is_not_replayed_from_there(world, thread, ada, clock):
    """D8: the events after a gap are there; what is before them is not, so none is sent."""
    clock.advance(LIMITS.event_row_s - 60)
    ada = principal_of("ada", clock)
    world.open(ada, "a1")
    world.say(ada, "a1", "hello", protocol=1)
    world.send(ada, "a1", "later", message_id="m2", thread_id=thread["thread_id"])
    await world.work()
    clock.advance(61)
    subscribed, snapshot = subscribe(world, ada, "a1", thread, 2)
    assert (subscribed["recovered"], subscribed["reason"], snapshot["seq"]) == (False, "trimmed", 14)
    assert subscribe(world, ada, "a1", thread, 7)[0]["recovered"] is True


async def test_a_snapshot_during_a_run_has_the_text_so_far(world, ada):
    world.connect(ada, "a1")
    world.agent = Scripted([Text("so far"), 60.0])
    accepted = world.send(ada, "a1", "hi", message_id="m1")
    working = asyncio.create_task(world.work())
    await until(lambda: len(world.sockets.events("a1")) == 3)
    _, snapshot = subscribe(world, ada, "a1", accepted)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    run = accepted["run_id"]
    assert snapshot["active_run"] == {"run_id": run, "message_id": f"{run}.1", "content": "so far"}
    assert snapshot["seq"] == 3


async def test_hello_replays_a_bounded_number_of_bytes_in_all(storage, runtime, ada):
    """delivery.md, Cursors: 1 MB in all; what does not fit is answered by a snapshot, in the order asked."""
    agent = Scripted([Thinking("x" * 1500), Text("done"), Report()])
    world = World(limited(storage, replace(LIMITS, replay_max_bytes=4000)), runtime, agent)
    world.connect(ada, "a1")
    points = []
    for number in range(2):
        accepted = world.send(ada, "a1", "hi", message_id=f"m{number}")
        await world.work()
        points.append({"thread_id": accepted["thread_id"], "epoch": accepted["epoch"], "seq": 0})
    answers = [a for a in world.say(ada, "a1", "hello", protocol=1, resume=points) if "recovered" in a]
    assert [(a["recovered"], a.get("reason")) for a in answers] == [(True, None), (False, "limit")]
