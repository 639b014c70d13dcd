"""Frames: text in, a validated command out; a payload in, the bytes of a frame out.

Pure; the shapes are `messages.py`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from agentsocket import wording
from agentsocket.errors import COMMAND_ID, BadRequest, CommandError, Disconnect, TooLarge, UnknownType
from agentsocket.limits import Limits
from agentsocket.protocol import messages as protocol
from agentsocket.protocol import strict_json
from agentsocket.protocol.messages import Payload

Item = TypeVar("Item", bound=Struct)
_TYPE_OF: dict[type[Payload], str] = {shape: name for name, shape in (protocol.EVENTS | protocol.CONTROL).items()}
_ENVELOPE_BYTES = 512  # what a frame is around a list
_MAX_FIELD = 120  # characters: a client's own names may be as long as a frame
_MAX_TOP_FIELD = 64
_ENVELOPE = frozenset({"type", "payload", "id"})


class Command(Struct, frozen=True):
    """A parsed inbound frame. `id` is None when the client sent none; its reply then has no `reply_to`."""

    type: str
    payload: Payload
    id: str | None = None


class Frame(Struct, frozen=True, omit_defaults=True):
    """An outbound frame: the envelope of protocol.md. `timestamp` is in milliseconds since the epoch."""

    type: str
    payload: Payload
    id: str
    timestamp: int
    reply_to: str | None = None
    thread_id: str | UnsetType = UNSET
    run_id: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET

    def encode(self) -> bytes:
        """The frame as UTF-8 JSON."""
        return msgspec.json.encode(self)


class Reply(Struct, frozen=True):
    """A payload on its way to the client that sent the command; `thread_id` for the payloads that lack one."""

    payload: Payload
    thread_id: str | UnsetType = UNSET


def frame(
    payload: Payload,
    *,
    frame_id: str,
    now: float,
    reply_to: str | None = None,
    thread_id: str | UnsetType = UNSET,
    run_id: str | UnsetType = UNSET,
    seq: int | UnsetType = UNSET,
) -> Frame:
    """The envelope around `payload`, typed by the payload's class. `now` is in seconds since the epoch."""
    return Frame(_TYPE_OF[type(payload)], payload, frame_id, int(now * 1000), reply_to, thread_id, run_id, seq)


def failure(error: CommandError) -> protocol.ErrorNotice:
    """What a client is told of an error."""
    return protocol.ErrorNotice(
        code=error.code,
        message=error.message,
        temporary=error.temporary,
        field=error.field if error.field is not None else UNSET,
        retry_after_ms=error.retry_after_ms if error.retry_after_ms is not None else UNSET,
    )


def in_frame(error: CommandError) -> CommandError:
    """The error of a command that was parsed, its field named as the frame has it: `payload.thread_id`, or `id`."""
    if error.field is not None:
        error.field = "id" if error.field == COMMAND_ID else f"payload.{error.field}"
    return error


def farewell(error: Disconnect) -> protocol.DisconnectNotice:
    """What a client is told before its connection is closed."""
    return protocol.DisconnectNotice(code=error.code, reason=error.reason, reconnect=error.reconnect)


def delta(raw: bytes) -> str:
    """The text that one of our own event frames adds to its answer: empty unless it is a `partial_result`."""
    event = msgspec.json.decode(raw, type=_Delta)
    return event.payload.content if event.type == "partial_result" else ""


def command_id(text: str) -> str | None:
    """The id of a frame that is JSON, whatever else is wrong with it: an error says which command it answers."""
    try:
        return msgspec.json.decode(text, type=_Identified).id
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def parse(text: str, *, limits: Limits) -> Command:
    """Read one inbound frame. Raises BadRequest (with `field`), TooLarge or UnknownType, and nothing else."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadRequest("the frame holds half of a surrogate pair; send UTF-8") from None
    if size > limits.max_message_bytes:
        raise TooLarge(wording.too_large("the frame", size, limits.max_message_bytes))
    envelope = _envelope(text, limits)
    kind = envelope["type"]
    if kind not in protocol.COMMANDS:
        raise UnknownType(_unknown_command(kind), field="type")
    if "payload" not in envelope:
        raise BadRequest("payload is missing", field="payload")
    try:
        payload = checked(envelope["payload"], protocol.COMMANDS[kind], limits=limits)
    except CommandError as error:
        error.field = f"payload.{error.field}" if error.field else "payload"
        raise
    return Command(kind, payload, envelope.get("id"))


def checked(
    value: Any,
    shape: type[Payload],
    *,
    limits: Limits,
    written_out: bool = False,
    elsewhere: Collection[str] = (),
) -> Payload:
    """A command's payload; numbers may be `written_out` as texts. Raises BadRequest (with `field`) or TooLarge.

    `elsewhere` are fields that come from another place than the others, so that an unknown one cannot mean them.
    """
    try:
        payload = msgspec.convert(value, shape, strict=not written_out)
    except msgspec.ValidationError:
        raise _violation(value, shape, strict=not written_out, elsewhere=elsewhere) from None
    _check_sizes(payload, limits)
    return payload


class _Identified(Struct):
    id: protocol.CommandId | None = None


class _Content(Struct):
    content: str = ""


class _Delta(Struct):
    type: str
    payload: _Content


def _envelope(text: str, limits: Limits) -> dict[str, Any]:
    try:
        envelope = strict_json.loads(text, max_nesting=limits.max_nesting)
    except strict_json.StrictJSONError as error:
        raise BadRequest(f"the frame {error}") from None
    if not isinstance(envelope, dict):
        raise BadRequest("the frame must be a JSON object with type, payload and id")
    if "type" not in envelope:
        raise BadRequest("type is missing", field="type")
    if not isinstance(envelope["type"], str):
        raise _not_text("type", envelope["type"])
    if strange := sorted(envelope.keys() - _ENVELOPE):
        raise _unknown_field(strange[0])
    try:
        msgspec.convert(envelope.get("id"), protocol.CommandId | None)
    except msgspec.ValidationError:
        raise BadRequest(f"id must be {protocol.ID_WORDS}", field="id") from None
    return envelope


def _not_text(name: str, value: Any) -> BadRequest:
    from agentsocket.protocol import violations  # here and below: with difflib, for refusals alone

    return BadRequest(f"{name} must be text, not {violations.kind(value)}", field=name)


def _unknown_field(name: str) -> BadRequest:
    """Of the frame itself: most likely one that belongs into its payload."""
    return BadRequest(
        f"unknown field `{wording.quoted(name)}` beside type, payload and id; a command's fields stand in payload",
        field=name[:_MAX_TOP_FIELD],
    )


def _unknown_command(name: str) -> str:
    from agentsocket.protocol import violations

    meant = violations.likely(name, protocol.COMMANDS)
    advice = f"did you mean `{meant}`?" if meant else "protocol version 1 does not have it"
    return f"unknown command `{wording.quoted(name)}`; {advice}"


def _violation(value: Any, shape: type[Payload], *, strict: bool, elsewhere: Collection[str]) -> BadRequest:
    from agentsocket.protocol import violations

    found = violations.Violations(strict=strict, elsewhere=elsewhere).of(value, shape)
    return BadRequest(found.text, field=found.field[:_MAX_FIELD] or None)


def _check_sizes(payload: Payload, limits: Limits) -> None:
    """What is free in its form is bounded in its size. Raises TooLarge."""
    allowed = {
        "context": limits.max_context_bytes,
        "metadata": limits.max_metadata_bytes,
        "patch": limits.max_remembered_bytes,
    }
    for name, most in allowed.items():
        given = getattr(payload, name, None)
        size = len(msgspec.json.encode(given)) if given else 0
        if size > most:
            raise TooLarge(wording.too_large(name, size, most), field=name)


def room(limits: Limits) -> int:
    """How many bytes of a list one frame has room for."""
    return limits.max_outbound_frame_bytes - _ENVELOPE_BYTES


def fitting(items: Sequence[Item], room: int) -> list[Item]:
    """The first of the items, as many as a list of `room` bytes holds."""
    chosen = []
    for item in items:
        room -= len(msgspec.json.encode(item)) + 1
        if room < 0:
            break
        chosen.append(item)
    return chosen


def batch(raw_frames: list[bytes], *, more: bool) -> protocol.Batch:
    """A page of a replay: frames as the log holds them."""
    return protocol.Batch(events=[Raw(raw) for raw in raw_frames], more=more)
