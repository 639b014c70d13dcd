from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.protocol.strict_json import StrictJSONError, loads

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON_VALUES)
def test_what_json_writes_is_read_back(value):
    assert loads(json.dumps(value), max_nesting=50) == value


@given(st.text())
def test_any_text_is_read_or_refused_as_strict_json(text):
    try:
        value = loads(text, max_nesting=16)
    except StrictJSONError as refused:
        assert str(refused)  # noqa: PT017 (either is right; anything else raised is not)
    else:
        assert value == json.loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1, "a": 2}', "same key twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "same key twice"),
        ("NaN", "NaN"),
        ("[-Infinity]", "NaN"),
        ("1e999", "too large"),
        ("9007199254740993", "larger than 2^53"),
        ("-9007199254740993", "larger than 2^53"),
        ("9" * 5000, "larger than 2^53"),
        (r'"\ud800"', "surrogate"),
        (r'{"\udfff": 1}', "surrogate"),
        ("[" * 17 + "]" * 17, "nested deeper than 16"),
        ("[" * 100_000, "nested deeper than 16"),
    ],
)
def test_each_trap_is_refused_by_name(text, reason):
    with pytest.raises(StrictJSONError, match=reason.replace("^", r"\^")):
        loads(text, max_nesting=16)


def test_brackets_inside_strings_are_no_nesting():
    assert loads(json.dumps("[" * 100), max_nesting=1) == "[" * 100


def test_surrogate_pairs_are_characters():
    assert loads(r'"\ud83d\ude00"', max_nesting=1) == "\N{GRINNING FACE}"


def test_the_largest_exact_integer_passes():
    assert loads(str(2**53), max_nesting=1) == 2**53
