"""Accepting a message once, whole or in parts that are gathered first (delivery.md, Accept and Parts)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from agentsocket.errors import AgentSocketError, BadRequest, Busy, IdempotencyConflict, RateLimited
from agentsocket.protocol import messages
from agentsocket.storage.multipart import NewMessage, Part

if TYPE_CHECKING:
    from agentsocket.storage.runs import Accepted
    from agentsocket.storage.user import UserStorage


def accept(
    command: messages.SendMessage, *, connection_id: str, store: UserStorage
) -> Accepted | messages.PartAccepted:
    """The run of the message, or which of its parts are still missing."""
    message = _message(command, connection_id)
    part = _part(command, message)
    if part is None:
        return _admitted(message, store, cost=1)
    store.quotas.spend(1)
    if message.thread_id is not None:
        store.threads.get(message.thread_id)
    arrival = store.uploads.add(part)
    if arrival.run is not None:
        return store.runs.duplicate(arrival.run)
    if arrival.message is None:
        missing = list(arrival.missing)
        return messages.PartAccepted(message_id=message.message_id, part=part.number, parts=part.parts, missing=missing)
    try:
        accepted = _admitted(arrival.message, store, cost=0)
    except IdempotencyConflict:  # every retry would meet it again: its message_id belongs to another message
        store.uploads.close(message.message_id)
        raise
    store.uploads.close(message.message_id)
    return accepted


def _message(command: messages.SendMessage, connection_id: str) -> NewMessage:
    return NewMessage(
        message_id=command.message_id,
        content=command.content,
        thread_id=None if command.thread_id is UNSET else command.thread_id,
        connection_id=connection_id,
        agent="" if command.agent is UNSET else command.agent,
        context=msgspec.json.encode(command.context, order="sorted").decode(),
    )


def _admitted(message: NewMessage, store: UserStorage, *, cost: int) -> Accepted:
    """The run of a whole message, within the user's quotas. A message accepted before is found, and counts no run."""
    run_id = store.runs.id_of(message.message_id)
    try:
        store.quotas.admit(run_id, cost)
    except (Busy, RateLimited):
        if store.runs.get(run_id) is None:
            raise
        store.quotas.spend(cost)
        return store.runs.accept(message)
    try:
        accepted = store.runs.accept(message)
    except AgentSocketError as error:
        store.quotas.take_back(run_id, waits=isinstance(error, IdempotencyConflict))
        raise
    if accepted.duplicate:
        store.quotas.take_back(run_id, waits=accepted.run.state == "accepted")
    return accepted


def _part(command: messages.SendMessage, message: NewMessage) -> Part | None:
    """The part of a message that the command is, or None when it is a whole one."""
    number, parts = command.part, command.parts
    if number is UNSET and parts is UNSET:
        return None
    if number is UNSET or parts is UNSET:
        missing = "part" if number is UNSET else "parts"
        raise BadRequest("part and parts must be given together", field=missing)
    if number > parts:
        raise BadRequest(f"part is {number}, beyond parts, which is {parts}; parts count from 1", field="part")
    return Part(message, number, parts)
