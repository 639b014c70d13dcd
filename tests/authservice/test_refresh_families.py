"""The rules of refresh tokens, by themselves."""

from __future__ import annotations

import pytest

from authservice import refresh_families
from authservice.limits import Limits
from authservice.refresh_families import Family, User

NOW = 1_800_000_000
LIMITS = Limits()


def family(*, started=NOW, revoked=False):
    return Family("sid", "ada", "app", frozenset({"chat"}), started, revoked=revoked, notified=False)


@pytest.mark.parametrize(
    ("used_s_ago", "successor_used", "verdict"),
    [
        (None, False, "first use"),
        (0, False, "sibling"),
        (9.999, False, "sibling"),
        (10, False, "sibling"),
        (10.001, False, "theft"),
        (0, True, "theft"),
        (9, True, "theft"),
        (7 * 86400, False, "theft"),
        (-5, False, "sibling"),
    ],
)
def test_a_used_token_is_good_for_ten_seconds_while_no_successor_was_used(used_s_ago, successor_used, verdict):
    used_ms = 0 if used_s_ago is None else round((NOW - used_s_ago) * 1000)
    assert refresh_families.classify_use(used_ms, successor_used, now=NOW, limits=LIMITS) == verdict


@pytest.mark.parametrize(
    ("of", "user", "expected"),
    [
        (None, User("k"), True),
        (family(), User("k"), False),
        (family(revoked=True), User("k"), True),
        (family(), User("k", not_before=NOW), True),
        (family(), User("k", not_before=NOW - 1), False),
        (family(started=NOW + 1), User("k", not_before=NOW), False),
    ],
)
def test_a_family_is_dead_when_revoked_or_begun_before_a_logout(of, user, expected):
    assert refresh_families.is_revoked(of, user) is expected


@pytest.mark.parametrize(("not_before", "issued"), [(0, NOW), (NOW - 1, NOW), (NOW, NOW + 1), (NOW + 5, NOW + 6)])
def test_a_token_is_issued_after_the_last_logout_even_in_its_second(not_before, issued):
    assert refresh_families.issue_time(User("k", not_before=not_before), NOW + 0.7) == issued


def test_a_user_is_settled_once_control_knows_the_last_logout():
    assert User("k").is_logout_notified
    assert not User("k", not_before=NOW, notified=NOW - 5).is_logout_notified
    assert User("k", not_before=NOW, notified=NOW).is_logout_notified
