from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket import principal
from agentsocket.storage import keys

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(TEXT, TEXT)
def test_any_subject_becomes_an_id_that_is_safe_in_keys(issuer, subject):
    user = principal.user_id(issuer, subject)
    assert len(user) == 32
    assert set(user) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert keys.user(user) == f"USER#{user}"


@pytest.mark.parametrize(
    ("a", "b"), [("ada", "Ada"), ("ada", "ada "), ("a#b", "a*b"), ("ada", "\N{CYRILLIC SMALL LETTER A}da")]
)
def test_look_alikes_are_users_of_their_own(a, b):
    assert principal.user_id("https://i", a) != principal.user_id("https://i", b)


def test_two_issuers_users_are_never_the_same():
    assert principal.user_id("https://a", "x") != principal.user_id("https://b", "x")


def test_the_border_between_issuer_and_subject_cannot_be_moved():
    assert principal.user_id("https://a", "bc") != principal.user_id("https://ab", "c")


def test_a_principal_survives_the_authorizer_context():
    claims = {"iss": "https://i", "sub": "ada", "iat": 10, "exp": 20, "sid": "s", "scope": "b a"}
    who = principal.of_claims(claims)
    context = who.context()
    assert all(isinstance(value, str) for value in context.values())
    assert principal.of_context(context) == who


def test_a_context_that_is_not_ours_is_no_principal():
    with pytest.raises(KeyError):
        principal.of_context({"principalId": "x"})
