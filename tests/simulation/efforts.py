"""What must not be needed: a second attempt at a run whose worker nothing has happened to, a second question by a
client that nothing was kept from. Both would heal what is broken, and hide it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.deployment import Deployment
from tests.simulation.faults import Faults
from tests.simulation.playing import Play

_OF_WORKERS = {"killed", "frozen", "hung", "redelivered"}  # whose record came again cannot keep it
_NOT_OF_SOCKETS = {"checks_doubled", "slow_queue", "disconnect_lost", "half_open", "redelivered"}
_INTERRUPTING = {"cut", "leave", "sign_out", "delete", "unsubscribe", "kill"}


def violations(acting: Play, deployment: Deployment, given: Faults) -> Iterator[str]:
    """Efforts for which the story and its faults give no reason."""
    if not deployment.tracks.failed_calls:
        yield from _attempts(acting, given)
        yield from _questions(acting, deployment, given)


def _attempts(acting: Play, given: Faults) -> Iterator[str]:
    steps = acting.story.steps
    if given.rates.keys() & _OF_WORKERS or any(step.do == "kill" or ";die" in step.text for step in steps):
        return
    for log in acting.history.logs.values():
        for event in log.events:
            if event["type"] == "agent_started" and event["payload"]["attempt"] > 1:
                yield f"run {event['run_id']} needed attempt {event['payload']['attempt']}"


def _questions(acting: Play, deployment: Deployment, given: Faults) -> Iterator[str]:
    """Asked by who only follows: who writes to a thread without following it misses what others write there."""
    steps = acting.story.steps
    interrupted = any(step.do in _INTERRUPTING for step in steps) or deployment.limits.commands_per_s < 20
    if interrupted or given.rates.keys() - _NOT_OF_SOCKETS:
        return
    threads = {future.result(): name for name, future in acting.threads.items() if future.done()}
    for (device, thread_id), questions in deployment.sockets.asked_for.items():
        mine = [step for step in steps if step.device == device and step.thread == threads.get(thread_id)]
        asked = sum(step.do == "subscribe" for step in mine)
        # Once more: of what is pushed before the first snapshot a client cannot know the epoch.
        if len(questions) > asked + 1 and not any(step.do == "send" for step in mine):
            yield f"{device} had to ask for thread {thread_id} {len(questions)} times, and was told to {asked} times"
