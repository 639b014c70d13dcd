"""One client of key sets, with the rules of both its users: known keys serve through an outage, or fail closed.

What an address may respond with, and which keys are usable, is also tested where agentsocket uses the client.
"""

from __future__ import annotations

import threading

import pytest

from lambdakit.jwks import Keys, KeysUnavailable, NotAKeySet, Rules, UnknownKey
from tests.support.fakes import Clock
from tests.support.jwks_address import Issuer, key_set
from tests.support.tokens import EC, NOW, RSA, public_jwk

A, B = public_jwk(RSA, "a"), public_jwk(EC, "b")
OPEN = Rules(
    timeout_s=2,
    max_bytes=16_384,
    max_keys=5,
    lifetime_s=300,
    cooldown_s=60,
    retry_s=60,
    fails_closed=False,
    names_keys=False,
)
CLOSED = OPEN._replace(retry_s=5, fails_closed=True, names_keys=True)


@pytest.fixture
def issuer():
    server = Issuer(A)
    yield server
    server.stop()


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
def open_keys(issuer, clock):
    return Keys("", issuer.url, OPEN, now=clock)


@pytest.fixture
def closed_keys(issuer, clock):
    return Keys("", issuer.url, CLOSED, now=clock)


def is_unknown(keys, kid="b"):
    with pytest.raises(UnknownKey):
        keys(kid)
    return True


def outage(keys, kid="a"):
    with pytest.raises(KeysUnavailable) as refused:
        keys(kid)
    return str(refused.value)


# What both have.


@pytest.mark.parametrize("rules", [OPEN, CLOSED])
def test_keys_are_fetched_once_and_again_when_they_are_old(issuer, clock, rules):
    keys = Keys("", issuer.url, rules, now=clock)
    assert keys("a").key_id == keys(None).key_id == "a"
    clock.advance(299)
    assert keys("a")
    assert issuer.asked == 1
    clock.advance(1)
    issuer.publish(B)
    assert is_unknown(keys, "a")
    assert keys("b")
    assert issuer.asked == 2


@pytest.mark.parametrize("rules", [OPEN, CLOSED])
def test_unknown_kids_cause_one_fetch_in_the_cooldown(issuer, clock, rules):
    keys = Keys("", issuer.url, rules, now=clock)
    keys("a")
    for number in range(5):
        assert is_unknown(keys, f"unknown-{number}")
    assert issuer.asked == 2
    clock.advance(59)
    assert is_unknown(keys, "another")
    assert issuer.asked == 2
    clock.advance(1)
    issuer.publish(A, B)
    assert keys("b")
    assert issuer.asked == 3


@pytest.mark.parametrize("rules", [OPEN, CLOSED])
def test_a_clock_that_was_set_back_makes_keys_old_and_ends_cooldowns(issuer, clock, rules):
    keys = Keys("", issuer.url, rules, now=clock)
    keys("a")
    clock.advance(-3600)
    assert keys("a")
    assert issuer.asked == 2


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (503, key_set(A).encode(), "{host} responded with status 503, not 200"),
        (302, b"", "{host} responded with status 302, not 200"),
        (204, b"", "{host} responded with status 204, not 200"),
        (200, b"nonsense", "what {host} responded is not JSON that every reader understands alike"),
        (200, b'{"keys": [], "keys": []}', "what {host} responded is not JSON that every reader understands alike"),
        (200, b"[" * 16_000, "what {host} responded is not JSON that every reader understands alike"),
        (200, b'{"keys": 7}', "what {host} responded is not a JSON Web Key Set: an object with a list `keys`"),
        (200, key_set(*[A] * 6).encode(), "what {host} responded lists 6 keys; the limit is 5"),
        (200, b" " * 16_385, "response of {host} is larger than 16,384 bytes"),
    ],
)
@pytest.mark.parametrize("rules", [OPEN, CLOSED])
def test_what_is_no_key_set_is_an_outage_with_its_cause_which_is_logged(
    issuer, clock, caplog, rules, status, answer, said
):
    issuer.status, issuer.answer = status, answer
    expected = said.format(host="127.0.0.1")
    assert outage(Keys("", issuer.url, rules, now=clock)) == expected
    assert [(line.message, vars(line)["reason"]) for line in caplog.records] == [("keys_fetch_failed", expected)]


@pytest.mark.parametrize("rules", [OPEN, CLOSED])
@pytest.mark.parametrize(
    "members",
    [
        [{**A, "d": "AAAA"}],
        [{**A, "use": "enc"}],
        [{**A, "use": None}],
        [{**A, "alg": "HS256"}],
        [{"kty": "oct", "k": "AAAA", "kid": "a"}],
        [],
    ],
    ids=["private", "for encryption", "for nothing", "another algorithm", "symmetric", "none"],
)
def test_an_issuer_that_withdraws_all_keys_is_believed_at_once_and_asked_again_soon(issuer, clock, rules, members):
    keys = Keys("", issuer.url, rules, now=clock)
    keys("a")
    clock.advance(rules.lifetime_s)
    issuer.publish(*members)
    for _ in range(3):
        with pytest.raises((UnknownKey, KeysUnavailable)):
            keys("a")
    assert issuer.asked == 2
    issuer.publish(A)
    clock.advance(rules.retry_s)
    assert keys("a")


@pytest.mark.parametrize("rules", [OPEN, CLOSED])
def test_a_kid_that_two_keys_have_names_none(issuer, clock, rules):
    issuer.publish(A, {**B, "kid": "a"})
    keys = Keys("", issuer.url, rules, now=clock)
    assert is_unknown(keys, "a")
    assert is_unknown(keys, None)


def test_threads_that_come_at_once_cause_one_fetch(issuer, clock):
    keys = Keys("", issuer.url, OPEN, now=clock)
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(keys("a").key_id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["a"] * 8
    assert issuer.asked == 1


# A copy.


def test_a_copy_is_checked_at_once_and_says_what_is_wrong():
    for text, said in (
        ("nonsense", "is not JSON that every reader understands alike"),
        (key_set(), "holds no public RSA (2048 bits), P-256 or Ed25519 key"),
        (key_set({"kty": "oct", "k": "AAAA"}), "holds no public RSA (2048 bits), P-256 or Ed25519 key"),
        (" " * 16_385, "is 16,385 bytes; the limit is 16,384"),
    ):
        with pytest.raises(NotAKeySet) as refused:
            Keys(text, "", OPEN)
        assert str(refused.value) == said


def test_a_copy_serves_for_its_lifetime_and_for_ever_without_an_address(issuer, clock):
    both, alone = (Keys(key_set(A), url, OPEN, now=clock) for url in (issuer.url, ""))
    issuer.publish(B)
    assert both("a")
    assert issuer.asked == 0
    clock.advance(OPEN.lifetime_s)
    assert is_unknown(both, "a")
    assert alone("a")


# Where known keys serve through an outage.


def test_known_keys_serve_through_an_outage_which_is_asked_about_once_in_the_cooldown(issuer, open_keys, clock):
    open_keys("a")
    issuer.status = 503
    clock.advance(10 * OPEN.lifetime_s)
    for _ in range(5):
        assert open_keys("a")
        assert is_unknown(open_keys, "b")
    assert issuer.asked == 2
    clock.advance(OPEN.retry_s)
    assert open_keys("a")
    assert issuer.asked == 3


def test_a_stranger_s_kid_does_not_delay_the_fetch_of_old_keys(issuer, open_keys, clock):
    open_keys("a")
    clock.advance(OPEN.lifetime_s - 1)
    issuer.status = 503
    assert is_unknown(open_keys, "stranger")
    issuer.status = 200
    issuer.publish(B)
    clock.advance(1)
    assert open_keys("b")


# Where keys fail closed.


def test_old_keys_serve_nobody(issuer, closed_keys, clock):
    closed_keys("a")
    issuer.status = 503
    clock.advance(CLOSED.lifetime_s - 1)
    assert closed_keys("a")
    clock.advance(1)
    assert "status 503" in outage(closed_keys)


def test_an_outage_is_asked_about_once_in_a_while_whoever_asks(issuer, closed_keys, clock):
    closed_keys("a")
    issuer.status = 503
    clock.advance(CLOSED.lifetime_s - 1)
    assert "status 503" in outage(closed_keys, "stranger")
    clock.advance(1)  # the keys are old now, and the last failure a second ago
    for kid in ("a", "b", None):
        outage(closed_keys, kid)
    assert issuer.asked == 2
    issuer.status = 200
    clock.advance(CLOSED.retry_s - 1)
    assert closed_keys("a")
    assert issuer.asked == 3


def test_a_key_that_an_outage_hides_is_no_unknown_key(issuer, closed_keys, clock):
    """A token of a rotated key must be tried again, and not be refused for good."""
    closed_keys("a")
    issuer.status = 503
    assert "status 503" in outage(closed_keys, "b")
    assert closed_keys("a")
    issuer.status = 200
    issuer.publish(A, B)
    clock.advance(CLOSED.retry_s)
    assert closed_keys("b")


def test_a_key_without_a_kid_is_ignored_where_keys_must_have_names(issuer, clock):
    nameless = {name: value for name, value in B.items() if name != "kid"}
    issuer.publish(A, nameless)
    assert Keys("", issuer.url, CLOSED, now=clock)(None).key_id == "a"
    assert is_unknown(Keys("", issuer.url, OPEN, now=clock), None)
    issuer.publish(nameless)
    assert Keys("", issuer.url, OPEN, now=clock)(None).algorithm_name == "ES256"
    assert "lists no key for signatures" in outage(Keys("", issuer.url, CLOSED, now=clock), None)


@pytest.mark.parametrize(("lifetime_s", "cooldown_s"), [(10, 30), (300, 600)])
def test_who_fails_closed_may_fetch_outdated_keys_whatever_the_cooldown(issuer, clock, lifetime_s, cooldown_s):
    """The cooldown spares an issuer unknown names; outdated keys would be an outage of our own."""
    keys = Keys("", issuer.url, CLOSED._replace(lifetime_s=lifetime_s, cooldown_s=cooldown_s), now=clock)
    for _ in range(3):
        assert keys("a").key_id == "a"
        clock.advance(lifetime_s + 1)
    assert issuer.asked == 3
