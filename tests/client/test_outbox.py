"""Whose turn it is to be sent."""

from agentsocket_client.outbox import Command, Outbox


def outbox(*commands: Command) -> Outbox:
    box = Outbox(reply_s=10)
    for command in commands:
        box.put(command)
    return box


def taken(box: Outbox, now: float) -> list[str]:
    return [command.id for command in box.take(now)]


def test_one_state_changing_command_is_in_flight_at_a_time() -> None:
    box = outbox(Command("a", "A"), Command("b", "B"))
    assert taken(box, 0) == ["a"]
    assert taken(box, 1) == []
    box.pop("a")
    assert taken(box, 1) == ["b"]


def test_commands_that_change_nothing_wait_for_nobody() -> None:
    box = outbox(Command("a", "A"), Command("ping", "P", ordered=False))
    assert taken(box, 0) == ["a", "ping"]


def test_a_command_without_a_reply_is_sent_again_after_10_s() -> None:
    box = outbox(Command("a", "A"))
    assert taken(box, 0) == ["a"]
    assert box.deadline() == 10
    assert taken(box, 9.9) == []
    assert taken(box, 10) == ["a"]


def test_nothing_goes_before_the_welcome_but_hello() -> None:
    box = outbox(Command("a", "A"), Command("ping", "P", ordered=False))
    box.greet(Command("hello", "H"))
    assert taken(box, 0) == ["hello"]
    assert taken(box, 5) == []
    assert taken(box, 10) == ["hello"]
    box.greeted()
    assert taken(box, 10) == ["a", "ping"]


def test_a_new_connection_sends_again_what_has_no_reply() -> None:
    box = outbox(Command("a", "A"))
    assert taken(box, 0) == ["a"]
    box.greet(Command("hello", "H"))
    assert taken(box, 1) == ["hello"]
    box.greeted()
    assert taken(box, 1) == ["a"]


def test_after_a_fault_of_the_gateway_what_is_in_flight_waits_and_keeps_its_place() -> None:
    box = outbox(Command("a", "A"), Command("b", "B"))
    assert taken(box, 0) == ["a"]
    box.postpone(until=3)
    assert taken(box, 2) == []
    assert box.deadline() == 3
    assert taken(box, 3) == ["a"]


def test_the_longest_command_in_flight_is_the_one_that_was_too_large() -> None:
    box = outbox(Command("a", "AAAA"), Command("ping", "P", ordered=False), Command("b", "BBBBBBBB"))
    box.take(0)
    assert box.largest_in_flight() == "a"


def test_with_nothing_in_flight_nothing_was_too_large() -> None:
    assert outbox(Command("a", "A")).largest_in_flight() is None
