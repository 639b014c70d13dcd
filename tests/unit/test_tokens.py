from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from agentsocket import jwks, tokens
from agentsocket.errors import AgentSocketError, TokenRejected
from agentsocket.limits import Limits
from agentsocket.principal import user_id

LIMITS = Limits()
ISSUER = "https://issuer.example"
NOW = 1_800_000_000
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CLAIMS = {"iss": ISSUER, "aud": "agentsocket", "sub": "ada", "iat": NOW - 10, "exp": NOW + 890, "jti": "1", "sid": "s"}


def public_jwk(key, kid):
    name = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256", ed25519.Ed25519PrivateKey: "EdDSA"}
    algorithm = next(jwt.get_algorithm_by_name(name[kind]) for kind in name if isinstance(key, kind))
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


JWKS = {"keys": [public_jwk(RSA, "rsa"), public_jwk(EC, "ec"), public_jwk(ED, "ed")]}
KEYS = jwks.InlineKeys(json.dumps(JWKS), limits=LIMITS)


def token(claims=None, *, key=RSA, kid="rsa", alg="RS256", typ="at+jwt", **headers):
    headers = {"kid": kid, "typ": typ, **headers}
    return jwt.encode(CLAIMS if claims is None else claims, key, alg, headers=headers)


def verify(text, *, now=NOW, keys=KEYS):
    return tokens.verify(text, keys=keys, issuer=ISSUER, audience="agentsocket", now=now, limits=LIMITS)


def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header, payload, key=RSA):
    """A token with any header and any payload, signed as RS256 whatever they say."""
    body = f"{segment(header)}.{segment(payload)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(body.encode(), key)
    return f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(("key", "kid", "alg"), [(RSA, "rsa", "RS256"), (EC, "ec", "ES256"), (ED, "ed", "EdDSA")])
def test_a_valid_token_names_its_user(key, kid, alg):
    who = verify(token(key=key, kid=kid, alg=alg))
    assert who.user == user_id(ISSUER, "ada")
    assert (who.subject, who.session, who.issued_at, who.expires_at) == ("ada", "s", NOW - 10, NOW + 890)


def test_the_media_type_form_of_typ_is_the_same():
    assert verify(token(typ="application/AT+JWT")).subject == "ada"


def test_an_audience_list_with_ours_in_it_passes():
    assert verify(token({**CLAIMS, "aud": ["other", "agentsocket"]})).subject == "ada"


WRONG_CLAIMS = {
    "expired": {"exp": NOW - 31},
    "expiry as text": {"exp": str(NOW + 900)},
    "expiry as float": {"exp": NOW + 900.5},
    "expiry as bool": {"exp": True},
    "huge expiry": {"exp": 10**300},
    "no expiry": {"exp": None},
    "issued in the future": {"iat": NOW + 90},
    "issued before time": {"iat": -1},
    "no issue time": {"iat": None},
    "not valid yet": {"nbf": NOW + 90},
    "another issuer": {"iss": "https://issuer.example.evil"},
    "issuer with a slash": {"iss": ISSUER + "/"},
    "issuer as list": {"iss": [ISSUER]},
    "another audience": {"aud": "other"},
    "audience as part": {"aud": "agentsocket2"},
    "audience as object": {"aud": {"agentsocket": 1}},
    "no audience": {"aud": None},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "x" * 256},
    "numeric subject": {"sub": 7},
    "no subject": {"sub": None},
    "scope as list": {"scope": ["a"]},
    "sid as number": {"sid": 1},
}


@pytest.mark.parametrize("change", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_a_wrong_claim_is_refused(change):
    """A2, A3."""
    claims = {name: value for name, value in {**CLAIMS, **change}.items() if value is not None}
    with pytest.raises(TokenRejected):
        verify(signed({"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, claims))


PEM = b"-----BEGIN PUBLIC KEY-----"
HEADER = {"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}
WRONG_TOKENS = {
    "alg none": f"{segment({**HEADER, 'alg': 'none'})}.{segment(CLAIMS)}.",
    "alg None": f"{segment({**HEADER, 'alg': 'None'})}.{segment(CLAIMS)}.",
    "hmac": jwt.encode(CLAIMS, b"x" * 32, "HS256", headers={"kid": "rsa", "typ": "at+jwt"}),
    "stranger's key": token(key=STRANGER),
    "stripped signature": token().rpartition(".")[0] + ".",
    "two segments": token().rpartition(".")[0],
    "four segments": token() + ".x",
    "swapped payload": ".".join([token().split(".")[0], segment({**CLAIMS, "sub": "eve"}), token().split(".")[2]]),
    "swapped key": token(key=EC, kid="rsa", alg="ES256"),
    "rsa token, ec kid": token(kid="ec"),
    "unknown kid": token(kid="other"),
    "kid as path": token(kid="../../etc/passwd"),
    "kid as number": signed({**HEADER, "kid": 7}, CLAIMS),
    "no kid, two keys": signed({"alg": "RS256", "typ": "at+jwt"}, CLAIMS),
    "an id token": token(typ="JWT"),
    "no typ": signed({"alg": "RS256", "kid": "rsa"}, CLAIMS),
    "no header": signed({}, CLAIMS),
    "alg as list": signed({**HEADER, "alg": []}, CLAIMS),
    "alg as object": signed({**HEADER, "alg": {}}, CLAIMS),
    "alg as null": signed({**HEADER, "alg": None}, CLAIMS),
    "typ as list": signed({**HEADER, "typ": ["at+jwt"]}, CLAIMS),
    "kid as list": signed({**HEADER, "kid": ["rsa"]}, CLAIMS),
    "typ as number": signed({**HEADER, "typ": 1}, CLAIMS),
    "crit": signed({**HEADER, "crit": ["exp"]}, CLAIMS),
    "zip": signed({**HEADER, "zip": "DEF"}, CLAIMS),
    "embedded key": signed({**HEADER, "kid": "x", "jwk": public_jwk(STRANGER, "x")}, CLAIMS, STRANGER),
    "jku": signed({**HEADER, "kid": "x", "jku": "https://evil.example/jwks"}, CLAIMS, STRANGER),
    "duplicate claim": signed(HEADER, json.dumps(CLAIMS).encode()[:-1] + b', "sub": "eve"}'),
    "duplicate header": signed(b'{"alg": "none", "alg": "RS256", "kid": "rsa", "typ": "at+jwt"}', CLAIMS),
    "claims as list": signed(HEADER, [CLAIMS]),
    "nan": signed(HEADER, json.dumps(CLAIMS).encode()[:-1] + b', "x": NaN}'),
    "nested": signed(HEADER, token().encode()),
    "too long": token({**CLAIMS, "x": "y" * 4096}),
    "empty": "",
    "dots": "..",
    "not base64": "§.§.§",
}


@pytest.mark.parametrize("text", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_a_wrong_token_is_refused(text):
    """A3."""
    with pytest.raises(TokenRejected):
        verify(text)


@pytest.mark.parametrize("seconds", [-30, 30])
def test_clocks_half_a_minute_apart_are_tolerated(seconds):
    """C5."""
    edge = {**CLAIMS, "iat": NOW, "exp": NOW + 1}
    assert verify(token(edge), now=NOW + seconds).subject == "ada"


@pytest.mark.parametrize("seconds", [-90, 90])
def test_clocks_a_minute_and_a_half_apart_are_not(seconds):
    """C5."""
    edge = {**CLAIMS, "iat": NOW, "exp": NOW + 1}
    with pytest.raises(TokenRejected):
        verify(token(edge), now=NOW + seconds)


def test_a_token_without_kid_passes_where_there_is_one_key():
    one = jwks.InlineKeys(json.dumps({"keys": [JWKS["keys"][0]]}), limits=LIMITS)
    assert verify(signed({"alg": "RS256", "typ": "at+jwt"}, CLAIMS), keys=one).subject == "ada"


@given(
    st.text() | st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(lambda raw: ".".join(map(segment, raw)))
)
def test_any_text_is_verified_or_refused_with_an_error_of_ours(text):
    with pytest.raises(AgentSocketError):
        verify(text)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "scope"]), st.none() | st.integers() | st.text(max_size=9)))
def test_any_signed_claims_are_verified_or_refused_with_an_error_of_ours(change):
    try:
        subject = verify(signed(HEADER, {**CLAIMS, **change})).subject
    except TokenRejected:
        subject = "refused"
    assert subject in {"refused", change.get("sub", "ada")}


def test_the_clock_is_the_argument_not_the_machine_s():
    assert verify(token(), now=NOW + 880).subject == "ada"
