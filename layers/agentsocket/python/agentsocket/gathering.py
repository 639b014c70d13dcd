"""Accepting a message, whether it comes whole or in parts that are gathered first (delivery.md, Parts)."""

from __future__ import annotations

from msgspec import UNSET

from agentsocket import protocol
from agentsocket.errors import BadRequest, IdempotencyConflict
from agentsocket.storage import Accepted, UserStorage
from agentsocket.uploads import NewMessage, Part


def accept(
    command: protocol.SendMessage, message: NewMessage, *, user: UserStorage
) -> Accepted | protocol.PartAccepted:
    """The run of the message, or what its other parts are that are still to come."""
    part = _part(command, message)
    if part is None:
        return user.accept(message)
    if message.thread_id is not None:
        user.thread(message.thread_id)
    arrival = user.uploads.add(part)
    if arrival.run is not None:
        return user.again(arrival.run)
    if arrival.message is None:
        missing = list(arrival.missing)
        return protocol.PartAccepted(message_id=message.message_id, part=part.number, parts=part.parts, missing=missing)
    try:
        accepted = user.accept(arrival.message)
    except IdempotencyConflict:  # and so it will stay: its place is another's
        user.uploads.close(message.message_id)
        raise
    user.uploads.close(message.message_id)
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
