"""What local/emulators/ministack.py and ministack_door.py promise: who reaches it, what its functions see and do."""

import socket
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from botocore.exceptions import ClientError
from yarl import URL

from local import state
from local.aws import Access
from local.emulators.ministack import Ministack
from local.emulators.ministack_door import Door
from local.errors import Unable
from tests.local.functions import call, make_function, make_role

_REQUEST = UUID(int=7)  # the same in every process that collects these tests
DESCRIBE_TABLES = """
import boto3, botocore.exceptions
def handler(event, context):
    try:
        return boto3.client("dynamodb").describe_table(TableName=event["table"])["Table"]["TableName"]
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
"""


def as_key(access: Access, key: str) -> Access:
    return Access(access.endpoint_url, key, access.aws_secret_access_key)


async def status(ministack: Ministack, path: str | URL, method: str = "GET", **headers: str) -> int:
    async with (
        aiohttp.ClientSession(ministack.access.endpoint_url) as session,
        session.request(method, path, headers=headers) as response,
    ):
        return response.status


def signed_as(key: str) -> str:
    scope = f"{key}/20260101/us-east-1/sqs/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"


def make_table(access: Access, name: str) -> str:
    made = access.client("dynamodb").create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
    )
    return str(made["TableDescription"]["TableArn"])


# --- who is let in


async def test_it_listens_on_loopback_only(ministack):
    port = int(ministack.access.endpoint_url.rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port), 5).close()


async def test_the_keys_of_this_start_are_let_in(ministack):
    assert ministack.access.client("sqs").list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize(
    "key", ["test", "000000000000", "123456789012", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"]
)
async def test_any_other_key_is_refused(ministack, key):
    with pytest.raises(ClientError, match=r"403|UnrecognizedClient|InvalidClientTokenId"):
        as_key(ministack.access, key).client("lambda").list_functions()


@pytest.mark.parametrize(
    ("key", "is_let_in"),
    [("AKIAIOSFODNN7EXAMPLE", True), ("ASIAIOSFODNN7EXAMPLE", True), ("AKIAIOSFODNN7EXAMPLF", False), ("test", False)],
)
async def test_the_door_opens_to_its_key_and_to_role_sessions_whatever_is_behind_it(key, is_let_in):
    passed, answered = [], []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def answer(message: Any) -> None:
        answered.append(message)

    async def nothing() -> Any:
        raise AssertionError("the door reads no body")

    door = Door(behind, access_key_id="AKIAIOSFODNN7EXAMPLE", hosts=["127.0.0.1"])
    headers = [(b"host", b"127.0.0.1:80"), (b"authorization", signed_as(key).encode())]
    await door({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}, nothing, answer)
    assert bool(passed) is is_let_in
    assert [message.get("status") for message in answered] == ([] if is_let_in else [403, None])


async def test_two_starts_have_different_keys(tmp_path):
    first, second = Ministack(tmp_path), Ministack(tmp_path)
    assert first.access.aws_access_key_id != second.access.aws_access_key_id
    for never_started in (first, second):
        await never_started.stop()


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/?Action=ListQueues", "GET"),
        ("/?Action=ListQueues&X-Amz-Credential=test/20260101/us-east-1/sqs/aws4_request", "POST"),
        ("/_ministack/reset", "POST"),
        ("/_ministack/config", "POST"),
        ("/_ministack/sqs/messages", "GET"),
    ],
)
async def test_a_request_without_a_key_is_refused(ministack, path, method):
    assert await status(ministack, path, method) == 403


async def test_ministacks_own_paths_are_closed_to_the_right_key_too(ministack):
    key = ministack.access.aws_access_key_id
    assert await status(ministack, "/_ministack/reset", "POST", Authorization=signed_as(key)) == 403


@pytest.mark.parametrize(
    ("method", "path", "is_let_in"),
    [
        ("PUT", f"/_ministack/cfn-response/{_REQUEST}", True),
        ("POST", f"/_ministack/cfn-response/{_REQUEST}", False),
        ("PUT", f"/_ministack/cfn-response/{_REQUEST}/../../reset", False),
        ("PUT", "/_ministack/cfn-response/", False),
        ("PUT", f"/_ministack/cfn-signal/{_REQUEST}", False),
    ],
)
async def test_a_custom_resource_s_function_may_answer_and_no_more(ministack, method, path, is_let_in):
    """It has no key for that request; the address is CloudFormation's secret."""
    assert (await status(ministack, URL(path, encoded=True), method) != 403) is is_let_in
    assert await status(ministack, URL(path, encoded=True), method, Origin="http://localhost") == 403


async def test_a_web_page_is_refused_even_with_the_right_key(ministack):
    authorization = signed_as(ministack.access.aws_access_key_id)
    assert await status(ministack, "/?Action=ListQueues", Authorization=authorization) != 403
    assert await status(ministack, "/?Action=ListQueues", Authorization=authorization, Origin="http://localhost") == 403


async def test_a_name_that_was_rebound_to_loopback_is_refused(ministack):
    assert await status(ministack, "/_ministack/health") == 200
    assert await status(ministack, "/_ministack/health", Host="attacker.example:80") == 403


@pytest.mark.parametrize("parameter", ["X-Amz-Credential", "x%2Damz%2Dcredential", "AWSAccessKeyId"])
async def test_a_key_in_the_address_cannot_stand_beside_the_one_in_the_header(ministack, parameter):
    authorization = signed_as(ministack.access.aws_access_key_id)
    path = URL(f"/?Action=ListQueues&{parameter}=test/20260101/us-east-1/sqs/aws4_request", encoded=True)
    assert await status(ministack, path, Authorization=authorization) == 403


async def test_a_second_authorization_cannot_hide_behind_the_first(ministack):
    host, port = ministack.access.endpoint_url.removeprefix("http://").split(":")
    request = (
        f"GET /?Action=ListQueues HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        f"Authorization: {signed_as('test')}\r\nAuthorization: {signed_as('ASIAIOSFODNN7EXAMPLE')}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), 30) as connection:
        connection.sendall(request.encode())
        assert b" 403 " in connection.recv(100)


# --- what functions may do, and see


async def test_a_function_may_do_only_what_its_role_allows(ministack):
    access = ministack.access
    allowed = make_table(access, "allowed")
    make_table(access, "other")
    statement = {"Effect": "Allow", "Action": "dynamodb:DescribeTable", "Resource": allowed}
    function = make_function(access, DESCRIBE_TABLES, role=make_role(access, "narrow", statement))
    assert call(access, function, {"table": "allowed"}) == "allowed"
    assert call(access, function, {"table": "other"}) == "AccessDeniedException"


async def test_a_function_sees_nothing_of_the_environment_it_was_started_from(tmp_path, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_MINE", "hunter2")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    ministack = Ministack(tmp_path, functions_see={"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:9"})
    await ministack.start()
    function = make_function(ministack.access, "import os\ndef handler(event, context): return dict(os.environ)")
    seen = call(ministack.access, function)
    await ministack.stop()
    assert "hunter2" not in seen.values()
    assert not [name for name in seen if "PROXY" in name.upper()]
    assert ministack.access.aws_access_key_id not in seen.values()
    assert ministack.access.aws_secret_access_key not in seen.values()
    assert seen["AWS_ENDPOINT_URL"] == ministack.access.endpoint_url
    assert seen["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] == "http://127.0.0.1:9"


async def test_a_profile_and_region_of_the_person_change_nothing(ministack, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = ministack.access.client("sqs")
    assert client.meta.region_name == "us-east-1"
    assert client.meta.endpoint_url == ministack.access.endpoint_url
    client.list_queues()


# --- starting and ending


async def test_its_end_is_noticed_together_with_its_last_words(tmp_path):
    ministack = Ministack(tmp_path)
    await ministack.start()
    (tmp_path / "ministack.log").write_text("Out of memory\n")
    await ministack.stop()
    assert await ministack.ended() == "Out of memory"


async def test_a_start_that_fails_is_one_sentence_with_the_reason(tmp_path):
    # Its own settings can be replaced by what functions are to see: that is how this test makes it fail.
    ministack = Ministack(tmp_path, functions_see={"LOG_LEVEL": "NO_SUCH_LEVEL"})
    with pytest.raises(Unable, match=r"ministack did not start: .*NO_SUCH_LEVEL"):
        await ministack.start()


# --- the state folder


def test_files_of_a_start_that_was_killed_are_removed_and_those_of_a_running_one_kept(tmp_path):
    folder = state.prepare(tmp_path / "state")
    killed, lock_of_killed = state.new_run(folder)
    lock_of_killed.close()
    running, lock = state.new_run(folder)
    another, lock_of_another = state.new_run(folder)
    assert [killed.exists(), running.exists(), another.exists()] == [False, True, True]
    lock.close()
    lock_of_another.close()


def test_a_state_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unable, match="cannot be written"):
        state.prepare(tmp_path / "file" / "state")


def test_a_stack_counts_as_running_only_while_its_process_lives(tmp_path):
    folder = state.prepare(tmp_path)
    lock = state.publish(folder, 8080, {"port": 8080})
    path = Path(tmp_path) / "stacks" / "8080.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.running(folder) == [{"port": 8080}]
    lock.close()
    assert state.running(folder) == []
    assert not path.exists()
