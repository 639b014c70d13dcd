from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.contexts.merge_patch import merge, patched

# RFC 7386, appendix A: original, patch, result.
APPENDIX_A = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=3)


@pytest.mark.parametrize(("original", "patch", "result"), APPENDIX_A)
def test_the_examples_of_the_rfc(original, patch, result):
    assert patched(json.loads(original), json.loads(patch)) == json.loads(result)


def as_the_rfc_writes_it(target, patch):
    """The pseudocode of section 2, in place, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for name, value in patch.items():
        if value is None:
            if name in target:
                del target[name]
        else:
            target[name] = as_the_rfc_writes_it(target.get(name), value)
    return target


@given(OBJECTS, OBJECTS)
def test_a_merge_is_what_the_rfc_s_own_words_make(value, patch):
    assert merge(value, patch) == as_the_rfc_writes_it(copy.deepcopy(value), patch)


@given(OBJECTS, OBJECTS)
def test_neither_side_is_changed(value, patch):
    before = copy.deepcopy((value, patch))
    merge(value, patch)
    assert (value, patch) == before


@given(OBJECTS, OBJECTS)
def test_the_same_patch_again_changes_nothing(value, patch):
    once = merge(value, patch)
    assert merge(once, patch) == once


@given(OBJECTS, OBJECTS)
def test_what_the_patch_does_not_name_stays(value, patch):
    merged = merge(value, patch)
    assert {name: merged.get(name) for name in value.keys() - patch.keys()} == {
        name: value[name] for name in value.keys() - patch.keys()
    }
    assert not [name for name, change in patch.items() if change is None and name in merged]
