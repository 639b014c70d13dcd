"""A whole conversation without a socket: what the client says when, and who is told what."""

from __future__ import annotations

import pytest

from agentsocket.errors import DISCONNECTS
from agentsocket_client.errors import CommandFailed
from agentsocket_client.session_outputs import Hangup, Reply
from tests.client.connected import Talk, kinds, point, shown
from tests.client.fakes import EPOCH, THREAD, accepted, batch, error, event, frame, gateway_fault, subscribed


def test_hello_says_protocol_name_and_what_to_resume() -> None:
    hello = Talk(point()).hello
    assert hello["type"] == "hello"
    assert hello["payload"] == {
        "protocol": 1,
        "client": {"name": "test", "version": "1"},
        "resume": [{"thread_id": THREAD, "epoch": EPOCH, "seq": 10}],
    }


def test_a_hello_without_a_welcome_is_sent_again_with_the_same_id() -> None:
    talk = Talk(live=False)
    assert talk.after(9).said() == []
    assert talk.after(1).said() == [talk.hello]


def test_a_hello_that_failed_for_now_is_sent_again_after_its_wait() -> None:
    talk = Talk(live=False)
    talk.hears(error("busy", temporary=True, reply_to=talk.hello["id"], retry_after_ms=4000))
    assert talk.after(3.9).said() == []
    assert talk.after(0.1).said() == [talk.hello]


def test_a_hello_that_failed_for_good_ends_the_client() -> None:
    talk = Talk(live=False)
    assert talk.hears(error("forbidden", reply_to=talk.hello["id"])) == [Hangup("forbidden", "it is forbidden", True)]


def test_no_command_goes_before_the_welcome() -> None:
    talk = Talk(live=False)
    talk.sends()
    assert talk.said() == []
    talk.hears(frame("welcome", {}, reply_to=talk.hello["id"]))
    assert kinds(talk.said()) == ["user_message"]


def test_a_reply_goes_to_its_command() -> None:
    talk = Talk()
    command = talk.sends()
    reply = accepted(command)
    assert talk.hears(reply) == [Reply(command["id"], reply)]
    assert talk.hears(reply) == []


def test_an_error_is_a_reply_too() -> None:
    talk = Talk()
    command = talk.sends()
    refusal = error("busy", temporary=True, reply_to=command["id"])
    assert talk.hears(refusal) == [Reply(command["id"], refusal)]


def test_an_error_that_answers_nothing_is_shown() -> None:
    assert shown(Talk().hears(error("internal", temporary=True))) == ["error"]


def test_after_a_reconnect_unanswered_commands_are_sent_again_with_the_same_id() -> None:
    talk = Talk()
    talk.sends()
    first = talk.said()
    talk.connect()
    assert talk.said() == first


def test_after_api_gateways_own_error_the_command_is_sent_again_with_backoff() -> None:
    talk = Talk()
    talk.sends()
    first = talk.said()
    waits = []
    for _ in range(4):
        assert talk.hears(gateway_fault()) == []
        waits.append(talk.session.deadline() - talk.now)
        assert talk.after(waits[-1]).said() == first
    assert waits == [0.25, 0.5, 1, 2]
    talk.hears(accepted(first[0]))
    talk.sends()
    talk.said()
    talk.hears(gateway_fault())
    assert talk.session.deadline() - talk.now == 0.25


def test_a_command_that_finds_the_token_expired_waits_for_the_next_connection() -> None:
    talk = Talk()
    command = talk.sends()
    first = talk.said()
    (hangup,) = talk.hears(error("token_expired", reply_to=command["id"]))
    assert isinstance(hangup, Hangup)
    assert not hangup.final
    talk.connect()
    assert talk.said() == first


@pytest.mark.parametrize("code", sorted(code for code, (reconnect, _) in DISCONNECTS.items() if not reconnect))
def test_final_disconnect_codes_are_final_whatever_else_they_say(code: str) -> None:
    """D3."""
    outputs = Talk().hears(frame("disconnect", {"code": code, "reason": "so", "reconnect": True}))
    assert outputs[1] == Hangup(code, "so", final=True)
    assert shown(outputs) == ["disconnect"]


@pytest.mark.parametrize("code", sorted(code for code, (reconnect, _) in DISCONNECTS.items() if reconnect))
def test_the_other_disconnect_codes_mean_reconnect_whatever_else_they_say(code: str) -> None:
    """D3."""
    told = {"code": code, "reason": "so", "reconnect": False, "retry_after_ms": 1500}
    assert Talk().hears(frame("disconnect", told))[1] == Hangup(code, "so", final=False, retry_after_s=1.5)


def test_an_unknown_disconnect_code_is_taken_at_its_word() -> None:
    told = {"code": "new", "reason": "so", "reconnect": False}
    assert Talk().hears(frame("disconnect", told))[1] == Hangup("new", "so", final=True)
    assert Talk().hears(frame("disconnect", told | {"reconnect": True}))[1] == Hangup("new", "so", final=False)


def test_ping_keeps_the_connection_from_idling() -> None:
    talk = Talk()
    assert talk.after(239).said() == []
    (ping,) = talk.after(1).said()
    assert (ping["type"], ping["payload"]) == ("ping", {})
    assert talk.hears(frame("pong", {}, reply_to=ping["id"])) == []
    assert talk.after(239).said() == []
    assert kinds(talk.after(1).said()) == ["ping"]


def test_a_smaller_limit_of_the_server_holds() -> None:
    talk = Talk(live=False)
    talk.hears(frame("welcome", {"max_message_bytes": 1000}, reply_to=talk.hello["id"]))
    with pytest.raises(CommandFailed, match="too_large"):
        talk.sends("a" * 1000)


def test_nothing_is_due_while_everything_is_well() -> None:
    """Or the client would spin."""
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch())
    assert talk.said() == []
    assert talk.session.deadline() == 240


def test_what_is_not_said_when_due_is_never_due_again() -> None:
    """Whatever the state, `poll` at the deadline moves the deadline, or the client would spin."""
    talk = Talk(*[point(f"t{number}") for number in range(12)])
    talk.hears(accepted(talk.sends()), event(3), subscribed(10, recovered=True, thread_id="t1"))
    for _ in range(200):
        due = talk.session.deadline()
        talk.now = max(talk.now, due)
        talk.said()
        assert talk.session.deadline() > talk.now


def test_a_command_above_the_rate_limit_is_sent_again_when_there_is_room() -> None:
    """J4: nothing is lost, and nobody has to ask again."""
    talk = Talk()
    command = talk.sends()
    assert talk.said() == [command]
    refusal = error("rate_limited", temporary=True, reply_to=command["id"], retry_after_ms=1500)
    assert talk.hears(refusal) == []
    assert talk.after(1.4).said() == []
    assert talk.after(0.1).said() == [command]
    reply = accepted(command)
    assert talk.hears(reply) == [Reply(command["id"], reply)]


def test_a_command_that_has_to_wait_for_long_is_the_callers_to_know_of() -> None:
    """The day's runs are used up: nothing else may wait behind it until midnight."""
    talk = Talk()
    command, next_one = talk.sends(), talk.asks("create_thread")
    talk.said()
    refusal = error("rate_limited", temporary=True, reply_to=command["id"], retry_after_ms=3_600_000)
    assert talk.hears(refusal) == [Reply(command["id"], refusal)]
    assert talk.said() == [next_one]


def test_a_subscribe_of_its_own_above_the_rate_limit_is_sent_again_too() -> None:
    talk = Talk(point())
    talk.hears(subscribed(10, recovered=True), batch(), event(12))
    (question,) = talk.after(1).said()
    talk.hears(error("rate_limited", temporary=True, reply_to=question["id"], retry_after_ms=2000))
    assert talk.after(1.9).said() == []
    assert talk.after(0.1).said() == [question]
