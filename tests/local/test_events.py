"""Event files: shaped as AWS sends them, and filled in so that no committed value can expire."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import boto3
import jwt
import pytest
from moto import mock_aws

from agentsocket import principal
from local import events
from local.emulators.issuer import CLIENT_ID, Issuer
from local.errors import Unable
from local.invoke import PRECEDING
from local.tokens import AccessTokens

FILES = sorted(events.FOLDER.glob("*.json"))
ADDRESS = "http://127.0.0.1:5555"
IDENTITY = "http://127.0.0.1:6666"
RUN = {"thread": "thread-1", "run": "run-1", "receipt": 'a "quoted" handle'}
KNOWN = dict.fromkeys(events.LATER, "known") | RUN


@pytest.fixture(scope="module")
def signers(tmp_path_factory) -> Iterator[events.Signers]:
    with mock_aws():
        kms = boto3.client("kms")
        key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
        access = AccessTokens(kms, key, issuer=ADDRESS)
        yield events.Signers(access, Issuer(tmp_path_factory.mktemp("state"), url=IDENTITY))


def claims(token: str, jwks: dict[str, Any], audience: str = "agentsocket") -> dict[str, Any]:
    """Verified but for its times."""
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(token)["kid"]]
    algorithms = [str(key.algorithm_name)]
    decoded: dict[str, Any] = jwt.decode(
        token, key, algorithms=algorithms, audience=audience, options={"verify_exp": False}
    )
    return decoded


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_can_be_filled_in(path, signers):
    event = events.fill(path.read_text("utf-8"), signers=signers, now=time.time(), known=KNOWN)
    assert "{{" not in json.dumps(event)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_holds_a_token_or_a_moment(path):
    text = path.read_text("utf-8")
    assert "eyJ" not in text
    assert not re.search(r"\b1[5-9]\d{8}(\d{3})?\b", text), "seconds or milliseconds of this decade"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_files_name_begins_with_the_function_it_is_for(path):
    function = path.stem.partition("-")[0]
    assert function in PRECEDING
    assert (events.FOLDER.parent / "functions" / function / "app.py").exists()


@pytest.mark.parametrize("path", [path for path in FILES if "multiValueHeaders" in path.read_text("utf-8")], ids=str)
def test_headers_come_in_both_of_api_gateways_forms(path):
    event = json.loads(path.read_text("utf-8"))
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}


def test_a_token_is_valid_now_for_its_user(signers):
    now = time.time()
    found = claims(events.fill('{"a": "{{token:ada}}"}', signers=signers, now=now)["a"], signers.access.jwks)
    assert (found["sub"], found["iss"]) == ("ada", ADDRESS)
    assert found["exp"] > now


def test_an_expired_token_was_valid_once(signers):
    now = time.time()
    expired = claims(events.fill('{"a": "{{expired-token:ada}}"}', signers=signers, now=now)["a"], signers.access.jwks)
    assert expired["iat"] < expired["exp"] < now - 60


def test_an_id_token_is_the_identity_issuers_and_for_its_client(signers):
    token = events.fill('{"a": "{{id-token:ada}}"}', signers=signers, now=time.time())["a"]
    found = claims(token, signers.identity.jwks(), CLIENT_ID)
    assert (found["sub"], found["iss"]) == ("ada", IDENTITY)


def test_a_user_is_the_id_in_keys(signers):
    filled = events.fill('{"a": "{{user:ada}}.{{user:bob}}"}', signers=signers, now=0)
    assert filled["a"] == f"{principal.user_id(ADDRESS, 'ada')}.{principal.user_id(ADDRESS, 'bob')}"


def test_moments_are_texts_in_seconds_and_numbers_in_milliseconds(signers):
    text = '{"a": "{{now}}", "b": "{{now+900}}", "c": "{{now_ms}}", "d": "{{issuer}}"}'
    filled = events.fill(text, signers=signers, now=1000.5)
    assert filled == {"a": "1000", "b": "1900", "c": 1000500, "d": ADDRESS}


def test_a_waiting_runs_values_stay_json(signers):
    assert events.fill('{"a": "{{receipt}}"}', signers=signers, now=0, known=RUN) == {"a": RUN["receipt"]}


def test_the_workers_event_without_a_waiting_run_says_how_to_get_one(signers):
    text = events.path("worker-run").read_text("utf-8")
    with pytest.raises(Unable, match="a waiting run: send message-user-message first"):
        events.fill(text, signers=signers, now=0)


@pytest.mark.parametrize("unknown", ["nothing", "tokens:ada", "now-5", "issuer:ada", ""])
def test_an_unknown_placeholder_is_named(unknown, signers):
    with pytest.raises(Unable, match=re.escape(f"{{{{{unknown}}}}}")):
        events.fill(f'{{"a": "{{{{{unknown}}}}}"}}', signers=signers, now=0)


def test_what_is_not_json_is_said_with_its_line(signers):
    with pytest.raises(Unable, match=r"not JSON.* at line 2"):
        events.fill('{\n"a": }', signers=signers, now=0)


@pytest.mark.parametrize("name", ["connect", "connect.json", "events/connect.json"])
def test_an_event_is_found_by_name_or_by_path(name, monkeypatch):
    monkeypatch.chdir(events.FOLDER.parent)
    assert events.path(name).resolve() == events.FOLDER / "connect.json"


def test_an_event_that_does_not_exist_lists_those_that_do():
    with pytest.raises(Unable, match=r"no event file connects; events/ has: .*connect-browser.*worker-run"):
        events.path("connects")
