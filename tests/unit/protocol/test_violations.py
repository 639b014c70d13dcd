"""What is wrong with a payload: the field is the one that msgspec blames, and every kind of fault has words of ours."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from agentsocket.protocol import messages as protocol
from agentsocket.protocol.payload import JSONObject, Payload
from agentsocket.protocol.violations import Violation, Violations, kind, likely
from tests.support import wrong_commands

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`\Z")
_NAMED = re.compile(r"(?:unknown|required) field `(?P<name>[^`]*)`")
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**13, "", "a b", "t1", "x" * 300, [], [{}], [{"seq": 1}], {}, {"epoch": "e"}, {"x": 1}]
)
NAMES = sorted({name for shape in protocol.COMMANDS.values() for name in shape.__struct_fields__} | {"strange"})


def blamed_by_msgspec(value: Any, shape: Any) -> str | None:
    """The path that msgspec's own text names; None where it has nothing against the value."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        path, named = _PATH.search(str(error)), _NAMED.search(str(error))
        parts = [path["path"] if path else "", named["name"] if named else ""]
        return ".".join(part for part in parts if part)
    return None


def found(value: Any, shape: Any, *, strict: bool = True) -> Violation:
    return Violations(strict=strict).of(value, shape)


@given(st.sampled_from(sorted(protocol.COMMANDS)), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5))
def test_the_first_field_that_is_wrong_is_blamed_as_msgspec_would(command, payload):
    """The one that clients have been told so far."""
    shape = protocol.COMMANDS[command]
    blamed = blamed_by_msgspec(payload, shape)
    if blamed is not None:
        assert found(payload, shape).field == blamed


@pytest.mark.parametrize("command", sorted(protocol.COMMANDS))
def test_every_fault_is_blamed_as_msgspec_would(command):
    shape = protocol.COMMANDS[command]
    for wrong in wrong_commands.every(command):
        if wrong.code == "bad_request":
            assert found(wrong.payload, shape).field == blamed_by_msgspec(wrong.payload, shape)


class Inner(Payload):
    number: Annotated[int, Meta(ge=1, le=1000)]


class Shape(Payload):
    text: Annotated[str, Meta(min_length=1, max_length=3)] = "x"
    pattern: Annotated[str, Meta(pattern="^a$")] = "a"
    said: Annotated[str, Meta(pattern="^a$", extra={"pattern": "the letter a"})] = "a"
    number: Annotated[int, Meta(ge=1, le=1000)] = 1
    free: int = 1
    choice: Literal["a", "b"] = "a"
    one: Annotated[Literal[1], Meta(extra={"other": "{value} is not {allowed}"})] = 1
    things: JSONObject = msgspec.field(default_factory=dict)
    inner: Inner | msgspec.UnsetType = msgspec.UNSET
    several: Annotated[list[Inner], Meta(max_length=2)] = msgspec.field(default_factory=list)
    numbers: list[int] = msgspec.field(default_factory=list)
    either: int | bool = 1


@pytest.mark.parametrize(
    ("value", "field", "text"),
    [
        (7, "", "payload must be an object, not a number"),
        ({"zzz": 1, "number": "x"}, "zzz", None),
        ({"number": "x", "zzz": 1}, "number", None),
        ({"numbr": 1}, "numbr", "unknown field `numbr`; did you mean `number`?"),
        ({"text": None}, "text", "text must be text, not null"),
        ({"text": ""}, "text", "text must not be empty"),
        ({"text": "x" * 2000}, "text", "text is 2,000 characters; the limit is 3"),
        ({"pattern": "b"}, "pattern", "pattern is not valid"),
        ({"said": "b"}, "said", "said must be the letter a"),
        ({"said": True}, "said", "said must be text, not a boolean"),
        ({"number": 0}, "number", "number must be a whole number from 1 to 1,000, not 0"),
        ({"number": 1.5}, "number", "number must be a whole number from 1 to 1,000, not 1.5"),
        ({"number": "7"}, "number", "number must be a whole number from 1 to 1,000, not text"),
        ({"free": []}, "free", "free must be a whole number, not a list"),
        ({"choice": "c"}, "choice", "choice must be a or b, not text"),
        ({"one": 2}, "one", "one 2 is not 1"),
        ({"one": "1"}, "one", "one must be 1, not text"),
        ({"things": []}, "things", "things must be an object, not a list"),
        ({"inner": 7}, "inner", "inner must be an object, not a number"),
        ({"inner": {}}, "inner.number", "inner.number is missing"),
        ({"inner": {"number": 0}}, "inner.number", "inner.number must be a whole number from 1 to 1,000, not 0"),
        ({"several": {}}, "several", "several must be a list, not an object"),
        ({"several": [{"number": 1}] * 3}, "several", "several has 3 items; the limit is 2"),
        ({"several": [{"number": 1}, {}]}, "several[1].number", "several[1].number is missing"),
        ({"several": [7]}, "several[0]", "several[0] must be an object, not a number"),
        ({"numbers": ["x"]}, "numbers", "numbers is not valid"),
        ({"either": "x"}, "either", "either is not valid"),
    ],
)
def test_each_kind_of_fault_has_its_words(value: Any, field: str, text: str | None) -> None:
    """Also those that no command has yet; and what has no words is not left to msgspec."""
    violation = found(value, Shape)
    assert violation.field == field
    assert text is None or violation.text == text


def test_what_is_written_out_is_named_as_the_number_that_it_is():
    text = found({"number": "1001"}, Shape, strict=False).text
    assert text == "number must be a whole number from 1 to 1,000, not 1,001"
    assert found({"number": "9" * 5000}, Shape, strict=False).text.endswith("not text")


def test_fields_that_come_from_elsewhere_are_not_proposed():
    only_title = Violations(strict=True, elsewhere=["thread_id"])
    assert only_title.of({"zzz": 1}, protocol.RenameThread).text == "unknown field `zzz`; allowed: title"
    assert (
        only_title.of({"thread": 1}, protocol.DeleteThread).text == "unknown field `thread`; no field is allowed here"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("text", "content"),
        ("message", "content"),
        ("query", "content"),
        ("conten", "content"),
        ("threadId", "thread_id"),
        ("zzz", ""),
        ("", ""),
        ("x" * 100_000, ""),
    ],
)
def test_what_is_probably_meant(name, meant):
    """Not `context` for `text`, though it looks more alike."""
    assert likely(name, protocol.SendMessage.__struct_fields__) == meant


def test_every_kind_of_json_has_a_name():
    assert len({kind(value) for value in wrong_commands.VALUES}) == 6
    assert kind(object()) == "another value"
