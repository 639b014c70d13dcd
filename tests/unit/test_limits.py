from __future__ import annotations

import json

import pytest

from agentsocket.errors import SettingsError
from agentsocket.limits import Limits


def test_overrides_change_what_they_name_and_nothing_else():
    limits = Limits.from_json('{"token_grace_s": 5}')
    assert limits.token_grace_s == 5
    assert limits.lease_s == Limits().lease_s


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "not JSON"),
        ("[]", "must be a JSON object"),
        ('{"token_grace": 5}', "'token_grace', which is no limit"),
        ('{"token_grace_s": 0}', "positive whole number"),
        ('{"token_grace_s": true}', "positive whole number"),
        ('{"token_grace_s": 1.5}', "positive whole number"),
    ],
)
def test_a_wrong_override_is_one_error_naming_it(text, said):
    with pytest.raises(SettingsError, match=said):
        Limits.from_json(text)


@pytest.mark.parametrize(("less", "more"), Limits.BELOW)
def test_limits_that_contradict_each_other_are_refused_by_name(less, more):
    """L4."""
    limits = Limits()
    assert getattr(limits, less) < getattr(limits, more)
    same = Limits.AT_LEAST.get(less, 5)
    with pytest.raises(SettingsError, match=rf"{less} \({same}\) must be less than {more} \({same}\)"):
        Limits.from_json(json.dumps({less: same, more: same}))


def test_a_record_stays_hidden_longer_than_the_lease_lasts():
    """delivery.md, Lease and attempts: a record must not return to a lease that is still fresh."""
    limits = Limits()
    assert limits.visibility_s > limits.lease_s > 2 * limits.renew_every_s


def test_what_is_inline_fits_a_frame():
    limits = Limits()
    assert limits.inline_content_bytes + limits.report_bytes < limits.max_outbound_frame_bytes < 32 * 1024


@pytest.mark.parametrize("name", sorted(Limits.AT_LEAST))
def test_some_limits_have_a_lower_bound(name):
    least = Limits.AT_LEAST[name]
    with pytest.raises(SettingsError, match=f"{name} must be at least {least}"):
        Limits.from_json(json.dumps({name: least - 1}))


@pytest.mark.parametrize("name", sorted(Limits.AT_MOST))
def test_what_would_undo_security_is_refused(name):
    most = Limits.AT_MOST[name]
    assert getattr(Limits(), name) <= most
    assert getattr(Limits.from_json(json.dumps({name: most})), name) == most
    with pytest.raises(SettingsError, match=f"{name} must be at most {most}"):
        Limits.from_json(json.dumps({name: most + 1}))
