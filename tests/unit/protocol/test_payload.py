"""What all payloads share, as the wire shows it."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET, UnsetType, field

from agentsocket.protocol import messages as protocol
from agentsocket.protocol.payload import JSONObject, Payload


class Parcel(Payload):
    weight: int
    label: str = ""
    sender: str | UnsetType = UNSET
    customs: JSONObject = field(default_factory=dict)


class Letter(Parcel):
    stamp: str = "red"


def test_what_is_not_said_is_absent():
    assert msgspec.json.encode(Parcel(weight=1)) == b'{"weight":1}'
    assert msgspec.json.encode(Letter(weight=1, label="", stamp="red")) == b'{"weight":1}'


def test_what_is_said_is_there_and_comes_back():
    letter = Letter(weight=1, label="x", sender="y", customs={"a": [1, None]}, stamp="blue")
    written = msgspec.json.encode(letter)
    assert msgspec.json.decode(written) == {
        "weight": 1,
        "label": "x",
        "sender": "y",
        "customs": {"a": [1, None]},
        "stamp": "blue",
    }
    assert msgspec.json.decode(written, type=Letter) == letter


@pytest.mark.parametrize("shape", [Parcel, Letter])
@pytest.mark.parametrize("given", [{"weight": 1, "colour": "red"}, {"weight": 1, "Label": "x"}, {}, {"weight": "1"}])
def test_unknown_missing_and_wrong_fields_are_refused(shape, given):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, shape)


def test_no_two_payloads_share_an_object():
    assert Parcel(weight=1).customs is not Parcel(weight=1).customs


@pytest.mark.parametrize("shape", [*protocol.COMMANDS.values(), *protocol.EVENTS.values(), *protocol.CONTROL.values()])
def test_every_message_keeps_these_rules(shape):
    """A class may switch off for itself what it inherits."""
    options = shape.__struct_config__
    assert issubclass(shape, Payload)
    assert (options.forbid_unknown_fields, options.omit_defaults, options.array_like) == (True, True, False)
