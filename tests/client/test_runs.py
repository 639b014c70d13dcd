"""Which runs go on, and how the others ended."""

from typing import Any

from agentsocket_client import Runs
from tests.client.fakes import RUN, event

ACCEPTED = {"run_id": RUN, "message_id": "m1"}


def fed(*frames: dict[str, Any], accepted: bool = True) -> Runs:
    runs = Runs()
    if accepted:
        runs.accepted(ACCEPTED)
    for frame in frames:
        runs.event(frame)
    return runs


def started(agent: str, parent: str | None = None) -> dict[str, Any]:
    payload = {"agent_name": agent, "agent_id": agent, "attempt": 1}
    return event(2, "agent_started", payload if parent is None else payload | {"parent_agent_id": parent})


def completed(agent: str, outcome: str) -> dict[str, Any]:
    return event(3, "agent_completed", {"agent_name": agent, "agent_id": agent, "outcome": outcome, "duration_ms": 1})


FINAL = event(4, "final_report", {"message_id": f"{RUN}.1", "content": "done"})


def test_an_accepted_run_is_active_until_its_final_report() -> None:
    assert fed().active
    assert fed(started("root"), completed("root", "success")).active
    runs = fed(started("root"), completed("root", "success"), FINAL)
    assert not runs.active
    assert runs.outcome(RUN) == "success"


def test_a_run_that_fails_ends_with_its_root_agent() -> None:
    runs = fed(started("root"), completed("root", "timeout"))
    assert not runs.active
    assert runs.outcome(RUN) == "timeout"


def test_a_nested_agent_that_fails_ends_nothing() -> None:
    runs = fed(started("root"), started("helper", parent="root"), completed("helper", "error"))
    assert RUN in runs
    assert runs.outcome(RUN) is None


def test_a_run_of_another_device_is_known_by_its_events() -> None:
    assert RUN in fed(started("root"), accepted=False)


def test_a_message_accepted_that_comes_after_the_end_revives_nothing() -> None:
    runs = fed(started("root"), completed("root", "success"), FINAL, accepted=False)
    runs.accepted(ACCEPTED)
    assert not runs.active


def test_a_snapshot_with_the_answer_says_that_the_run_succeeded() -> None:
    runs = fed(started("root"))
    runs.snapshot({"messages": [{"message_id": "m1"}, {"message_id": f"{RUN}.2"}], "seq": 9, "epoch": "e"})
    assert runs.outcome(RUN) == "success"


def test_a_snapshot_with_the_question_alone_says_that_the_run_is_over() -> None:
    runs = fed()
    runs.snapshot({"messages": [{"message_id": "m1"}], "seq": 9, "epoch": "e"})
    assert runs.outcome(RUN) == "unknown"


def test_a_snapshot_without_the_question_says_that_the_run_still_waits() -> None:
    runs = fed()
    runs.snapshot({"messages": [{"message_id": "m0"}], "seq": 9, "epoch": "e"})
    assert RUN in runs


def test_the_active_run_of_a_snapshot_goes_on() -> None:
    runs = fed()
    runs.snapshot({"messages": [{"message_id": "m1"}], "active_run": {"run_id": RUN}, "seq": 9, "epoch": "e"})
    assert RUN in runs
    runs.event(FINAL)
    assert runs.outcome(RUN) == "success"


def test_only_so_many_ended_runs_are_remembered() -> None:
    runs = fed()
    for number in range(1000):
        runs.event(FINAL | {"run_id": f"r{number}"})
    assert runs.outcome("r0") is None
    assert runs.outcome("r999") == "success"
