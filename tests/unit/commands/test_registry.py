"""Each command has a function, and costs what it makes the server read."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentsocket.commands import registry
from agentsocket.errors import RateLimited
from agentsocket.limits import Limits
from agentsocket.protocol import messages
from agentsocket.storage.user import Storage
from tests.support.fakes import Scripted
from tests.support.world import World

LIMITS = Limits(replay_cost=10, max_resume_threads=10)


def points(number):
    return [messages.ResumePoint(epoch="e", seq=1, thread_id=f"t{each}") for each in range(number)]


def test_every_command_but_a_message_has_a_function():
    """`relay.start_run` takes the message."""
    assert set(registry.COMMANDS) == set(messages.COMMANDS.values()) - {messages.SendMessage}
    assert len(set(registry.COMMANDS.values())) == len(registry.COMMANDS)


@pytest.mark.parametrize(
    ("command", "cost"),
    [
        (messages.Ping(), 0),
        (messages.GetHealth(), 0),
        (messages.RefreshToken(token="t"), 0),
        (messages.Unsubscribe(thread_id="t"), 0),
        (messages.StopAgent(run_id="r"), 0),
        (messages.StopAgent(message_id="m"), 1),
        (messages.Subscribe(thread_id="t"), 10),
        (messages.SwitchThread(thread_id="t"), 10),
        (messages.Hello(protocol=1), 1),
        (messages.Hello(protocol=1, resume=points(1)), 10),
        (messages.Hello(protocol=1, resume=points(11)), 20),
        (messages.CreateThread(), 1),
        (messages.GetThreadHistory(thread_id="t", limit=10), 1),
        (messages.GetThreadHistory(thread_id="t", limit=11), 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, messages.Payload) else str(value),
)
def test_a_command_costs_what_it_makes_the_server_read(command, cost):
    assert registry.cost(command, LIMITS) == cost


def test_beyond_the_rate_limit_a_command_does_nothing(storage, table, runtime, ada):
    """But what keeps a connection alive goes on."""
    limits = Limits(command_burst=1, commands_per_s=1)
    world = World(Storage(table, limits=limits, generation="1"), replace(runtime, limits=limits), Scripted([]))
    world.connect(ada, "a1")
    with pytest.raises(RateLimited):
        world.say(ada, "a1", "create_thread", title="Costs")
    assert world.storage.for_user(ada).threads.page(limit=10) == ([], "")
    assert world.say(ada, "a1", "ping") == [{}]
