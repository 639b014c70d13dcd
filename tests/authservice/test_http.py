"""What every endpoint shares: routing, bodies, errors (RFC 6749), CORS, caching, and what is logged."""

from __future__ import annotations

import base64
import json
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authservice import decorators, wiring
from authservice.inputs import Response
from authservice.limits import Limits
from tests.authservice.conftest import GATEKEEPER, ORIGIN, SESSION, URL, caller
from tests.authservice.http_client import EXCHANGE, FORM, ID_TOKEN, Caller

POSTS = ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/logout", "/ticket"]
GETS = ["/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/health"]
FORMS = {"content-type": FORM}


def send_form(auth, body, *, path="/oauth/token", content_type=FORM, **options):
    return auth.call.send("POST", path, headers={"content-type": content_type}, body=body, **options)


# Bodies.

TOO_MANY = "&".join(["grant_type=refresh_token", "refresh_token=x", *(f"p{n}=1" for n in range(31))])
BAD_BODIES = {
    "nothing": ({}, "invalid_request"),
    "no body": ({"body": None}, "invalid_request"),
    "no grant_type": ({"body": "a=b"}, "invalid_request"),
    "an empty grant_type": ({"body": "grant_type="}, "invalid_request"),
    "an unknown grant": ({"body": "grant_type=password&username=a&password=b"}, "unsupported_grant_type"),
    "the grant of another case": ({"body": "grant_type=Refresh_Token&refresh_token=x"}, "unsupported_grant_type"),
    "no refresh_token": ({"body": "grant_type=refresh_token"}, "invalid_request"),
    "an empty refresh_token": ({"body": "grant_type=refresh_token&refresh_token="}, "invalid_request"),
    "a parameter twice": ({"body": "grant_type=refresh_token&refresh_token=a&refresh_token=a"}, "invalid_request"),
    "an unknown parameter twice": ({"body": "grant_type=refresh_token&refresh_token=a&x=1&x="}, "invalid_request"),
    "no pairs": ({"body": "nonsense"}, "invalid_request"),
    "a dangling ampersand": ({"body": "grant_type=refresh_token&&"}, "invalid_request"),
    "percent without digits": ({"body": "grant_type=%zz"}, "unsupported_grant_type"),
    "percent that is not UTF-8": ({"body": "grant_type=refresh_token&refresh_token=%ff"}, "invalid_request"),
    "half a surrogate pair": ({"body": "grant_type=\ud800"}, "invalid_request"),
    "JSON": ({"body": '{"grant_type": "refresh_token"}', "content_type": "application/json"}, "invalid_request"),
    "JSON called a form": ({"body": '{"grant_type": "refresh_token"}'}, "invalid_request"),
    "no content type": ({"body": "grant_type=refresh_token", "content_type": ""}, "invalid_request"),
    "another content type": ({"body": "grant_type=x", "content_type": "multipart/form-data"}, "invalid_request"),
    "too many parameters": ({"body": TOO_MANY}, "invalid_request"),
    "base64 that is none": ({"body": "???", "encoded": True}, "invalid_request"),
    "base64 of what is not UTF-8": (
        {"body": base64.b64encode(b"\xff=\xff").decode(), "encoded": True},
        "invalid_request",
    ),
    "base64 not in ASCII": ({"body": "é", "encoded": True}, "invalid_request"),
}


@pytest.mark.parametrize(("sent", "error"), BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_bad_body_is_an_error_of_rfc_6749(auth, sent, error):
    answer = send_form(auth, **({"body": ""} | sent))
    assert answer.error == (400, error)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert auth.rows() == []


@pytest.mark.parametrize("path", ["/oauth/revoke", "/oauth/introspect"])
@pytest.mark.parametrize("body", ["", "token=", "other=1", "token=a&token=b"])
def test_without_one_token_there_is_nothing_to_revoke_or_introspect(auth, path, body):
    headers = {**FORMS, "authorization": "Basic " + base64.b64encode(":".join(GATEKEEPER).encode()).decode()}
    assert auth.call.send("POST", path, headers=headers, body=body).error == (400, "invalid_request")


def test_a_form_may_come_in_base64_and_its_content_type_have_parameters(auth):
    token = auth.sign_in()["refresh_token"]
    body = urlencode({"grant_type": "refresh_token", "refresh_token": token})
    encoded = base64.b64encode(body.encode()).decode()
    answer = send_form(auth, encoded, encoded=True, content_type="Application/X-WWW-Form-URLEncoded; charset=UTF-8")
    assert answer.status == 200


def test_header_names_have_no_case(auth):
    token = auth.sign_in()["access_token"]
    assert auth.call.send("POST", "/ticket", headers={"AUTHORIZATION": f"bearer  {token}"}).status == 200


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_over_16_kb_is_413(auth, path, encoded):
    most, over = "x" * (16 * 1024), "x" * (16 * 1024 + 1)
    for body, too_large in ((most, False), (over, True)):
        text = base64.b64encode(body.encode()).decode() if encoded else body
        answer = auth.call.send("POST", path, headers={**FORMS, "origin": ORIGIN}, body=text, encoded=encoded)
        assert (answer.status == 413) is too_large
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.json["error"] == "invalid_request"


def test_bytes_are_counted_and_not_characters(auth):
    assert send_form(auth, "é" * (8 * 1024)).status == 400
    assert send_form(auth, "é" * (8 * 1024) + "x").status == 413


# Client credentials.


def test_a_client_gets_a_token_of_its_own_for_this_service_only(auth):
    client = auth.register("ops", "users:logout reports")
    answer = auth.call.post("/oauth/token", basic=client, grant_type="client_credentials")
    assert answer.status == 200
    assert set(answer.json) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.json["scope"] == "reports users:logout"
    token = auth.introspect(answer.json["access_token"])
    assert (token["sub"], token["aud"], token["client_id"]) == ("client:ops", URL, "ops")
    narrow = auth.call.post("/oauth/token", basic=client, grant_type="client_credentials", scope="reports")
    assert narrow.json["scope"] == "reports"
    wide = auth.call.post("/oauth/token", basic=client, grant_type="client_credentials", scope="chat")
    assert wide.error == (400, "invalid_scope")


@pytest.mark.parametrize("credentials", [None, ("ops", "wrong"), ("unknown", "x")])
def test_without_good_credentials_a_client_gets_nothing(auth, credentials):
    auth.register("ops", "users:logout")
    answer = auth.call.post("/oauth/token", basic=credentials, grant_type="client_credentials")
    assert answer.error == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_the_right_to_introspect_is_no_scope_of_tokens(auth):
    for basic in (GATEKEEPER, auth.register("monitor", "introspect")):
        answer = auth.call.post("/oauth/token", basic=basic, grant_type="client_credentials")
        assert answer.error == (400, "unauthorized_client")


def test_wrong_credentials_are_refused_with_any_grant(auth):
    answer = auth.call.post("/oauth/token", basic=("ops", "wrong"), grant_type="refresh_token", refresh_token="x")
    assert answer.error == (401, "invalid_client")


# Paths and methods.


@pytest.mark.parametrize(
    "path", ["/", "", "/oauth", "/oauth/token/", "/OAUTH/TOKEN", "/oauth//token", "/%2e", "/health/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_404(auth, method, path):
    answer = auth.call.send(method, path)
    assert answer.error == (404, "not_found")
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(("path", "right"), [*((path, "POST") for path in POSTS), *((path, "GET") for path in GETS)])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "get", "NONSENSE"])
def test_a_wrong_method_is_405_and_says_which_is_right(auth, path, right, method):
    answer = auth.call.send(method, path, headers={"origin": ORIGIN})
    if method == right:
        assert answer.status != 405
    else:
        assert answer.error == (405, "method_not_allowed")
        assert answer.headers["Allow"] == f"{right}, OPTIONS"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


# CORS.


@pytest.mark.parametrize(("path", "method"), [*((path, "POST") for path in POSTS), *((path, "GET") for path in GETS)])
def test_a_preflight_names_the_path_s_methods_to_a_listed_origin(auth, path, method):
    """L1."""
    asks = {
        "origin": ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization",
    }
    answer = auth.call.send("OPTIONS", path, headers=asks)
    assert (answer.status, answer.body) == (204, "")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Methods"] == method
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [ORIGIN, "https://other.example.com"])
def test_an_answer_names_the_very_origin_that_asked(auth, origin):
    """L1: several origins."""
    answer = auth.call.get("/health", origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Vary"] == "Origin"


FOREIGN = [
    "https://evil.example",
    "null",
    "*",
    ORIGIN + ".evil.example",
    ORIGIN.upper(),
    ORIGIN + "/",
    "http://app.example.com",
    "",
    ORIGIN + ", " + ORIGIN,
]


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize(
    ("method", "path"), [("OPTIONS", "/ticket"), ("GET", "/health"), ("GET", "/no"), ("POST", "/ticket")]
)
def test_a_foreign_origin_is_never_echoed(auth, origin, method, path):
    """L1."""
    answer = auth.call.send(method, path, headers={"origin": origin, "access-control-request-method": "POST"})
    assert answer.headers["Vary"] == "Origin"
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]
    assert not [value for value in answer.headers.values() if origin and origin in value and origin != "*"]


def test_refusals_are_readable_by_the_page_that_caused_them(auth):
    """L1: headers also on 400, 401, 404, 405, 413 and 503."""
    auth.kms.status = 500
    token = auth.issuer.id_token(now=auth.clock())
    exchange = urlencode({"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ID_TOKEN})
    answers = [
        auth.call.send(method, path, headers={**FORMS, "origin": ORIGIN}, body=body)
        for method, path, body in (
            ("POST", "/oauth/token", ""),
            ("POST", "/ticket", ""),
            ("POST", "/no", ""),
            ("GET", "/ticket", ""),
            ("POST", "/ticket", "x" * 20_000),
            ("POST", "/oauth/token", exchange),
        )
    ]
    assert [answer.status for answer in answers] == [400, 401, 404, 405, 413, 503]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Vary"] == "Origin"


# Faults.


def test_a_fault_is_server_error_and_nothing_of_it(auth, log):
    """L1: with CORS headers; the log has the kind and the place of it, not its text."""

    def broken(_request):
        raise RuntimeError("a secret text")

    limits = Limits()
    call = Caller(decorators.http({"/broken": {"GET": broken}}, origins={ORIGIN}, limits=limits))
    answer = call.get("/broken", origin=ORIGIN)
    assert (answer.status, answer.json) == (500, {"error": "server_error"})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Cache-Control"] == "no-store"
    assert '"RuntimeError"' in log.getvalue()
    assert "test_http.py" in log.getvalue()
    assert "a secret text" not in log.getvalue()


def test_a_missing_table_is_a_fault_of_ours_and_an_unhealthy_service(auth):
    SESSION.client("dynamodb").delete_table(TableName="auth")
    assert auth.call.refresh("x").error == (500, "server_error")
    answer = auth.call.get("/health")
    assert (answer.status, answer.json["status"]) == (503, "down")
    assert answer.json["dependencies"]["table"]["status"] == "down"


def test_a_signing_key_that_is_not_the_published_one_gives_out_nothing(auth, monkeypatch):

    auth.kms.keys["another"] = ec.generate_private_key(ec.SECP256R1())
    monkeypatch.setenv("SIGNING_KEY", "another")
    call = caller(wiring.service(now=auth.clock))
    assert call.exchange(auth.issuer.id_token(now=auth.clock())).error == (500, "server_error")
    assert auth.rows() == []


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "KMSInternalException"), (400, "ThrottlingException"), (503, "Anything"), (500, "InternalFailure")],
)
def test_a_key_service_under_stress_is_an_outage_whose_cause_is_in_the_log(auth, log, status, code):
    auth.kms.status, auth.kms.error = status, code
    answer = auth.call.exchange(auth.issuer.id_token(now=auth.clock()))
    auth.kms.error = "KMSInternalException"
    assert answer.error == (503, "temporarily_unavailable")
    assert "KMS" not in answer.json["error_description"]
    assert f"KMS is busy: {code}" in log.getvalue()


def test_a_key_that_may_not_be_used_is_a_fault_of_ours(auth):
    auth.kms.status, auth.kms.error = 400, "AccessDeniedException"
    answer = auth.call.exchange(auth.issuer.id_token(now=auth.clock()))
    auth.kms.error = "KMSInternalException"
    assert answer.error == (500, "server_error")


# Documents.


def test_keys_are_served_without_asking_kms_and_may_be_cached(auth):
    before = len(auth.kms.calls)
    answer = auth.call.get("/.well-known/jwks.json")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    [key] = answer.json["keys"]
    assert {key["kty"], key["crv"], key["alg"], key["use"]} == {"EC", "P-256", "ES256", "sig"}
    assert "d" not in key
    assert len(auth.kms.calls) == before


def test_the_metadata_name_every_endpoint_that_they_should(auth):
    """RFC 8414, section 2."""
    answer = auth.call.get("/.well-known/oauth-authorization-server")
    document = answer.json
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert document["issuer"] == URL
    assert document["grant_types_supported"] == [EXCHANGE, "refresh_token", "client_credentials"]
    assert document["scopes_supported"] == ["admin", "audit", "chat"]
    assert document["response_types_supported"] == []
    for name, address in document.items():
        if name.endswith(("_endpoint", "_uri")):
            path = address.removeprefix(URL)
            assert auth.call.send("OPTIONS", path).status == 204, path


def test_health_says_how_fast_the_table_is_and_no_secrets(auth):
    """L2: no authentication."""
    answer = auth.call.get("/health")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json["status"] == "ok"
    assert set(answer.json["dependencies"]) == {"table"}
    assert answer.json["dependencies"]["table"]["latency_ms"] >= 0
    assert set(answer.json) == {"status", "dependencies"}


# Logs.


def test_nothing_logs_a_token_a_secret_or_a_query(auth, log):
    """security.md, Logs."""
    id_token = auth.issuer.id_token("the-subject", now=auth.clock())
    tokens = auth.call.exchange(id_token).json
    ticket = auth.call.post("/ticket", bearer=tokens["access_token"]).json["ticket"]
    auth.call.exchange(id_token)
    auth.introspect(ticket)
    auth.call.post("/oauth/introspect", basic=("gatekeeper", "wrong-secret"), token=ticket)
    auth.call.refresh(tokens["refresh_token"])
    auth.call.post("/a-secret-path", bearer=tokens["access_token"])
    auth.call.send("SECRET-METHOD", "/ticket", headers={"x-secret": "hush"}, body="secret-body")
    auth.logout(tokens["access_token"])
    logged = log.getvalue()
    assert '"request_completed"' in logged
    assert '"request_refused"' in logged
    secrets = [*tokens.values(), id_token, ticket, id_token.split(".")[2], GATEKEEPER[1], "wrong-secret"]
    more = ["the-subject", "a-secret-path", "SECRET-METHOD", "hush", "secret-body", "192.0.2.10"]
    for secret in [*(text for text in secrets if isinstance(text, str) and len(text) > 10), *more]:
        assert secret not in logged


# Fuzz.

ANY_TEXT = st.text(max_size=300) | st.text("%&=+abc01 \x00\ud800é", max_size=300)
FIELDS = [
    "grant_type",
    "refresh_token",
    "subject_token",
    "subject_token_type",
    "scope",
    "token",
    "client_id",
    "sub",
    "audience",
    "token_type_hint",
]
VALUES = st.sampled_from(
    [
        EXCHANGE,
        "refresh_token",
        "client_credentials",
        ID_TOKEN,
        "chat",
        "a.b.c",
        "eyJhbGciOiJFUzI1NiJ9.e30.AA",
        "",
        "x" * 5000,
    ]
)
FORM_BODIES = st.lists(st.tuples(st.sampled_from(FIELDS), VALUES | ANY_TEXT), max_size=8).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "authorization", "origin", "Origin", "x-other", "Content-Type"]),
    st.sampled_from(
        [FORM, "Bearer x", "Basic eDp5", "Basic ", "Bearer", "basic", ORIGIN, "a, b", "Bearer eyJhbGciOiJub25lIn0.e30."]
    )
    | ANY_TEXT,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["POST", "POST", "POST", "GET", "OPTIONS"]) | ANY_TEXT,
    path=st.sampled_from([*POSTS, *GETS]) | ANY_TEXT,
    headers=HEADERS,
    body=st.none() | FORM_BODIES | ANY_TEXT,
    encoded=st.booleans(),
    usual=st.booleans(),
)
def test_nothing_that_is_sent_is_a_fault_of_ours(auth, method, path, headers, body, encoded, usual):
    """Malformed input is always the sender's: 4xx, with CORS, in JSON, and in characters that HTTP can carry."""
    given_headers = {**headers, **(FORMS if usual else {})}
    answer = auth.call.send(method, path, headers=given_headers, body=body, encoded=encoded)
    assert answer.status < 500
    assert "Origin" in answer.headers["Vary"]
    if answer.status >= 400:
        description = json.loads(answer.body).get("error_description", "")
        assert description.isascii()
        assert not set(description) & set('"\\')
    for name, value in answer.headers.items():
        assert (name + value).isascii()
        assert "\n" not in value


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.text(max_size=200),
    payload=st.text(max_size=200),
    signature=st.text(max_size=100),
    path=st.sampled_from(POSTS),
)
def test_no_text_in_the_place_of_a_token_is_a_fault_of_ours(auth, header, payload, signature, path):
    parts = [
        base64.urlsafe_b64encode(part.encode(errors="replace")).rstrip(b"=").decode() for part in (header, payload)
    ]
    token = ".".join([*parts, signature])
    for fields in (
        {"grant_type": "refresh_token", "refresh_token": token},
        {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ID_TOKEN},
        {"token": token},
    ):
        body = urlencode(fields, errors="replace")
        for authorization in (f"Bearer {token}", "Basic " + base64.b64encode(":".join(GATEKEEPER).encode()).decode()):
            headers = {**FORMS, "authorization": authorization}
            assert auth.call.send("POST", path, headers=headers, body=body).status < 500


def test_an_answer_without_content_has_no_content_type():
    assert "Content-Type" not in Response(204).headers
