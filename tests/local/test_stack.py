"""What `python -m local up` and `token` promise, as processes that a person starts, interrupts and kills."""

import base64
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest

from local.__main__ import DEFAULT_PORT
from local.state import running
from tests.integration.http_request import ask, form
from tests.local.programs import Up, local, up
from tests.support import layer_builds
from tests.support.processes import PATIENCE_S, children, is_group_gone, wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder for the tests of this module; its layers are built once for all test processes."""
    made = tmp_path_factory.mktemp("state")
    (made / "build").symlink_to(layer_builds.for_this_machine().parent)
    return made


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Up]:
    """One that nobody ends, for tests that use it and leave it running; in a state folder of its own."""
    own = folder.parent / f"{folder.name}-running"
    own.mkdir()
    (own / "build").symlink_to((folder / "build").resolve())
    with up(own) as running:
        yield running


def port_of(url: str) -> int:
    return int(url.split(":")[2].split("/")[0])


def written(folder: Path, url: str) -> tuple[Path, dict[str, Any]]:
    """The stack's file and what it says."""
    path = folder / "stacks" / f"{port_of(url)}.json"
    return path, json.loads(path.read_text())


def assert_nothing_left(folder: Path) -> None:
    """Neither a stack's file nor ministack's files."""
    assert list((folder / "stacks").iterdir()) == []
    assert list((folder / "runs").iterdir()) == []


def test_a_stack_writes_down_how_it_is_reached_and_forgets_it_when_interrupted(folder):
    with up(folder) as stack:
        path, facts = written(folder, stack.url)
        assert path.stat().st_mode & 0o777 == 0o600
        assert running(folder) == [facts]
        assert (facts["pid"], facts["url"]) == (stack.process.pid, stack.url)
        named = {"pid", "port", "url", "auth", "http", "management_endpoint", "issuer", "stack", "aws", "outputs"}
        assert set(facts) == named
        table = boto3.client("dynamodb", **facts["aws"]).describe_table(TableName=facts["outputs"]["TableName"])
        assert table["Table"]["TableStatus"] == "ACTIVE"
        (ministack,) = children(stack.process.pid)
        stack.process.send_signal(signal.SIGINT)
        status, said = stack.finish()
    assert (status, said.splitlines()[-1]) == (0, "agentsocket: stopped")
    assert is_group_gone(ministack)
    assert_nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stack_that_is_told_to_end_leaves_nothing(folder, number):
    with up(folder) as stack:
        (ministack,) = children(stack.process.pid)
        stack.process.send_signal(number)
        status, _ = stack.finish()
    assert status == 0
    assert is_group_gone(ministack)
    assert_nothing_left(folder)


def test_a_stack_that_is_killed_leaves_no_process_and_its_files_go_with_the_next_start(folder):
    with up(folder) as stack:
        (ministack,) = children(stack.process.pid)
        stack.process.kill()
        wait_until(lambda: is_group_gone(ministack), "the end of the killed stack's ministack")
    assert running(folder) == []
    assert local("token", state=folder).stderr == (
        "agentsocket: No stack is running: start one by `make up` in another terminal.\n"
    )
    with up(folder):
        assert len(list((folder / "runs").iterdir())) == 1


def test_a_stack_whose_ministack_dies_says_so_and_ends(folder):
    with up(folder) as stack:
        (ministack,) = children(stack.process.pid)
        os.kill(ministack, signal.SIGKILL)
        status, said = stack.finish()
    assert status == 1
    assert "ministack ended unexpectedly" in said.splitlines()[-1]
    assert_nothing_left(folder)


def test_two_stacks_run_side_by_side_and_a_token_is_for_the_one_that_is_named(folder):
    with up(folder) as first, up(folder) as second:
        ports = sorted(map(port_of, (first.url, second.url)))
        answers = {}
        for port in ports:
            answer = local("token", "--user", "grace", "--groups", "admin", "--port", str(port), state=folder)
            assert answer.returncode == 0, answer.stderr
            answers[port] = jwt.decode(answer.stdout.strip(), options={"verify_signature": False})
            assert answers[port]["iss"] == json.loads((folder / "stacks" / f"{port}.json").read_text())["auth"]
        assert {(answer["sub"], answer["scope"]) for answer in answers.values()} == {("grace", "admin chat")}
        assert answers[ports[0]]["iss"] != answers[ports[1]]["iss"]
        unclear = local("token", state=folder)
        assert (unclear.returncode, unclear.stdout) == (1, "")
        assert "Several stacks are running" in unclear.stderr
        assert local("token", "--port", "1", state=folder).stderr.startswith(
            "agentsocket: No stack is running on port 1"
        )


def test_only_loopback_is_listened_on(stack):
    _, facts = written(stack.folder, stack.url)
    addresses = [facts[name] for name in ("url", "auth", "http", "management_endpoint", "issuer")]
    for address in (*addresses, facts["aws"]["endpoint_url"]):
        socket.create_connection(("127.0.0.1", port_of(address)), PATIENCE_S).close()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port_of(address)), PATIENCE_S).close()


def test_a_port_in_use_is_one_sentence(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = local("up", "--port", str(port), state=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"Port {port}" in done.stderr
    assert_nothing_left(folder)


def test_a_state_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    done = local("up", "--port", "0", state=tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr


def test_a_chat_starts_a_stack_of_its_own_and_leaves_nothing(folder):
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # the usual port is taken, by us or by somebody else
            taken.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORT)))
        done = local("chat", state=folder, typed="hello\n")
    assert done.returncode == 0, done.stderr
    assert "final_report" in done.stdout.splitlines()[-1]
    assert f"port {DEFAULT_PORT} is in use, taking another one" in done.stderr
    assert_nothing_left(folder)


def test_a_chat_uses_the_stack_that_runs_and_leaves_it_running(stack):
    done = local("chat", "--user", "grace", "--json", state=stack.folder, typed="hello\n")
    assert done.returncode == 0, done.stderr
    assert f"using the stack that runs at {stack.url}" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "final_report"
    assert len(running(stack.folder)) == 1


def test_a_file_that_is_not_there_is_said_before_anything_starts(folder):
    done = local("chat", "--file", "no/such.csv", state=folder)
    assert (done.returncode, done.stderr) == (1, "agentsocket: There is no file no/such.csv.\n")


def test_a_service_is_registered_with_the_auth_service_and_logs_a_user_out(stack):
    _, facts = written(stack.folder, stack.url)
    done = local("client", "--id", "ops", "--scope", "users:logout", state=stack.folder)
    assert done.returncode == 0, done.stderr
    credentials = base64.b64encode(f"ops:{done.stdout.strip()}".encode()).decode()
    answer = ask(
        f"{facts['auth']}/oauth/token",
        "POST",
        body=form({"grant_type": "client_credentials"}),
        headers={"Authorization": f"Basic {credentials}"},
    )
    assert (answer.status, answer.json()["scope"]) == (200, "users:logout")
    token = local("token", "--user", "hedy", state=stack.folder).stdout.strip()
    body, service = form({"sub": "hedy"}), answer.json()["access_token"]
    assert ask(f"{facts['auth']}/oauth/logout", "POST", token=service, body=body).status == 204
    assert ask(f"{facts['auth']}/ticket", "POST", token=token).status == 401
    for wrong in ("ops", "ops 2"):  # one that is there, and one that is no name
        refused = local("client", "--id", wrong, "--scope", "users:logout", state=stack.folder)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.count("\n") == 1


def test_the_auth_service_and_the_http_api_take_the_next_ports_or_free_ones(folder):
    port = three_free_ports()
    with socket.create_server(("127.0.0.1", port + 1)), up(folder, "--port", str(port)) as stack:
        _, facts = written(folder, stack.url)
        assert (port_of(facts["url"]), port_of(facts["http"])) == (port, port + 2)
        assert port_of(facts["auth"]) not in (port, port + 1, port + 2)
        stack.process.send_signal(signal.SIGINT)
        said = stack.finish()[1]
    assert f"port {port + 1} for the auth service is in use, taking another one" in said


def three_free_ports() -> int:
    """The first of three ports in a row that nobody has."""
    for port in range(20_000, 30_000, 3):
        with contextlib.suppress(OSError), contextlib.ExitStack() as servers:
            for number in range(port, port + 3):
                servers.enter_context(socket.create_server(("127.0.0.1", number)))
            return port
    raise AssertionError("no free ports")


@pytest.mark.parametrize("parameters", ["{", '{"Introspection": 1}'])
def test_parameters_that_are_no_texts_are_refused_before_anything_starts(folder, parameters):
    done = local("up", "--parameters", parameters, state=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("limits", ["{", "[1]", "7"])
def test_limits_that_are_no_json_object_are_refused_before_anything_starts(folder, limits):
    done = local("up", "--limits", limits, state=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("is no JSON object such as {}")


def test_a_proxy_in_the_environment_is_not_asked_about_this_machine(folder):
    """The layers are there: to build them does ask the network."""
    proxy = "http://127.0.0.1:9"
    done = local("chat", state=folder, typed="hello\n", http_proxy=proxy, HTTP_PROXY=proxy, all_proxy=proxy)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["up", "token", "client", "chat", "invoke"])
def test_every_command_explains_itself(command, tmp_path):
    done = local(command, "--help", state=tmp_path)
    assert done.returncode == 0
    assert f"python -m local {command}" in done.stdout
