"""L4: a deployment's overrides of limits, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from lambdakit.limits import overrides
from tests.support import text_rules

DEFAULTS = {"lease_s": 20, "visibility_s": 30, "page_items": 100}


class WrongSetting(Exception):
    """The caller's own error."""


def read(text):
    return overrides(
        text,
        variable="LIMITS",
        defaults=DEFAULTS,
        at_most={"page_items": 200},
        at_least={"page_items": 10},
        below=(("lease_s", "visibility_s"),),
        error=WrongSetting,
    )


def test_only_what_is_overridden_comes_back():
    assert read("{}") == {}
    assert read('{"page_items": 200, "lease_s": 29}') == {"page_items": 200, "lease_s": 29}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "nonsense",
            'LIMITS is not JSON (at character 0): give an object such as {"lease_s": 5}, or {} for the defaults',
        ),
        ("[" * 100_000, 'LIMITS is not JSON that can be read: give an object such as {"lease_s": 5}, or {} for'),
        ("[5]", 'LIMITS must be a JSON object: give an object such as {"lease_s": 5}, or {} for the defaults'),
        ('{"lease": 5}', "LIMITS names 'lease', which is no limit; did you mean 'lease_s'?"),
        ('{"q": 5}', "LIMITS names 'q', which is no limit; limits.py lists them"),
        ('{"lease_s": 0}', "LIMITS: lease_s must be a positive whole number, not 0"),
        ('{"lease_s": true}', "LIMITS: lease_s must be a positive whole number, not true"),
        ('{"lease_s": 1.5}', "LIMITS: lease_s must be a positive whole number, not 1.5"),
        ('{"lease_s": "5"}', 'LIMITS: lease_s must be a positive whole number, not "5"'),
        ('{"page_items": 201}', "LIMITS: page_items must be at most 200, not 201"),
        ('{"page_items": 9}', "LIMITS: page_items must be at least 10, not 9"),
        ('{"lease_s": 30}', "LIMITS: lease_s (30) must be less than visibility_s (30)"),
        ('{"visibility_s": 5}', "LIMITS: lease_s (20) must be less than visibility_s (5)"),
    ],
)
def test_a_wrong_override_is_one_sentence_with_its_name_its_value_and_what_is_right(text, said):
    with pytest.raises(WrongSetting) as refused:
        read(text)
    assert str(refused.value).startswith(said)
    assert text_rules.faults(str(refused.value)) == []
