"""What is asked of Docker before `sam local`, with a small program in docker's place."""

import json
from pathlib import Path

import pytest

from local import containers, invoke
from local.build import Target
from local.emulators.ministack import Ministack
from local.errors import Unable

TARGET = Target("python3.13", "arm64")
IMAGE = "public.ecr.aws/lambda/python:3.13-arm64"


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Puts a program named docker alone on PATH: it prints `says`, and fails if `works` is false."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SAM_SKIP_PULL_IMAGE", raising=False)

    def install(says="", *, works=True):
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\necho '{says}'\nexit {0 if works else 1}\n")
        program.chmod(0o755)

    return install


def test_without_docker_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unable, match="install Docker Engine"):
        containers.bridge()


def test_a_docker_that_does_not_answer_is_to_be_started(docker):
    docker(works=False)
    with pytest.raises(Unable, match="start it"):
        containers.bridge()


@pytest.mark.parametrize(
    ("config", "address"),
    [({"Subnet": "172.17.0.0/16"}, "172.17.0.1"), ({"Subnet": "10.9.0.0/24", "Gateway": "10.9.0.7"}, "10.9.0.7")],
)
def test_a_container_reaches_us_at_the_bridges_own_address(docker, config, address):
    docker(json.dumps([config]))
    assert containers.bridge() == address


def test_an_image_that_is_here_is_not_pulled_again(docker):
    docker()
    assert containers.pull_options(TARGET) == ["--skip-pull-image"]


def test_a_missing_image_is_left_to_sam(docker):
    docker(works=False)
    assert containers.pull_options(TARGET) == []


def test_a_missing_image_that_may_not_be_pulled_is_named(docker, monkeypatch):
    docker(works=False)
    monkeypatch.setenv("SAM_SKIP_PULL_IMAGE", "1")
    with pytest.raises(Unable, match=IMAGE):
        containers.pull_options(TARGET)


def test_where_nothing_of_ours_can_listen_docker_engine_is_asked_for(tmp_path):
    with pytest.raises(Unable, match=r"203\.0\.113\.1.*Docker Engine on Linux"):
        invoke.listening(tmp_path, "203.0.113.1")


async def test_ministack_listens_where_containers_reach_it(tmp_path):
    stack = invoke.listening(tmp_path, "127.0.0.1")
    assert isinstance(stack, Ministack)
    assert stack.access.endpoint_url.startswith("http://127.0.0.1:")
    await stack.stop()


async def test_an_unknown_function_lists_those_there_are(tmp_path):
    with pytest.raises(Unable, match="no function login; there are: authorizer, connect, message, disconnect, worker"):
        await invoke.invoke("login", "connect", folder=tmp_path)


async def test_an_unknown_event_is_said_before_anything_is_started(tmp_path):
    with pytest.raises(Unable, match="no event file nothing"):
        await invoke.invoke("connect", "nothing", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_function_has_its_preceding_events():
    folders = {path.name for path in (Path(invoke.__file__).parent.parent / "functions").iterdir() if path.is_dir()}
    assert set(invoke.PRECEDING) == folders


@pytest.mark.parametrize("answer", ['{"errorMessage": "Unauthorized", "errorType": "Exception"}', "", "Traceback"])
def test_an_answer_that_is_an_exception_is_a_failure(answer):
    assert containers.failed(answer)


@pytest.mark.parametrize("answer", ['{"statusCode": 200}', "null", '{"batchItemFailures": []}', '"errorMessage"'])
def test_any_other_answer_is_none(answer):
    assert not containers.failed(answer)
