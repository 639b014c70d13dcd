"""POST /oauth/token with an ID token (RFC 8693): C1, and every ID token that must not pass."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.authservice.fakes import CLIENT_ID, Issuer, issuer_keys, public_jwk, resign

RSA = issuer_keys()["rsa"]


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def test_an_id_token_becomes_an_access_token_and_a_refresh_token(auth):
    """C1."""
    answer = auth.call.exchange(auth.issuer.id_token("ada", now=auth.clock()))
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"
    tokens = answer.json
    assert tokens["token_type"] == "Bearer"
    assert tokens["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert (tokens["expires_in"], tokens["scope"]) == (900, "chat")
    assert len(base64.urlsafe_b64decode(tokens["refresh_token"] + "=")) * 8 == 256
    assert auth.active(tokens["access_token"])


def test_an_access_token_is_of_the_documented_form(auth):
    token = auth.sign_in("ada")["access_token"]
    header, claims = jwt.get_unverified_header(token), claims_of(token)
    now = int(auth.clock())
    keys = auth.call.get("/.well-known/jwks.json").json["keys"]
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": keys[0]["kid"]}
    assert set(claims) == {"iss", "aud", "sub", "iat", "exp", "jti", "sid", "client_id", "scope"}
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("https://auth.example", "agentsocket", "ada")
    assert (claims["iat"], claims["exp"], claims["client_id"]) == (now, now + 900, CLIENT_ID)
    assert jwt.PyJWS().decode(token, jwt.PyJWK(keys[0]), algorithms=["ES256"])


def test_each_sign_in_is_a_family_of_its_own(auth):
    first, second = (claims_of(auth.sign_in()["access_token"]) for _ in range(2))
    assert first["sid"] != second["sid"]
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize("kid", ["rsa", "ec", "ed"])
def test_every_allowed_algorithm_passes(auth, kid):
    assert auth.call.exchange(auth.issuer.id_token(now=auth.clock(), kid=kid)).status == 200


@pytest.mark.parametrize(
    ("groups", "scope"),
    [
        (["admin", "other"], "admin chat"),
        ("audit admin", "admin audit chat"),
        (["nothing"], "chat"),
        ([7, None], "chat"),
        ({"admin": 1}, "chat"),
        (None, "chat"),
    ],
)
def test_groups_give_privileged_scopes_and_no_others(auth, groups, scope):
    assert auth.sign_in(**{"cognito:groups": groups})["scope"] == scope


def test_less_scope_may_be_asked_for_and_never_more(auth):
    token = auth.issuer.id_token(now=auth.clock(), **{"cognito:groups": ["admin"]})
    assert auth.call.exchange(token, scope="chat superuser").error == (400, "invalid_scope")
    assert auth.call.exchange(token, scope="audit").error == (400, "invalid_scope")
    assert auth.call.exchange(token, scope="chat").json["scope"] == "chat"


def test_an_id_token_is_exchanged_once(auth):
    token = auth.issuer.id_token(now=auth.clock())
    assert auth.call.exchange(token).status == 200
    assert auth.call.exchange(token).error == (400, "invalid_grant")


def test_an_id_token_with_another_signature_is_the_same_token(auth):
    """ECDSA signs the same text differently each time, and anybody can turn one valid signature into another."""
    token = auth.issuer.id_token(now=auth.clock(), kid="ec")
    key = issuer_keys()["ec"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    again = resign(token, key)
    assert again != token
    assert auth.call.exchange(token).status == 200
    assert auth.call.exchange(again).error == (400, "invalid_grant")


def test_a_key_that_does_not_answer_uses_no_id_token_up(auth):
    token = auth.issuer.id_token(now=auth.clock())
    auth.kms.status = 500
    assert auth.call.exchange(token).error == (503, "temporarily_unavailable")
    assert auth.rows() == []
    auth.kms.status = 200
    assert auth.call.exchange(token).status == 200


WRONG_CLAIMS = {
    "another issuer": {"iss": "https://issuer.example"},
    "issuer with a slash": {"iss": "http://127.0.0.1/"},
    "no issuer": {"iss": None},
    "another client": {"aud": "other"},
    "ours and another client": {"aud": [CLIENT_ID, "other"]},
    "ours twice": {"aud": [CLIENT_ID, CLIENT_ID]},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "another authorized party": {"azp": "other"},
    "an authorized party that is no text": {"azp": [CLIENT_ID]},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject too long": {"sub": "x" * 256},
    "a subject too long in UTF-8": {"sub": "é" * 128},
    "a subject of half a surrogate pair": {"sub": "\ud800"},
    "a service's subject": {"sub": "client:ops"},
    "a number as subject": {"sub": 7},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": "2000000000"},
    "expiry as truth": {"exp": True},
    "endless expiry": {"exp": 10**300},
    "no issue time": {"iat": None},
    "issue time as text": {"iat": "1800000000"},
    "negative issue time": {"iat": -5},
}


@pytest.mark.parametrize("claims", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_an_id_token_with_wrong_claims_is_refused(auth, claims):
    token = auth.issuer.id_token(now=auth.clock(), **claims)
    answer = auth.call.exchange(token)
    assert answer.error == (400, "invalid_grant")
    assert auth.rows() == []


@pytest.mark.parametrize(
    ("claim", "seconds", "passes"),
    [
        ("iat", 30, True),
        ("iat", 31, False),
        ("iat", 90, False),
        ("iat", -600, True),
        ("iat", -601, False),
        ("exp", -29, True),
        ("exp", -30, False),
        ("exp", -90, False),
        ("nbf", 30, True),
        ("nbf", 31, False),
    ],
)
def test_clocks_may_differ_by_30_seconds_and_a_token_be_10_minutes_old(auth, claim, seconds, passes):
    """C5."""
    token = auth.issuer.id_token(now=auth.clock(), **{claim: int(auth.clock()) + seconds})
    assert (auth.call.exchange(token).status == 200) is passes


def test_times_may_have_fractions_and_the_audience_be_a_list(auth):
    now = auth.clock()
    token = auth.issuer.id_token(now=now, iat=now - 0.5, exp=now + 60.5, aud=[CLIENT_ID], azp=CLIENT_ID)
    assert auth.call.exchange(token).status == 200


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "ticket+jwt", "logout+jwt", "7"])
def test_a_token_of_another_type_is_no_id_token(auth, typ):
    assert auth.call.exchange(auth.issuer.id_token(now=auth.clock(), typ=typ)).error == (400, "invalid_grant")


def test_a_token_without_a_type_is_one(auth):
    assert auth.call.exchange(auth.issuer.id_token(now=auth.clock(), typ=None)).status == 200


def test_our_own_tokens_are_no_id_tokens(auth):
    tokens = auth.sign_in()
    for text in (tokens["access_token"], tokens["refresh_token"]):
        assert auth.call.exchange(text).error == (400, "invalid_grant")


def forged(auth):
    """Tokens that no key of the issuer signed as they say."""
    now, claims = int(auth.clock()), claims_of(auth.issuer.id_token(now=auth.clock()))
    good = auth.issuer.id_token(now=now)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    header, payload, signature = good.split(".")
    public = json.dumps(jwt.get_unverified_header(good)).encode()
    return {
        "a stranger's key": jwt.encode(claims, stranger, "RS256", headers={"kid": "rsa"}),
        "an unknown key": jwt.encode(claims, stranger, "RS256", headers={"kid": "unknown"}),
        "no key named": jwt.encode(claims, stranger, "RS256"),
        "another algorithm": jwt.encode(claims, stranger, "RS512", headers={"kid": "rsa"}),
        "none": jwt.encode(claims, "", "none", headers={"kid": "rsa"}),
        "the key as a secret": jwt.encode(claims, public * 2, "HS256", headers={"kid": "rsa"}),
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "another payload": f"{header}.{payload[:-4]}AAAA.{signature}",
        "text": "nonsense",
        "dots": "...",
        "not ASCII": "é.é.é",
        "a critical extension": jwt.encode(claims, RSA, "RS256", headers={"kid": "rsa", "crit": ["x"]}),
        "a list": sign_payload(b"[]"),
        "a number": sign_payload(b"7"),
        "no JSON": sign_payload(b"{"),
        "not UTF-8": sign_payload(b"\xff"),
    }


def sign_payload(payload):
    return jwt.PyJWS().encode(payload, issuer_keys()["rsa"], "RS256", headers={"kid": "rsa"})


FORGED = [
    "a stranger's key",
    "an unknown key",
    "no key named",
    "another algorithm",
    "none",
    "the key as a secret",
    "no signature",
    "two parts",
    "another payload",
    "text",
    "dots",
    "not ASCII",
    "a critical extension",
    "a list",
    "a number",
    "no JSON",
    "not UTF-8",
]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_id_token_is_refused(auth, name):
    assert auth.call.exchange(forged(auth)[name]).error == (400, "invalid_grant")


def test_a_token_that_names_no_key_passes_where_there_is_only_one(auth):
    key = issuer_keys()["rsa"]
    auth.issuer.document = json.dumps({"keys": [json.loads(auth.issuer.document)["keys"][0]]}).encode()
    claims = claims_of(auth.issuer.id_token(now=auth.clock()))
    assert auth.call.exchange(jwt.encode(claims, key, "RS256")).status == 200


def test_a_short_key_of_the_issuer_is_refused(auth):
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (that is the point)
    algorithm = jwt.get_algorithm_by_name("RS256")
    jwk = {**json.loads(algorithm.to_jwk(short.public_key())), "kid": "short"}
    auth.issuer.document = json.dumps({"keys": [jwk]}).encode()
    claims = claims_of(auth.issuer.id_token(now=auth.clock()))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(claims, short, "RS256", headers={"kid": "short"})
    assert auth.call.exchange(token).error == (400, "invalid_grant")


GOOD = [public_jwk(RSA, "rsa")]
TOO_LARGE = json.dumps({"keys": GOOD}).encode() + b" " * 65_536


@pytest.mark.parametrize(
    ("status", "document", "headers"),
    [
        (500, b"", {}),
        (200, b"nonsense", {}),
        (200, b"[]", {}),
        (200, b'{"keys": 7}', {}),
        (200, b'{"keys": []}', {}),
        (200, TOO_LARGE, {}),
        (200, json.dumps({"keys": GOOD + [{}] * 20}).encode(), {}),
        (200, b"[" * 60_000, {}),
    ],
    ids=["error", "no JSON", "a list", "keys no list", "no keys", "too large", "too many", "deep"],
)
def test_an_issuer_without_keys_is_an_outage_and_not_the_user_s_fault(auth, log, status, document, headers):
    auth.issuer.status, auth.issuer.document, auth.issuer.headers = status, document, headers
    token = auth.issuer.id_token(now=auth.clock())
    assert auth.call.exchange(token).error == (503, "temporarily_unavailable")
    said = "the keys of the identity issuer cannot be fetched; send the request again"
    assert json.loads(auth.call.exchange(token).body)["error_description"] == said
    assert "127.0.0.1" in log.getvalue(), "the log has host and cause"


def test_keys_are_not_taken_from_where_a_redirect_leads(auth):
    with Issuer() as elsewhere:
        auth.issuer.status, auth.issuer.headers = 302, {"Location": elsewhere.url}
        answer = auth.call.exchange(auth.issuer.id_token(now=auth.clock()))
    assert answer.error == (503, "temporarily_unavailable")
    assert elsewhere.requests == 0


def test_unknown_keys_cause_one_fetch_and_a_rotated_key_is_found_by_it(auth):
    auth.sign_in()
    before = auth.issuer.requests
    keys = json.loads(auth.issuer.document)["keys"]
    auth.issuer.document = json.dumps({"keys": [*keys, {**keys[0], "kid": "rotated"}]}).encode()
    claims = claims_of(auth.issuer.id_token(now=auth.clock(), nonce="rotated"))
    rotated = jwt.encode(claims, issuer_keys()["rsa"], "RS256", headers={"kid": "rotated"})
    assert auth.call.exchange(rotated).status == 200
    for number in range(3):
        unknown = jwt.encode(claims, issuer_keys()["rsa"], "RS256", headers={"kid": f"unknown-{number}"})
        assert auth.call.exchange(unknown).error == (400, "invalid_grant")
    assert auth.issuer.requests == before + 1


REQUESTS = {
    "another type of token": ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
    "no type of token": ({"subject_token_type": ""}, "invalid_request"),
    "no token": ({"subject_token": ""}, "invalid_request"),
    "a refresh token wanted": (
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        "invalid_request",
    ),
    "for an actor": ({"actor_token": "x", "actor_token_type": "y"}, "invalid_request"),
    "another audience": ({"audience": "other"}, "invalid_target"),
    "a resource": ({"resource": "https://resource.example"}, "invalid_target"),
}


@pytest.mark.parametrize(("form", "error"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_that_the_service_cannot_serve_is_refused(auth, form, error):
    token = auth.issuer.id_token(now=auth.clock())
    assert auth.call.exchange(token, **form).error == (400, error)
    assert auth.call.exchange(token).status == 200, "the ID token is still good"


def test_what_is_asked_for_explicitly_may_be_what_one_gets_anyway(auth):
    answer = auth.call.exchange(
        auth.issuer.id_token(now=auth.clock()),
        requested_token_type="urn:ietf:params:oauth:token-type:access_token",
        audience="agentsocket",
        client_id=CLIENT_ID,
        unknown="ignored",
    )
    assert answer.status == 200


def test_an_unknown_client_id_is_an_invalid_client(auth):
    answer = auth.call.exchange(auth.issuer.id_token(now=auth.clock()), client_id="other")
    assert answer.error == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_longest_subject_of_the_worst_characters_fits_a_token(auth):
    """agentsocket reads tokens of 4 KB."""
    token = auth.sign_in("\x01" * 255, **{"cognito:groups": ["admin", "audit"]})["access_token"]
    assert len(token) <= 4096
    assert auth.introspect(token)["sub"] == "\x01" * 255
