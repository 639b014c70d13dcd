"""Whether what a story does to the world was really done: if its kills and cuts do nothing, it shows nothing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.simulation.history import History
from tests.simulation.stories import Story


def violations(story: Story, past: History, *, prefix: str, connections: Callable[[str], int]) -> Iterator[str]:
    """What should have left its mark and has not, as sentences.

    `prefix` stands before the story's messages in `past`; `connections` says how often a device's line was opened.
    """
    for message, least in story.attempts.items():
        runs = {each.run_id for each in past.accepted if each.message_id == prefix + message}
        events = [event for log in past.logs.values() for event in log.events if event["run_id"] in runs]
        attempts = sum(event["type"] == "agent_started" for event in events)
        if attempts < least:
            yield f"message {message} had {attempts} attempts, not {least}: its worker was not killed"
    for device, least in story.connections.items():
        if connections(device) < least:
            yield f"{device} was connected {connections(device)} times, not {least}: its line was not cut"
