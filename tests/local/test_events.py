"""Event files: shaped as AWS sends them, and filled in so that no committed value can expire."""

import json
import re
import time
from typing import Any

import jwt
import pytest

from agentsocket import principal
from local import events
from local.errors import Unable
from local.issuer import Issuer

FILES = sorted(events.FOLDER.glob("*.json"))
ADDRESS = "http://127.0.0.1:5555"
RUN = {"thread": "thread-1", "run": "run-1", "receipt": 'a "quoted" handle'}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    return Issuer(tmp_path_factory.mktemp("state"), url=ADDRESS)


def claims(issuer: Issuer, token: str) -> dict[str, Any]:
    """Verified but for its times."""
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    decoded: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], audience="agentsocket", options={"verify_exp": False}
    )
    return decoded


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_can_be_filled_in(path, issuer):
    event = events.fill(path.read_text("utf-8"), issuer=issuer, now=time.time(), run=RUN)
    assert "{{" not in json.dumps(event)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_file_holds_a_token_or_a_moment(path):
    text = path.read_text("utf-8")
    assert "eyJ" not in text
    assert not re.search(r"\b1[5-9]\d{8}(\d{3})?\b", text), "seconds or milliseconds of this decade"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_files_name_begins_with_the_function_it_is_for(path):
    assert path.stem.partition("-")[0] in ("authorizer", "connect", "message", "disconnect", "worker")


@pytest.mark.parametrize("path", [path for path in FILES if '"headers"' in path.read_text("utf-8")], ids=str)
def test_headers_come_in_both_of_api_gateways_forms(path):
    event = json.loads(path.read_text("utf-8"))
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}


def test_a_token_is_valid_now_for_its_user(issuer):
    now = time.time()
    token = events.fill('{"a": "{{token:ada}}"}', issuer=issuer, now=now)["a"]
    assert claims(issuer, token)["sub"] == "ada"
    assert claims(issuer, token)["iss"] == ADDRESS
    assert claims(issuer, token)["exp"] > now


def test_an_expired_token_was_valid_once(issuer):
    now = time.time()
    expired = claims(issuer, events.fill('{"a": "{{expired-token:ada}}"}', issuer=issuer, now=now)["a"])
    assert expired["iat"] < expired["exp"] < now - 60


def test_a_user_is_the_id_in_keys(issuer):
    filled = events.fill('{"a": "{{user:ada}}.{{user:bob}}"}', issuer=issuer, now=0)
    assert filled["a"] == f"{principal.user_id(ADDRESS, 'ada')}.{principal.user_id(ADDRESS, 'bob')}"


def test_moments_are_texts_in_seconds_and_numbers_in_milliseconds(issuer):
    text = '{"a": "{{now}}", "b": "{{now+900}}", "c": "{{now_ms}}", "d": "{{issuer}}"}'
    filled = events.fill(text, issuer=issuer, now=1000.5)
    assert filled == {"a": "1000", "b": "1900", "c": 1000500, "d": ADDRESS}


def test_a_waiting_runs_values_stay_json(issuer):
    assert events.fill('{"a": "{{receipt}}"}', issuer=issuer, now=0, run=RUN) == {"a": RUN["receipt"]}


def test_the_workers_event_without_a_waiting_run_says_how_to_get_one(issuer):
    text = events.path("worker-run").read_text("utf-8")
    with pytest.raises(Unable, match="send message-user-message first"):
        events.fill(text, issuer=issuer, now=0)


@pytest.mark.parametrize("unknown", ["nothing", "tokens:ada", "now-5", "issuer:ada", ""])
def test_an_unknown_placeholder_is_named(issuer, unknown):
    with pytest.raises(Unable, match=re.escape(f"{{{{{unknown}}}}}")):
        events.fill(f'{{"a": "{{{{{unknown}}}}}"}}', issuer=issuer, now=0)


def test_what_is_not_json_is_said_with_its_line(issuer):
    with pytest.raises(Unable, match=r"not JSON.* at line 2"):
        events.fill('{\n"a": }', issuer=issuer, now=0)


@pytest.mark.parametrize("name", ["connect", "connect.json", "events/connect.json"])
def test_an_event_is_found_by_name_or_by_path(name, monkeypatch):
    monkeypatch.chdir(events.FOLDER.parent)
    assert events.path(name).resolve() == events.FOLDER / "connect.json"


def test_an_event_that_does_not_exist_lists_those_that_do():
    with pytest.raises(Unable, match=r"no event file connects; events/ has: .*connect-browser.*worker-run"):
        events.path("connects")
