from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.protocol.strict_json import StrictJSONError, loads
from tests.support import text_rules

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
        ("", "is not valid JSON: it is empty"),
        (" \n", "is not valid JSON: it is empty"),
        ("{'a': 1}", "is not valid JSON: a key in double quotes is missing at character 2"),
        ('{"a" 1}', "is not valid JSON: a colon is missing at character 6"),
        ("[1 2]", "is not valid JSON: a comma or a closing bracket is missing at character 4"),
        ("[1, ,2]", "is not valid JSON: a value is missing at character 5"),
        ("nonsense", "is not valid JSON: a value is missing at character 1"),
        ("1 2", "is not valid JSON: more text follows at character 3"),
        ('{"a": 1', "is not valid JSON: it ends too early, after character 7"),
        ('["abc', "is not valid JSON: a string is not closed, which begins at character 2"),
        ('"a\tb"', "is not valid JSON: a control character must be escaped at character 3"),
        (r'"\q"', "is not valid JSON: a backslash begins no escape at character 2"),
        (r'"\u12g4"', "is not valid JSON: an escape \\u needs four hexadecimal digits at character 3"),
        ("\ufeff{}", "is not valid JSON: a byte order mark precedes it at character 1"),
        ('{"a": 1, "a": 2}', 'is not valid JSON: duplicate key "a"'),
        ('{"a": 1, "b": 2, "b": 3, "a": 4}', 'is not valid JSON: duplicate key "b"'),
        ('[{"b": {"a": 1, "a": 1}}]', 'is not valid JSON: duplicate key "a"'),
        ("NaN", "is not valid JSON: NaN is not a JSON number"),
        ("[-Infinity]", "is not valid JSON: -Infinity is not a JSON number"),
        ("1e999", "has a number beyond 1.8e308, the limit; send it as text"),
        ("9007199254740993", "has an integer of 16 digits; the limit is 2^53; send it as text"),
        ("-9007199254740993", "has an integer of 16 digits; the limit is 2^53; send it as text"),
        ("9" * 5000, "has an integer of 5,000 digits; the limit is 2^53; send it as text"),
        (r'"\ud800"', "holds half of a surrogate pair; escape both halves"),
        (r'{"\udfff": 1}', "holds half of a surrogate pair; escape both halves"),
        ("[" * 17 + "]" * 17, "is nested 17 levels deep; the limit is 16"),
        ("[" * 100_000, "is nested 100,000 levels deep; the limit is 16"),
    ],
)
def test_each_trap_is_refused_by_name(text, reason):
    """Each text to the letter: they are ours, whatever Python's decoder says in its next version."""
    with pytest.raises(StrictJSONError) as refused:
        loads(text, max_nesting=16)
    assert str(refused.value) == reason


@pytest.mark.parametrize("text", ["[1,]", '{"a": 1,}'])
def test_a_comma_too_many_is_named_in_one_of_two_ways(text):
    """From Python 3.13 on the decoder tells it apart."""
    with pytest.raises(StrictJSONError, match=r"(a comma precedes a closing bracket|is missing) at character"):
        loads(text, max_nesting=16)


def test_thousands_of_keys_are_searched_for_the_one_that_is_there_twice_in_no_time():
    keys = ", ".join(f'"{number}": 0' for number in range(20_000))
    with pytest.raises(StrictJSONError, match='duplicate key "19999"'):
        loads(f'{{{keys}, "19999": 1}}', max_nesting=16)


@given(st.text(alphabet='{}[]",:\\u0123abtrue \n\t'))
def test_no_word_of_the_decoder_s_is_handed_on(text):
    try:
        loads(text, max_nesting=16)
    except StrictJSONError as refused:
        assert text_rules.faults(f"the frame {refused}") == []  # noqa: PT017 (either is right)


def test_brackets_inside_strings_are_no_nesting():
    assert loads(json.dumps("[" * 100), max_nesting=1) == "[" * 100


def test_surrogate_pairs_are_characters():
    assert loads(r'"\ud83d\ude00"', max_nesting=1) == "\N{GRINNING FACE}"


def test_the_largest_exact_integer_passes():
    assert loads(str(2**53), max_nesting=1) == 2**53
