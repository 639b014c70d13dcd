from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from agentsocket.auth import tokens
from agentsocket.auth.jwks import Keys
from agentsocket.errors import SettingsError, TokenRejected, Unavailable
from agentsocket.limits import Limits
from tests.support.fakes import Clock
from tests.support.jwks_address import Issuer, key_set
from tests.support.tokens import AUDIENCE, CLAIMS, EC, ED, HEADER, ISSUER, NOW, RSA, STRANGER, public_jwk, signed
from tests.support.waiting import TIME_FACTOR

LIMITS = Limits()
A, B = public_jwk(RSA, "a"), public_jwk(EC, "b")
SHORT = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (that is the point)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    server = Issuer(A)
    yield server
    server.stop()


@pytest.fixture
def clock():
    return Clock(NOW)


@pytest.fixture
def keys(issuer, clock):
    """No deploy-time copy: everything comes from the address."""
    return Keys("", issuer.url, limits=LIMITS, now=clock)


@pytest.fixture
def seeded(issuer, clock):
    """A deploy-time copy with key A, and the address."""
    return Keys(key_set(A), issuer.url, limits=LIMITS, now=clock)


def refuses(keys, kid):
    with pytest.raises(TokenRejected):
        keys(kid)
    return True


def test_a_key_is_fetched_once_and_kept(issuer, keys):
    assert keys("a").key_id == keys("a").key_id == "a"
    assert issuer.asked == 1


def test_a_deploy_time_copy_spares_the_first_fetch(issuer, seeded):
    assert seeded("a").key_id == "a"
    assert issuer.asked == 0


def test_the_copy_is_believed_as_long_as_what_was_fetched_and_no_longer(issuer, seeded, clock):
    issuer.publish(B)
    clock.advance(LIMITS.jwks_lifetime_s - 1)
    assert seeded("a")
    clock.advance(1)
    assert refuses(seeded, "a")
    assert seeded("b")
    assert issuer.asked == 1


def test_a_copy_without_an_address_is_believed_for_ever(clock):
    keys = Keys(key_set(A), "", limits=LIMITS, now=clock)
    clock.advance(10 * LIMITS.jwks_lifetime_s)
    assert keys("a")
    assert refuses(keys, "b")


def test_a_fetched_key_that_disappears_is_refused_after_its_time(issuer, keys, clock):
    """I7."""
    keys("a")
    issuer.publish(B)
    clock.advance(LIMITS.jwks_lifetime_s - 1)
    assert keys("a")
    clock.advance(1)
    assert refuses(keys, "a")


def test_unknown_kids_cause_one_fetch_in_the_cool_down(issuer, seeded, clock):
    for number in range(5):
        assert refuses(seeded, f"unknown-{number}")
    assert issuer.asked == 1
    clock.advance(LIMITS.jwks_cooldown_s)
    for number in range(5):
        assert refuses(seeded, f"other-{number}")
    assert issuer.asked == 2


def test_a_rotated_key_is_found_by_the_one_fetch(issuer, seeded):
    """I7."""
    issuer.publish(B, A)
    assert seeded("b").key_id == "b"
    assert issuer.asked == 1


def test_tokens_of_the_old_and_the_new_key_pass_during_the_overlap(issuer, seeded, clock):
    """I7."""
    old = signed({**HEADER, "kid": "a"}, CLAIMS)
    new = signed({**HEADER, "kid": "b", "alg": "ES256"}, CLAIMS, EC, "ES256")

    def passes(token):
        return tokens.verify(token, keys=seeded, issuer=ISSUER, audience=AUDIENCE, now=NOW, limits=LIMITS)

    issuer.publish(B, A)
    assert passes(old) == passes(new) == passes(old)
    issuer.publish(B)
    clock.advance(LIMITS.jwks_lifetime_s)
    assert passes(new)
    with pytest.raises(TokenRejected):
        passes(old)


def test_an_outage_takes_no_known_key_away(issuer, seeded, clock):
    """I4."""
    issuer.status = 503
    clock.advance(100 * LIMITS.jwks_lifetime_s)
    assert seeded("a")
    issuer.status = 200
    issuer.publish(B, A)
    clock.advance(LIMITS.jwks_cooldown_s)
    assert seeded("a")
    assert seeded("b")


def test_an_outage_is_asked_about_once_in_the_cool_down(issuer, seeded, clock):
    """I4."""
    issuer.status = 503
    clock.advance(LIMITS.jwks_lifetime_s)
    for _ in range(10):
        assert seeded("a")
        assert refuses(seeded, "b")
    assert issuer.asked == 1
    clock.advance(LIMITS.jwks_cooldown_s)
    assert seeded("a")
    assert issuer.asked == 2


def test_a_fetch_that_fails_for_an_unknown_kid_has_the_same_cool_down(issuer, seeded):
    issuer.status = 503
    for _ in range(5):
        assert refuses(seeded, "b")
    assert issuer.asked == 1


def test_a_kid_that_nobody_knows_does_not_delay_the_refetch_of_old_keys(issuer, seeded, clock):
    clock.advance(LIMITS.jwks_lifetime_s - 1)
    issuer.status = 503
    assert refuses(seeded, "unknown")
    clock.advance(1)
    issuer.status = 200
    issuer.publish(B)
    assert seeded("b")


def test_without_any_key_the_fault_is_ours_and_is_not_asked_about_again_at_once(issuer, keys, clock):
    issuer.status = 503
    for _ in range(5):
        with pytest.raises(Unavailable):
            keys("a")
    assert issuer.asked == 1
    issuer.status = 200
    clock.advance(LIMITS.jwks_cooldown_s)
    assert keys("a")


def test_a_clock_that_was_set_back_ends_no_cool_down_late(issuer, keys, clock):
    issuer.status = 503
    with pytest.raises(Unavailable):
        keys("a")
    issuer.status = 200
    clock.advance(-3600)
    assert keys("a")


@pytest.mark.parametrize(
    ("status", "answer", "headers"),
    [
        (500, b"", {}),
        (404, key_set(A).encode(), {}),
        (200, b"nonsense", {}),
        (200, b"\xff\xfe", {}),
        (200, b"[]", {}),
        (200, b'{"keys": 7}', {}),
        (200, b"[" * 50_000, {}),
        (200, b" " * (LIMITS.jwks_max_bytes + 1), {}),
        (200, key_set(*[A] * 21).encode(), {}),
        (302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}),
        (200, b"", {"Content-Length": "100"}),
    ],
    ids=[
        "error",
        "not found",
        "no JSON",
        "no text",
        "a list",
        "keys no list",
        "nested",
        "too large",
        "too many keys",
        "redirect",
        "cut short",
    ],
)
def test_what_is_no_key_set_is_no_answer(issuer, keys, status, answer, headers):
    issuer.status, issuer.answer, issuer.headers = status, answer, headers
    with pytest.raises(Unavailable):
        keys("a")
    assert issuer.asked == 1


def test_a_redirect_to_a_real_key_set_is_not_followed(issuer, clock):
    other = Issuer(A)
    issuer.status, issuer.headers = 302, {"Location": other.url}
    with pytest.raises(Unavailable):
        Keys("", issuer.url, limits=LIMITS, now=clock)("a")
    other.stop()
    assert other.asked == 0


def test_an_address_nobody_listens_at_is_no_answer(clock):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Unavailable) as refused:
        Keys("", f"http://127.0.0.1:{port}/", limits=LIMITS, now=clock)("a")
    assert refused.value.message == "the issuer's keys cannot be fetched; retry"
    assert "request to 127.0.0.1" in refused.value.cause
    assert "refused" in refused.value.cause.lower()


def test_a_drip_feed_is_cut_off_at_the_time_out(clock):
    """A byte every so often keeps a socket's own time-out from ever ending."""
    stop = threading.Event()

    def drip(server):
        connection, _ = server.accept()
        with connection:
            deadline = time.monotonic() + 7 * TIME_FACTOR
            while not stop.wait(0.05) and time.monotonic() < deadline:
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        feeding = threading.Thread(target=drip, args=(server,))
        feeding.start()
        started = time.monotonic()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(Unavailable):
            Keys("", url, limits=Limits(jwks_timeout_s=1), now=clock)("a")
        took = time.monotonic() - started
        stop.set()
        feeding.join()
    assert took < 5 * TIME_FACTOR


UNUSABLE = {
    "symmetric": {"kty": "oct", "k": "AAAA", "kid": "a"},
    "a private key": jwt.algorithms.ECAlgorithm.to_jwk(EC, as_dict=True) | {"kid": "a"},
    "for encryption": {**A, "use": "enc"},
    "another algorithm": {**A, "alg": "RS512"},
    "no signature at all": {**A, "alg": "none"},
    "an HMAC algorithm": {**A, "alg": "HS256"},
    "another curve": {
        **jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True),
        "kid": "a",
    },
    "a point that is not on the curve": {**B, "kid": "a", "x": B["y"]},
    "too short": public_jwk(SHORT, "a"),
    "without a modulus": {name: A[name] for name in A if name != "n"},
    "a modulus that is a number": {**A, "n": 7},
    "no base64": {**A, "n": "###"},
    "kty a list": {**A, "kty": ["RSA"]},
    "no object": 7,
    "null": None,
}


@pytest.mark.parametrize("jwk", UNUSABLE.values(), ids=UNUSABLE)
def test_what_is_no_public_key_of_ours_is_as_if_it_were_not_there(jwk):
    """L4."""
    with pytest.raises(SettingsError, match="JWKS"):
        Keys(key_set(jwk), "", limits=LIMITS)
    beside = Keys(key_set(jwk, B), "", limits=LIMITS)
    assert refuses(beside, "a")
    assert beside(None).key_id == "b"


def test_a_fetched_set_without_usable_keys_is_an_answer(issuer, seeded, clock):
    """An issuer that withdraws everything is not one that is down."""
    issuer.publish(UNUSABLE["symmetric"])
    clock.advance(LIMITS.jwks_lifetime_s)
    assert refuses(seeded, "a")


@pytest.mark.parametrize("jwk", [A, B, public_jwk(ED, "c"), {**A, "alg": "RS256"}, {**B, "alg": "ES256"}])
def test_each_kind_of_key_is_bound_to_one_algorithm(jwk):
    expected = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}[jwk["kty"]]
    assert Keys(key_set(jwk), "", limits=LIMITS)(jwk["kid"]).algorithm_name == expected


def test_two_keys_of_one_name_are_none():
    assert refuses(Keys(key_set(A, {**B, "kid": "a"}), "", limits=LIMITS), "a")


def test_no_kid_is_a_choice_only_where_there_is_none():
    assert Keys(key_set(A), "", limits=LIMITS)(None).key_id == "a"
    assert refuses(Keys(key_set(A, B), "", limits=LIMITS), None)


@pytest.mark.parametrize("text", ["nonsense", "[]", "{}", '{"keys": []}', '{"keys": [7]}', '{"keys": {}}', "[" * 9999])
@pytest.mark.parametrize("url", ["", "https://issuer.example/jwks"])
def test_an_inline_set_is_checked_at_start(text, url):
    """L4."""
    with pytest.raises(SettingsError, match="JWKS"):
        Keys(text, url, limits=LIMITS)


JWK = st.dictionaries(
    st.sampled_from([*A, *B, "d", "alg"]),
    st.none() | st.integers(-9, 9) | st.text(max_size=9) | st.sampled_from([*A.values(), "RSA", "EC", "OKP", "P-256"]),
)


@given(JWK, st.sampled_from([A, B, {}]))
def test_any_jwk_is_a_key_or_none(jwk, original):
    keys = Keys(key_set({**original, **jwk}, {**A, "kid": "known"}), "", limits=LIMITS)
    for kid in ("known", "a", "b", None):
        try:
            assert keys(kid).algorithm_name in tokens.ALGORITHMS
        except TokenRejected:
            assert kid != "known" or jwk.get("kid") == "known"


ELSEWHERE = {
    "jku": lambda url: url,
    "x5u": lambda url: url,
    "jwk": lambda _url: public_jwk(STRANGER, "stranger"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_address_in_a_token_is_never_asked_and_a_key_in_it_never_used(name, seeded, issuer):
    evil = Issuer(A)
    evil.publish(public_jwk(STRANGER, "stranger"), public_jwk(STRANGER, "a"))
    for kid in ("stranger", "a"):
        forged = signed({**HEADER, "kid": kid, name: ELSEWHERE[name](evil.url)}, CLAIMS, STRANGER)
        with pytest.raises(TokenRejected):
            tokens.verify(forged, keys=seeded, issuer=ISSUER, audience=AUDIENCE, now=NOW, limits=LIMITS)
    evil.stop()
    assert evil.asked == 0
