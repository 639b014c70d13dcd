"""What a turn and a replay ask of AWS, counted call by call. What it costs in money and time: `make bench`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.metered_deployment import Speaker, metered

TWO_TOKENS = Speaker(2, per_s=1)
A_TURN = Speaker(1000, per_s=50)


def operations(calls):
    return Counter(call.operation for call in calls)


def accepted(deployment):
    """A message in a thread of its own; what accepted it. No run yet."""
    deployment.connect("a1")
    return deployment.say("a1", "user_message", content="first", message_id="m1")


@pytest.mark.parametrize("in_a_thread", [False, True])
def test_a_message_is_accepted_with_one_read_two_writes_and_one_send(in_a_thread):
    """delivery.md, Accept. Within a burst of commands the quota is a second write; here a second lies between them."""
    with metered() as deployment:
        thread = {"thread_id": accepted(deployment)["thread_id"]} if in_a_thread else {}
        deployment.connect("a2")
        deployment.say("a2", "user_message", content="second", message_id="m2", **thread)
        calls = deployment.meter.take()
    assert sum(call.reading for call in calls) == 1
    assert sum(call.writing for call in calls) == 2
    assert operations(calls)["SendMessage"] == 1
    assert len(calls) <= 4, "no post, and nothing else"


def reads_of_a_replay(size, missed):
    with metered() as deployment:
        thread = accepted(deployment)
        deployment.fill(thread["thread_id"], size)
        point = {"thread_id": thread["thread_id"], "epoch": thread["epoch"], "seq": size - missed}
        calls = deployment.connect("a2", resume=[point])
    assert operations(calls)["PostToConnection"] >= 3, "welcome, subscribed, and a batch at least"
    return [(call.operation, call.target, call.reads) for call in calls if call.reading]


def test_a_replay_reads_as_much_in_a_long_thread_as_in_a_short_one():
    assert reads_of_a_replay(40, missed=30) == reads_of_a_replay(2000, missed=30)


def test_a_turn_of_a_thousand_tokens_is_at_most_a_hundred_posts_and_log_writes():
    """J7. The sender, and another device that follows the thread."""
    with metered() as deployment:
        deployment.connect("a2")
        thread = accepted(deployment)
        deployment.say("a2", "subscribe", thread_id=thread["thread_id"])
        deployment.meter.take()
        began = deployment.now()
        deployment.work(A_TURN)
        calls, took_s = deployment.meter.take(), deployment.now() - began
    posts = Counter(call.target for call in calls if call.operation == "PostToConnection")
    assert set(posts) == {"a1", "a2"}
    assert all(20 < number <= 100 for number in posts.values())
    assert sum(any(write.kind == "EVENT" for write in call.writes) for call in calls) <= 100
    assert took_s < 21, "as long as the agent spoke"


def test_a_slow_log_is_written_less_often_and_holds_the_agent_up_no_more_than_that():
    """E8: a table that takes longer for a write than text is gathered for. One write per token would take minutes."""
    with metered(call_s=0.4) as deployment:
        accepted(deployment)
        deployment.meter.take()
        began = deployment.now()
        deployment.work(A_TURN)
        calls, took_s = deployment.meter.take(), deployment.now() - began
    assert operations(calls)["PutItem"] < 60
    assert took_s < 60


def test_the_first_token_waits_for_one_put_and_one_post():
    """J7. Between the agent's first token and its frame stands nothing else."""
    with metered() as deployment:
        accepted(deployment)
        deployment.meter.take()
        deployment.work(TWO_TOKENS)
        asked = [(call.operation, call.target) for call in deployment.meter.take()]
    put = asked.index(("PutItem", "EVENT"))
    assert asked[put + 1] == ("PostToConnection", "a1")
    assert asked[:put].count(("PostToConnection", "a1")) == 2, "user_message and agent_started, and nothing else"
