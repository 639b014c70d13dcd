"""Commands: client to server. Unknown fields are refused; constraints stand in the types."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from agentsocket.protocol.payload import JSONObject, Payload

ID_WORDS = "1 to 64 characters of A-Z a-z 0-9 _ -"
# "$(?!\n)": in Python "$" alone also matches before a final newline, in ECMA-262 (JSON Schema) it does not.
# What `extra` says of a type stands in the text of a refusal, after the field's name (`violations.py`).
CommandId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)",
        max_length=64,
        extra={"pattern": ID_WORDS},
    ),
]
Name = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)",
        max_length=64,
        extra={"pattern": "1 to 64 characters of A-Z a-z 0-9 _ . -"},
    ),
]
Seq = Annotated[int, Meta(ge=0, le=10**12 - 1)]
ContextName = Annotated[
    str,
    Meta(
        pattern=r"^user\.[A-Za-z0-9_.-]{1,59}$(?!\n)",
        max_length=64,
        extra={"pattern": "`user.` followed by 1 to 59 characters of A-Z a-z 0-9 _ . -"},
    ),
]
Version = Annotated[int, Meta(ge=0, le=2**53 - 1)]
ProtocolVersion = Annotated[
    Literal[1], Meta(extra={"other": "version {value:,} is not supported; this server speaks version {allowed}"})
]
MAX_PARTS = 40
Title = Annotated[str, Meta(max_length=200)]
PageSize = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(max_length=128)]

# What other chat protocols call a field of ours: a refusal names the field that is probably meant.
MISNOMERS = {
    "text": "content",
    "message": "content",
    "query": "content",
    "prompt": "content",
    "body": "content",
    "id": "message_id",
    "name": "title",
    "after": "cursor",
    "jwt": "token",
    "value": "patch",
}


class Position(Payload):
    """How far a client has seen a thread: everything up to `seq` of `epoch`."""

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Seq


class ResumePoint(Position):
    """A thread to resume, and from where."""

    thread_id: Name


class ClientInfo(Payload):
    """What the client calls itself, for the operator's logs."""

    name: Annotated[str, Meta(max_length=64)] = ""
    version: Annotated[str, Meta(max_length=64)] = ""


class Hello(Payload):
    """The first command: makes the connection live for pushes."""

    protocol: ProtocolVersion
    client: ClientInfo = field(default_factory=ClientInfo)
    resume: Annotated[list[ResumePoint], Meta(max_length=20)] = field(default_factory=list)


class SendMessage(Payload):
    """The command `user_message`. `message_id` is its idempotency key.

    A long text comes in `parts`, each a command of its own: `content` is then the text of this `part`, counted from 1.
    """

    content: Annotated[str, Meta(min_length=1)]
    message_id: CommandId  # no dot: `<run_id>.<attempt>` is an answer's
    thread_id: Name | UnsetType = UNSET
    agent: Name | UnsetType = UNSET
    context: JSONObject = field(default_factory=dict)
    part: Annotated[int, Meta(ge=1, le=MAX_PARTS)] | UnsetType = UNSET
    parts: Annotated[int, Meta(ge=2, le=MAX_PARTS)] | UnsetType = UNSET


class StopAgent(Payload):
    """Stop a run: by its id, or by the `message_id` it answers, which may be known before the run is."""

    run_id: Name | UnsetType = UNSET
    message_id: CommandId | UnsetType = UNSET


class Subscribe(Payload):
    """Follow a thread; `since` asks for what came after it."""

    thread_id: Name
    since: Position | UnsetType = UNSET


class Unsubscribe(Payload):
    """Stop following a thread."""

    thread_id: Name


class CreateThread(Payload):
    """Begin a thread. The command's `id` is its idempotency key. `metadata` is the client's own, at most 2 KB."""

    title: Title = ""
    metadata: JSONObject = field(default_factory=dict)


class RenameThread(Payload):
    """Give a thread another title."""

    thread_id: Name
    title: Title


class ListThreads(Payload):
    """The user's threads, newest activity first. A page holds what fits one frame; `cursor` is the answer's."""

    limit: PageSize = 50
    cursor: Cursor = ""


class GetThreadHistory(Payload):
    """What was said in a thread, newest first. A page holds what fits one frame; `cursor` is the answer's."""

    thread_id: Name
    limit: PageSize = 50
    cursor: Cursor = ""


class SwitchThread(Payload):
    """Follow this thread and no other; `since` as in `subscribe`."""

    thread_id: Name
    since: Position | UnsetType = UNSET


class DeleteThread(Payload):
    """Delete a thread of the user's own, and whatever is said in it. Runs under way end without a word."""

    thread_id: Name


class GetContent(Payload):
    """Read the text of a message of a thread, from the character `offset` on."""

    thread_id: Name
    message_id: Name
    offset: Seq = 0


class Ping(Payload):
    """Keeps the connection from idling."""


class RefreshToken(Payload):
    """A newer token for this connection: same issuer and `sub`, strictly later `exp`, no further scopes."""

    token: Annotated[str, Meta(min_length=1, max_length=4096)]


class GetContext(Payload):
    """What is remembered of the user under a name that begins with `user.`."""

    name: ContextName


class UpdateContext(Payload):
    """Change what is remembered, by an RFC 7386 merge patch; with `version`, only if that is still the newest."""

    name: ContextName
    patch: JSONObject
    version: Version | UnsetType = UNSET


class GetHealth(Payload):
    """Whether the service is well: the same answer as over HTTP."""
