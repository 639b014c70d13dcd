"""The tables of the wire: every shape has one name or is a part of one, and every name one shape."""

from __future__ import annotations

import re
from collections import Counter
from types import ModuleType

import pytest

from agentsocket.protocol import commands, control, events
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.payload import Payload

TABLES = {"COMMANDS": protocol.COMMANDS, "EVENTS": protocol.EVENTS, "CONTROL": protocol.CONTROL}
PARTS = {
    "ActiveRun": "thread_snapshot",
    "ClientInfo": "hello",
    "Dependency": "health",
    "MessageInfo": "thread_history",
    "Position": "subscribe",
    "ResumePoint": "hello",
    "ThreadInfo": "thread_list",
}


def shapes(module: ModuleType) -> dict[str, type[Payload]]:
    """The payloads that a module defines, by their class's names."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Payload) and value.__module__ == module.__name__
    }


@pytest.mark.parametrize(
    ("module", "table"),
    [(commands, "COMMANDS"), (events, "EVENTS"), (control, "CONTROL")],
    ids=["commands", "events", "control"],
)
def test_every_shape_of_a_module_stands_in_its_table_or_is_a_part(module, table):
    whole = {name for name in shapes(module) if name not in PARTS}
    assert {shape.__name__ for shape in TABLES[table].values()} == whole


@pytest.mark.parametrize(("part", "name"), PARTS.items())
def test_a_part_is_part_of_a_message(part, name):
    whole = (protocol.COMMANDS | protocol.CONTROL)[name]
    assert part in str(whole.__annotations__)


def test_no_two_names_share_a_shape():
    """A frame's type is that of its payload's class."""
    used = Counter(shape for table in TABLES.values() for shape in table.values())
    assert [shape for shape, names in used.items() if names > 1] == []


def test_the_server_s_frames_are_told_apart_by_their_type():
    assert not protocol.EVENTS.keys() & protocol.CONTROL.keys()


def test_only_a_question_has_the_same_name_in_both_directions():
    """Other devices see what one device has sent."""
    assert protocol.COMMANDS.keys() & (protocol.EVENTS | protocol.CONTROL).keys() == {"user_message"}


@pytest.mark.parametrize("name", sorted({name for table in TABLES.values() for name in table}))
def test_a_name_is_in_small_letters(name):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)


def test_whoever_imports_the_wire_gets_all_of_it():
    defined = shapes(commands).keys() | shapes(events).keys() | shapes(control).keys()
    assert defined <= set(protocol.__all__)
    assert [name for name in protocol.__all__ if not hasattr(protocol, name)] == []
    assert max(Counter(protocol.__all__).values()) == 1
