"""Introspection against a little auth service over real HTTP that can be told to misbehave."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest
import yaml

from agentsocket import principal
from agentsocket.auth import introspection, tokens
from agentsocket.auth.introspection import POLICY, AuthService
from agentsocket.errors import TokenRejected, Unavailable
from agentsocket.limits import Limits
from tests.support.fakes import Clock
from tests.support.size_budget import ROOT
from tests.support.tokens import AUDIENCE, CLAIMS, ISSUER, KEYS, NOW
from tests.unit.auth.bad_tokens import BAD

LIMITS = Limits()
HASTY = Limits(introspection_timeout_ms=100)  # where the service hangs
ADA = principal.of_claims(CLAIMS)
ADMIN = principal.of_claims({**CLAIMS, "scope": "chat admin"})
PRIVILEGED = {"admin"}
ACTIVE, INACTIVE = b'{"active": true}', b'{"active": false}'


class Service:
    """An introspection endpoint: `status` and `body` are its answer, 0 hangs up, None never answers."""

    def __init__(self) -> None:
        self.status: int | None = 200
        self.body = ACTIVE
        self.headers: dict[str, str] = {}
        self.asked: list[dict[str, list[str]]] = []
        self.credentials: list[str] = []
        self._released = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.credentials.append(self.headers["Authorization"])
                service.asked.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                if service.status is None:
                    service._released.wait(60)
                if not service.status:
                    self.close_connection = True
                    return
                self.send_response(service.status)
                for name, value in service.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(service.body)

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/oauth/introspect"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def clock():
    return Clock(NOW)


class Asker:
    """An AuthService whose time is the clock's and whose waits are remembered, each as long as it may be."""

    def __init__(self, service, clock, limits=LIMITS, uniform=lambda _low, high: high):
        self.waits: list[float] = []
        self.bounds: list[tuple[float, float]] = []

        def sleep(seconds):
            self.waits.append(seconds)
            clock.advance(seconds)

        def draw(low, high):
            self.bounds.append((low, high))
            return uniform(low, high)

        self._service = AuthService(
            service.url, "a client", "s:cret%", limits=limits, now=clock, sleep=sleep, uniform=draw
        )

    def active(self):
        return self._service.active("the-token")

    def fails(self):
        with pytest.raises(Unavailable):
            self.active()
        return True


@pytest.fixture
def asker(service, clock):
    return Asker(service, clock)


def test_an_active_token_is_active_and_an_inactive_one_is_not(service, asker):
    assert asker.active() is True
    service.body = INACTIVE
    assert asker.active() is False
    assert service.asked == [{"token": ["the-token"]}] * 2


def test_the_credentials_are_form_encoded_and_sent_by_basic(service, asker):
    """RFC 6749, section 2.3.1."""
    asker.active()
    scheme, _, encoded = service.credentials[0].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == b"a+client:s%3Acret%25"


PASSING = {
    "an error of its own": (500, b""),
    "not available": (503, ACTIVE),
    "too many requests": (429, b""),
    "hung up": (0, b""),
}
LASTING = {
    "our credentials are refused": (401, b'{"error": "invalid_client"}'),
    "we may not ask": (403, b""),
    "no such address": (404, b""),
    "a redirect": (302, ACTIVE),
    "another success": (201, ACTIVE),
    "a page": (200, b"<html>active</html>"),
    "no JSON": (200, b'{"active": tru'),
    "not UTF-8": (200, b'{"active": true, "x": "\xff"}'),
    "a list": (200, b"[true]"),
    "no active": (200, b"{}"),
    "active a string": (200, b'{"active": "true"}'),
    "active a number": (200, b'{"active": 1}'),
    "active null": (200, b'{"active": null}'),
    "active twice": (200, b'{"active": false, "active": true}'),
    "nested": (200, b'{"active": true, "x": ' + b"[" * 90 + b"]" * 90 + b"}"),
    "empty": (200, b""),
}


@pytest.mark.parametrize(("status", "body"), PASSING.values(), ids=PASSING)
def test_what_may_pass_is_tried_again(service, asker, status, body):
    """I5."""
    service.status, service.body = status, body
    assert asker.fails()
    assert len(service.asked) == LIMITS.introspection_attempts


@pytest.mark.parametrize(("status", "body"), LASTING.values(), ids=LASTING)
def test_what_will_not_pass_is_a_failure_and_not_tried_again(service, asker, status, body):
    """I5."""
    service.status, service.body = status, body
    assert asker.fails()
    assert len(service.asked) == 1


def test_an_answer_that_is_too_large_is_none(service, asker):
    service.body = b'{"active": true, "x": "' + b"x" * 1_000_000 + b'"}'
    assert asker.fails()


def test_a_service_that_never_answers_fails_at_the_time_out(service, clock):
    service.status = None
    assert Asker(service, clock, HASTY).fails()
    assert len(service.asked) == HASTY.introspection_attempts


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, b"", "127.0.0.1 responded with status 503"),
        (403, b"", "127.0.0.1 responded with status 403"),
        (200, b"{}", "127.0.0.1 responded with status 200 and no verdict"),
        (0, b"", "request to 127.0.0.1 failed: RemoteDisconnected"),
    ],
)
def test_the_log_has_host_and_cause_of_each_failure_and_the_client_neither(
    service, asker, caplog, status, body, reason
):
    service.status, service.body = status, body
    with pytest.raises(Unavailable) as refused:
        asker.active()
    assert {(line.message, vars(line)["reason"]) for line in caplog.records} == {("introspection_failed", reason)}
    assert refused.value.message == "the auth service does not answer; retry"
    assert "the-token" not in caplog.text


def test_a_time_out_is_logged_with_its_seconds(service, clock, caplog):
    service.status = None
    assert Asker(service, clock, HASTY).fails()
    assert vars(caplog.records[0])["reason"] == "request to 127.0.0.1 timed out after 0.1 s"


def test_a_redirect_is_not_followed_with_our_credentials(service, clock):
    other = Service()
    service.status, service.headers = 307, {"Location": other.url}
    assert Asker(service, clock).fails()
    other.stop()
    assert other.asked == []


def test_a_service_that_is_not_there_fails(service, clock):
    gone = Service()
    gone.stop()
    assert Asker(gone, clock).fails()


def test_a_second_attempt_that_succeeds_is_the_answer(service, clock):
    """I5."""

    def recovers(_low, high):
        service.status = 200
        return high

    service.status = 500
    assert Asker(service, clock, uniform=recovers).active() is True


def test_retries_back_off_exponentially_with_full_jitter(service, clock):
    """I5."""
    patient = Limits(introspection_attempts=5, introspection_backoff_ms=200, breaker_failures=99)
    service.status = 500
    asker = Asker(service, clock, patient, uniform=random.Random(1).uniform)
    assert asker.fails()
    assert asker.bounds == [(0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6)]
    assert len(set(asker.waits)) == 4
    assert all(0 <= wait <= high for wait, (_, high) in zip(asker.waits, asker.bounds, strict=True))


class Template(yaml.SafeLoader):
    """CloudFormation's own tags are of no interest here."""


Template.add_multi_constructor("!", lambda *_: None)


def test_the_longest_wait_stays_inside_the_authorizer_s_time(service, clock):
    """I5."""
    service.status = 500
    asker = Asker(service, clock)
    assert asker.fails()
    attempts = LIMITS.introspection_attempts * LIMITS.introspection_timeout_ms / 1000
    template = yaml.load((ROOT / "template.yaml").read_text(), Template)  # noqa: S506 (a SafeLoader)
    own = template["Resources"]["AuthorizerFunction"]["Properties"].get("Timeout")
    timeout = own or template["Globals"]["Function"]["Timeout"]
    assert attempts + sum(asker.waits) + LIMITS.jwks_timeout_s < timeout


def test_three_failed_calls_open_the_circuit_and_then_nobody_asks(service, asker, clock):
    """I3."""
    service.status = 500
    assert asker.fails()
    assert asker.fails()
    assert len(service.asked) == 3
    for _ in range(10):
        assert asker.fails()
    assert len(service.asked) == 3
    assert len(asker.waits) == 1


def test_after_five_seconds_one_call_tries_and_one_success_closes_it(service, asker, clock):
    """I3."""
    service.status = 500
    asker.fails()
    asker.fails()
    clock.advance(4.9)
    asker.fails()
    assert len(service.asked) == 3
    clock.advance(0.1)
    assert asker.fails()
    assert len(service.asked) == 4
    service.status = 200
    clock.advance(5)
    assert asker.active()
    service.status = 500
    asker.fails()
    assert len(service.asked) == 4 + 1 + LIMITS.introspection_attempts


def test_it_is_back_within_ten_seconds_of_the_service(service, asker, clock):
    """I3: whenever somebody asks each second."""
    service.status = 500
    for _ in range(60):
        asker.fails()
        clock.advance(1)
    service.status = 200
    back = 0
    while back <= 10:
        try:
            asker.active()
            break
        except Unavailable:
            clock.advance(1)
            back += 1
    assert back <= 5


def test_inactive_tokens_never_open_it(service, asker):
    """I6."""
    service.body = INACTIVE
    for _ in range(20):
        assert asker.active() is False
    assert len(service.asked) == 20


def test_inactive_is_a_success_that_ends_a_row_of_failures(service, clock):
    """I6."""
    once = Limits(introspection_attempts=1)
    asker = Asker(service, clock, once)
    for _ in range(5):
        service.status, service.body = 500, b""
        asker.fails()
        asker.fails()
        service.status, service.body = 200, INACTIVE
        assert asker.active() is False


def checked(who, demand, active):
    return introspection.check(who, "token", demand=demand, privileged=PRIVILEGED, active=active)


def up(_token):
    return True


def revoked(_token):
    return False


def down(_token):
    raise Unavailable("the auth service does not answer")


def never(_token):
    raise AssertionError("the auth service was asked")


def test_the_policy_is_complete():
    demands = ("none", "privileged", "all")
    assert set(POLICY) == {(demand, scope, answers) for demand in demands for scope in (0, 1) for answers in (0, 1)}


@pytest.mark.parametrize(
    ("who", "demand", "active", "mode"),
    [
        (ADA, "none", never, "local"),
        (ADMIN, "none", never, "local"),
        (ADA, "privileged", never, "local"),
        (ADMIN, "privileged", up, "live"),
        (ADA, "all", up, "live"),
        (ADA, "all", down, "degraded"),
        (ADMIN, "all", up, "live"),
    ],
)
def test_who_is_admitted_and_how(who, demand, active, mode):
    """I4."""
    admitted = checked(who, demand, active)
    assert admitted.auth_mode == mode
    assert admitted == principal.checked(who, mode)


@pytest.mark.parametrize("demand", ["privileged", "all"])
def test_what_must_be_checked_live_is_refused_while_nobody_answers(demand):
    """I4."""
    with pytest.raises(Unavailable, match="must be checked"):
        checked(ADMIN, demand, down)


@pytest.mark.parametrize(("who", "demand"), [(ADMIN, "privileged"), (ADA, "all"), (ADMIN, "all")])
def test_a_revoked_token_is_refused(who, demand):
    """A5."""
    with pytest.raises(TokenRejected, match="revoked"):
        checked(who, demand, revoked)


def test_no_bad_token_ever_reaches_the_service(service, clock):
    """I6."""
    asking = AuthService(service.url, "c", "s", limits=LIMITS, now=clock)
    for named in BAD.values():
        for text in named.values():
            with pytest.raises(TokenRejected):
                introspection.check(
                    tokens.verify(text, keys=KEYS, issuer=ISSUER, audience=AUDIENCE, now=NOW, limits=LIMITS),
                    text,
                    demand="all",
                    privileged=PRIVILEGED,
                    active=asking.active,
                )
    assert service.asked == []
