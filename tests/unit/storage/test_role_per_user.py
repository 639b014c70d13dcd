"""role_per_user.py: each user's own credentials, kept for that user and no longer than they are good.

Against moto's STS where its answers matter, against a little STS of our own where faults and threads do. Neither
judges the role's policy: tests/template/test_tenant_policy.py does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from agentsocket.errors import Unavailable
from agentsocket.limits import Limits
from agentsocket.storage.role_per_user import Tenants
from agentsocket.storage.table import Table
from agentsocket.storage.user import Storage
from tests.conftest import create_table, mocked_aws, principal_of
from tests.support.fakes import Clock
from tests.support.waiting import TIME_FACTOR

ROLE = "arn:aws:iam::123456789012:role/tenant"
LIMITS = Limits(tenants_cached=2)
ADA, BOB, EVE = ("a" * 32, "b" * 32, "e" * 32)


class Sts(ThreadingHTTPServer):
    """An STS that remembers what it was asked, and answers with credentials named after the user, or with `fault`.

    `busy` is how many requests it has at once.
    """

    daemon_threads = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.clock = clock
        self.asked: list[dict[str, str]] = []
        self.fault: tuple[int, str] | None = None
        self.slow_s = 0.0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def users(self) -> list[str]:
        """Whom credentials were asked for, in that order."""
        return [each["RoleSessionName"] for each in self.asked]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Sts
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        time.sleep(self.server.slow_s)
        self.server.asked.append(asked)
        status, text = self._answer(asked) if self.server.fault is None else self._fault(*self.server.fault)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _answer(self, asked: dict[str, str]) -> tuple[int, str]:
        user, number = asked["RoleSessionName"], len(self.server.asked)
        ends = datetime.fromtimestamp(self.server.clock() + int(asked["DurationSeconds"]), UTC)
        return 200, (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
            f"<AccessKeyId>{user}.{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            f"<SessionToken>t</SessionToken><Expiration>{ends.isoformat()}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )

    def _fault(self, status: int, code: str) -> tuple[int, str]:
        return status, f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def sts(clock: Clock) -> Iterator[Sts]:
    server = Sts(clock)
    yield server
    server.stop()


@pytest.fixture
def tenants(sts: Sts, clock: Clock) -> Iterator[Tenants]:
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, read_timeout=20 * TIME_FACTOR)
    client: Any = boto3.client("sts", endpoint_url=sts.url, config=config)
    yield Tenants(client, ROLE, opened, limits=LIMITS, now=clock)
    client.close()


def opened(**credentials: str) -> Table:
    """A table whose name tells with what it was opened."""
    return Table(object(), credentials["aws_access_key_id"], now=time.time)  # type: ignore[arg-type]


def key_of(table: Table) -> str:
    return table._name


def test_credentials_are_asked_for_one_user_with_a_tag_that_names_them(tenants, sts):
    tenants.for_user(ADA)
    [asked] = sts.asked
    assert (asked["Action"], asked["RoleArn"], asked["RoleSessionName"]) == ("AssumeRole", ROLE, ADA)
    assert (asked["Tags.member.1.Key"], asked["Tags.member.1.Value"]) == ("u", ADA)
    assert "Tags.member.2.Key" not in asked
    assert asked["DurationSeconds"] == str(LIMITS.tenant_credentials_s)


def test_they_are_kept_for_their_own_user(tenants, sts):
    adas, bobs = tenants.for_user(ADA), tenants.for_user(BOB)
    assert [key_of(adas), key_of(bobs)] == [f"{ADA}.1", f"{BOB}.2"]
    assert tenants.for_user(ADA) is adas
    assert tenants.for_user(BOB) is bobs
    assert sts.users == [ADA, BOB]


def test_they_are_renewed_while_they_still_outlive_a_run(tenants, sts, clock):
    """What a worker has begun with them lasts 15 minutes at most."""
    first = tenants.for_user(ADA)
    clock.advance(LIMITS.tenant_credentials_s - LIMITS.tenant_renew_s)
    assert tenants.for_user(ADA) is first
    clock.advance(1)
    assert key_of(tenants.for_user(ADA)) == f"{ADA}.2"
    assert LIMITS.tenant_renew_s > 900
    assert tenants.for_user(ADA) is tenants.for_user(ADA)
    assert sts.users == [ADA, ADA]


def test_those_of_whom_has_not_been_seen_longest_are_forgotten(tenants, sts):
    for user in (ADA, BOB, ADA, EVE, ADA, EVE):
        tenants.for_user(user)
    assert sts.users == [ADA, BOB, EVE]
    tenants.for_user(BOB)
    assert sts.users == [ADA, BOB, EVE, BOB]


@pytest.mark.parametrize("fault", [(500, "InternalFailure"), (503, "ServiceUnavailable"), (400, "Throttling")])
def test_an_sts_that_cannot_answer_is_unavailable_for_now(tenants, sts, fault):
    sts.fault = fault
    with pytest.raises(Unavailable) as refused:
        tenants.for_user(ADA)
    assert refused.value.cause == f"STS: {fault[1]}"
    sts.fault = None
    assert key_of(tenants.for_user(ADA)).startswith(ADA)


def test_an_sts_that_is_not_there_is_unavailable_too(tenants, sts):
    sts.stop()
    with pytest.raises(Unavailable) as refused:
        tenants.for_user(ADA)
    assert refused.value.cause == "STS: EndpointConnectionError"


def test_a_failed_renewal_does_not_fall_back_on_another_s_or_on_none(tenants, sts, clock):
    tenants.for_user(ADA)
    tenants.for_user(BOB)
    clock.advance(LIMITS.tenant_credentials_s)
    sts.fault = (503, "ServiceUnavailable")
    for user in (ADA, BOB):
        with pytest.raises(Unavailable):
            tenants.for_user(user)


def test_a_refusal_is_the_deployment_s_error_and_stays_what_it_is(tenants, sts):
    sts.fault = (403, "AccessDenied")
    with pytest.raises(ClientError, match="AccessDenied"):
        tenants.for_user(ADA)


def test_of_many_threads_one_asks_and_each_gets_its_own_user_s(tenants, sts):
    sts.slow_s = 0.05
    wanted = [ADA, BOB] * 20
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(tenants.for_user, wanted))
    assert [key_of(table).partition(".")[0] for table in got] == wanted
    assert sorted(sts.users) == [ADA, BOB]


def test_storage_works_through_a_user_s_credentials_and_says_who_it_is(clock):
    """Of moto's STS, which knows whose credentials are whose."""
    clock.now = time.time()
    used: list[str] = []
    with mocked_aws():
        create_table(boto3.client("dynamodb"))

        def open_table(**credentials: Any) -> Table:
            identity: Any = boto3.client("sts", **credentials).get_caller_identity()
            used.append(identity["Arn"])
            client: Any = boto3.client("dynamodb", **credentials)
            return Table(client, "agentsocket", now=clock)

        storage = Storage(Tenants(boto3.client("sts"), ROLE, open_table, limits=LIMITS, now=clock), limits=LIMITS)
        for name in ("ada", "bob", "ada"):
            user = storage.for_user(principal_of(name, clock))
            user.connections.open(f"of {name}".replace(" ", "-"))
            assert [each.connection_id for each in user.connections.activity().connections] == [f"of-{name}"]
        storage.reachable()
    expected = [principal_of(name, clock).user for name in ("ada", "bob")] + ["0" * 32]
    assert used == [f"arn:aws:sts::123456789012:assumed-role/tenant/{user}" for user in expected]


WIRED = """
import sys
from agentsocket import wiring
from agentsocket.principal import of_queued
shared, own = wiring.storage(), wiring.storage(per_user=True)
print(type(shared._table).__name__, type(own._table).__name__, "agentsocket.storage.role_per_user" in sys.modules)
"""


@pytest.mark.parametrize(("role", "wired"), [("", ["Table", "Table", "False"]), (ROLE, ["Table", "Tenants", "True"])])
def test_a_deployment_without_it_loads_nothing_of_it(role, wired):
    environment = os.environ | {"TABLE_NAME": "agentsocket", "TENANT_ROLE": role}
    run = subprocess.run([sys.executable, "-c", WIRED], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == wired
