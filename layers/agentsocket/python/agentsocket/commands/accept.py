"""Accepting a message, whether it comes whole or in parts that are gathered first (delivery.md, Parts)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from agentsocket.errors import AgentSocketError, BadRequest, Busy, IdempotencyConflict, RateLimited
from agentsocket.protocol import messages as protocol
from agentsocket.storage.multipart import NewMessage, Part

if TYPE_CHECKING:
    from agentsocket.storage.user import Accepted, UserStorage


def accept(
    command: protocol.SendMessage, message: NewMessage, *, user: UserStorage
) -> Accepted | protocol.PartAccepted:
    """The run of the message, or what its other parts are that are still to come."""
    part = _part(command, message)
    if part is None:
        return _admitted(message, user, cost=1)
    user.quotas.spend(1)
    if message.thread_id is not None:
        user.threads.get(message.thread_id)
    arrival = user.uploads.add(part)
    if arrival.run is not None:
        return user.again(arrival.run)
    if arrival.message is None:
        missing = list(arrival.missing)
        return protocol.PartAccepted(message_id=message.message_id, part=part.number, parts=part.parts, missing=missing)
    try:
        accepted = _admitted(arrival.message, user, cost=0)
    except IdempotencyConflict:  # and so it will stay: its place is another's
        user.uploads.close(message.message_id)
        raise
    user.uploads.close(message.message_id)
    return accepted


def _admitted(message: NewMessage, user: UserStorage, *, cost: int) -> Accepted:
    """The run of a whole message, as far as the user's quotas go. One that is there already is no further one."""
    run_id = user.run_id(message.message_id)
    try:
        user.quotas.admit(run_id, cost)
    except (Busy, RateLimited):
        if user.run(run_id) is None:
            raise
        user.quotas.spend(cost)
        return user.accept(message)
    try:
        accepted = user.accept(message)
    except AgentSocketError as error:
        user.quotas.take_back(run_id, waits=isinstance(error, IdempotencyConflict))
        raise
    if accepted.duplicate:
        user.quotas.take_back(run_id, waits=accepted.run.state == "accepted")
    return accepted


def _part(command: protocol.SendMessage, message: NewMessage) -> Part | None:
    """The part of a message that the command is, or None when it is a whole one."""
    number, parts = command.part, command.parts
    if number is UNSET and parts is UNSET:
        return None
    if number is UNSET or parts is UNSET:
        raise BadRequest("part and parts come together", field="payload.part" if number is UNSET else "payload.parts")
    if number > parts:
        raise BadRequest("there is no such part", field="payload.part")
    return Part(message, number, parts)
