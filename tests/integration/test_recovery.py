"""Area F over real sockets: agents that fail (killed workers: `test_at_length.py`, `test_stories.py`)."""

from __future__ import annotations

import pytest

from tests.integration.client_log import log_of, text_of
from tests.integration.deployment import is_last
from tests.integration.scripts import crash, fail, say, script

FAILURES = {"gives up": (fail("timeout"), "timeout", True), "breaks": (crash(), "internal", False)}


@pytest.mark.parametrize(("failing", "error_type", "recoverable"), FAILURES.values(), ids=FAILURES)
async def test_the_text_before_a_fault_is_kept_and_sent_again(speaking, failing, error_type, recoverable):
    """F4, B1: all that was said is in the log before the error, and a client that lost its connection gets it too."""
    async with speaking.live("fran") as socket:
        run = await socket.run(script(say("as far as {n} "), say("and {n}, ", 5), failing, say("never")))
    kinds = [event["type"] for event in run]
    assert kinds[:3] == ["user_message", "agent_started", "partial_result"]
    assert set(kinds[3:-2]) <= {"partial_result"}
    assert kinds[-2:] == ["agent_error", "agent_completed"]
    assert text_of(run) == "as far as 1 and 1, and 2, and 3, and 4, and 5, "
    error, completed = run[-2]["payload"], run[-1]["payload"]
    assert (error["error_type"], error["is_recoverable"], completed["outcome"]) == (error_type, recoverable, "error")
    assert error["user_message"]
    assert error["suggested_action"]
    thread = run[0]["thread_id"]
    assert run == log_of(speaking, "fran", thread)
    async with speaking.live("fran") as again:
        subscribed = await again.ask("subscribe", thread_id=thread)
        since = {"epoch": subscribed["payload"]["epoch"], "seq": 2}
        await again.ask("subscribe", thread_id=thread, since=since)
        batch = await again.until(lambda frame: frame["type"] == "batch")
        assert batch["payload"]["events"] == run[2:]
        assert is_last((await again.run("hello", thread_id=thread))[-1])
