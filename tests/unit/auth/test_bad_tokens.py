"""The attack corpus, each token refused for its own reason; and look-alikes, which are users of their own.

Property-based: whatever is signed or sent, `tokens.py` answers with a sane principal or with TokenRejected.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.auth import tokens
from agentsocket.errors import TokenRejected
from tests.support.tokens import (
    AUDIENCE,
    CLAIMS,
    HEADER,
    ISSUER,
    KEYS,
    LIMITS,
    NOW,
    TICKET,
    TICKET_HEADER,
    segment,
    signed,
    token,
)
from tests.unit.auth.bad_tokens import ALPHABET, BAD

CASES = [pytest.param(text, reason, id=name) for reason, named in BAD.items() for name, text in named.items()]


def verify(text):
    return tokens.verify(text, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=NOW, limits=LIMITS)


def verify_ticket(text):
    return tokens.verify_ticket(text, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=NOW, limits=LIMITS)


@pytest.mark.parametrize(("text", "reason"), CASES)
def test_a_bad_token_is_refused_and_for_its_own_reason(text, reason):
    """A2, A3."""
    with pytest.raises(TokenRejected) as refused:
        verify(text)
    assert str(refused.value) == reason


def test_the_corpus_is_large_and_its_names_are_unique():
    names = [name for named in BAD.values() for name in named]
    assert len(names) >= 60
    assert len(set(names)) == len(names)
    assert len({text for named in BAD.values() for text in named.values()}) == len(names)


def test_the_corpus_has_every_reason_there_is():
    source = Path(tokens.__file__).read_text()
    reasons = set(re.findall(r'TokenRejected\(f?"([^"]+)"\)', source))
    known = {re.sub("^the (header|claims) must", "the {what} must", reason) for reason in BAD}
    assert reasons - known == {"jti must be 1 to 128 characters of A-Z a-z 0-9 _ . -"}  # tickets only, below


BAD_TICKETS = {
    "a life of 61 seconds": {"iat": NOW, "exp": NOW + 61},
    "expired": {"iat": NOW - 90, "exp": NOW - 30},
    "no jti": {"jti": ...},
    "jti a number": {"jti": 7},
    "jti empty": {"jti": ""},
    "jti of 129 characters": {"jti": "x" * 129},
    "jti with a separator": {"jti": "a#b"},
    "jti with a slash": {"jti": "../a"},
    "jti with a line break": {"jti": "ticket-1\n"},
    "jti with a look-alike": {"jti": "t\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}cket"},
    "no access_exp": {"access_exp": ...},
    "access_exp a string": {"access_exp": str(NOW + 700)},
    "access_exp a float": {"access_exp": NOW + 700.0},
    "access_exp true": {"access_exp": True},
    "access_exp gone by": {"access_exp": NOW - 30},
    "access_exp before iat": {"access_exp": 5},
    "access_exp a day and a second after iat": {"access_exp": TICKET["iat"] + 86_401},
    "another audience": {"aud": "other"},
    "another issuer": {"iss": "https://evil.example"},
    "a service": {"sub": "client:reports"},
}


@pytest.mark.parametrize("change", BAD_TICKETS.values(), ids=BAD_TICKETS)
def test_a_bad_ticket_is_refused(change):
    """A3."""
    claims = {name: value for name, value in {**TICKET, **change}.items() if value is not ...}
    with pytest.raises(TokenRejected):
        verify_ticket(signed(TICKET_HEADER, claims))


# Each is somebody, and never somebody else: separators, patterns, control characters, what looks alike to people.
SUBJECTS = [
    "ada",
    "Ada",
    "ADA",
    "ada ",
    " ada",
    "ada\t",
    "ada\n",
    "ada\x00",
    "ada\x00bob",
    "ada\x1b[2J",
    "ada\x7f",
    "ada#bob",
    "ada#",
    "#ada",
    "USER#ada",
    "ada*",
    "*",
    "ada?",
    "?",
    "ad?",
    "ada/bob",
    "ada/",
    "../ada",
    "ada%",
    "%61da",
    "ada|bob",
    "ada:bob",
    "Client:ada",
    "client",
    "ada\\",
    'ada"',
    "ada'--",
    "$ada",
    "${ada}",
    "{{ada}}",
    "\N{CYRILLIC SMALL LETTER A}da",
    "ad\N{CYRILLIC SMALL LETTER A}",
    "\N{LATIN SMALL LETTER ALPHA}da",
    "\N{FULLWIDTH LATIN SMALL LETTER A}da",
    "\N{MATHEMATICAL BOLD SMALL A}da",
    "\u00e4da",
    "a\u0308da",
    "\u00c5da",
    "\u212bda",
    "A\u030ada",
    "a\u200bda",
    "a\u200dda",
    "a\u00adda",
    "ada\ufeff",
    "\u202eada",
    "ada\u202e",
    "a\u0301da",
    "\u00e1da",
    "strasse",
    "stra\u00dfe",
    "\u0130",
    "i",
    "\u0131",
    "I",
    "\U0001f469",
    "\U0001f469\u200d\U0001f4bb",
    "undefined",
    "null",
    "None",
    "0",
    "-1",
    "true",
    "[]",
    "{}",
    "__proto__",
    "x" * 255,
    "x" * 254,
]


def test_look_alikes_and_separators_are_users_of_their_own():
    """E7."""
    whos = [verify(token({**CLAIMS, "sub": subject})) for subject in SUBJECTS]
    assert [who.subject for who in whos] == SUBJECTS
    assert len({who.user for who in whos}) == len(SUBJECTS) == len(set(SUBJECTS))
    assert all(re.fullmatch("[a-z2-7]{32}", who.user) for who in whos)


def test_the_corpus_of_subjects_has_pairs_that_normalization_would_make_one():
    for form in ("NFC", "NFKC"):
        assert len({unicodedata.normalize(form, subject) for subject in SUBJECTS}) < len(SUBJECTS)


def test_another_spelling_in_json_is_the_same_user():
    spelled = json.dumps(CLAIMS).replace('"ada"', '"\\u0061d\\u0061"').encode()
    assert verify(signed(HEADER, spelled)) == verify(token())


def outcome(check, text):
    """The principal, or None: any other error than TokenRejected ends the test."""
    try:
        return check(text)
    except TokenRejected:
        return None


def is_sane(who, lifetime):
    assert re.fullmatch("[a-z2-7]{32}", who.user)
    assert 0 < len(who.subject.encode()) <= LIMITS.max_subject_bytes
    assert not who.subject.startswith("client:")
    assert who.issuer == ISSUER
    assert 0 <= who.issued_at <= NOW + LIMITS.token_leeway_s
    assert NOW - LIMITS.token_leeway_s < who.expires_at <= who.issued_at + lifetime
    assert all(scope and " " not in scope and scope.isascii() and scope.isprintable() for scope in who.scopes)
    return True


NAMES = [*CLAIMS, *HEADER, "nbf", "access_exp", "crit", "zip", "b64", "cty", "jku", "jwk", "x5c", "x5u", "enc"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(NOW - 100, NOW + 100_000)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([ISSUER, AUDIENCE, "rsa", "ec", "at+jwt", "ticket+jwt", "RS256", "none", "client:x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CHANGES = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), VALUES, max_size=4)
ANY_TEXT = st.text() | st.lists(st.binary(max_size=60), min_size=2, max_size=6).map(
    lambda raw: ".".join(map(segment, raw))
)


@given(ANY_TEXT)
def test_any_text_is_refused_with_an_error_of_ours(text):
    assert outcome(verify, text) is None
    assert outcome(verify_ticket, text) is None


@given(CHANGES, CHANGES)
def test_any_signed_json_is_a_sane_principal_or_refused(header, claims):
    who = outcome(verify, signed({**HEADER, **header}, {**CLAIMS, **claims}))
    assert who is None or is_sane(who, LIMITS.max_token_lifetime_s)
    assert who is None or who.subject == claims.get("sub", "ada")


@given(CHANGES, CHANGES)
def test_any_signed_ticket_is_a_sane_principal_or_refused(header, claims):
    who = outcome(verify_ticket, signed({**TICKET_HEADER, **header}, {**TICKET, **claims}))
    assert who is None or is_sane(who, LIMITS.max_token_lifetime_s)
    assert who is None or re.fullmatch("[A-Za-z0-9_.-]{1,128}", who.ticket)


@given(VALUES)
def test_any_signed_value_in_place_of_claims_or_header_is_refused(value):
    assert outcome(verify, signed(value, CLAIMS)) is None
    assert outcome(verify, signed(HEADER, value)) is None


@given(st.binary(max_size=200))
def test_any_signed_bytes_are_refused(raw):
    assert outcome(verify, signed(HEADER, raw)) is None
    assert outcome(verify, signed(raw, CLAIMS)) is None


WHOLE = token()


@given(st.integers(0, len(WHOLE) - 1), st.sampled_from(ALPHABET + ".=+/ "))
def test_a_token_with_one_character_changed_is_refused(place, character):
    changed = WHOLE[:place] + character + WHOLE[place + 1 :]
    assert (outcome(verify, changed) is None) == (changed != WHOLE)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_token_cut_short_anywhere_is_refused(end):
    assert outcome(verify, WHOLE[:end]) is None
