"""Control frames: server to client, no seq."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from agentsocket.errors import DISCONNECTS
from agentsocket.protocol.payload import JSONObject, Payload


class Welcome(Payload):
    """Answers `hello`: the connection is live. `expires_at` is the token's end, in seconds since the epoch.

    `server_version` is the release that the server runs; what a client may send depends on `protocol` alone.
    """

    connection_id: str
    user_id: str
    expires_at: int
    max_message_bytes: int
    ping_interval_s: int
    server_version: str | UnsetType = UNSET


class MessageAccepted(Payload):
    """Answers `user_message`: the run exists and will end, whatever happens to this connection."""

    thread_id: str
    epoch: str
    run_id: str
    message_id: str
    duplicate: bool


class PartAccepted(Payload):
    """Answers a part of a `user_message` that does not complete it: `missing` are the parts still to come."""

    message_id: str
    part: int
    parts: int
    missing: list[int]


class Content(Payload):
    """Answers `get_content`: a piece of a text; `bytes` (UTF-8) and `sha256` are those of the whole."""

    content: str
    offset: int
    bytes: int
    sha256: str
    next_offset: int | UnsetType = UNSET


class StopAccepted(Payload):
    """Answers `stop_agent`: what the model says from now on is dropped, and the run ends as `stopped`."""

    run_id: str


class ActiveRun(Payload):
    """A run under way: the text of its newest attempt so far."""

    run_id: str
    message_id: str
    content: str
    truncated: bool = False


class Subscribed(Payload):
    """Answers `subscribe`: with `recovered`, batches follow up to `seq`; without, a `thread_snapshot`."""

    thread_id: str
    epoch: str
    seq: int
    recovered: bool
    reason: Literal["epoch", "trimmed", "limit"] | UnsetType = UNSET


class Unsubscribed(Payload):
    """Answers `unsubscribe`."""

    thread_id: str


class ThreadInfo(Payload):
    """A thread in a list. Times are in milliseconds since the epoch."""

    thread_id: str
    title: str
    metadata: JSONObject
    created_at: int
    activity: int


class ThreadCreated(ThreadInfo):
    """Answers `create_thread`, and tells the user's other connections."""


class ThreadRenamed(Payload):
    """Answers `rename_thread`, and tells the user's other connections."""

    thread_id: str
    title: str


class ThreadList(Payload):
    """Answers `list_threads`; without `cursor` it is the last page."""

    threads: list[ThreadInfo]
    cursor: str | UnsetType = UNSET


class MessageInfo(Payload):
    """A message of a transcript; of a long one the first 2 KB, `truncated`: `get_content` has the whole."""

    message_id: str
    seq: int
    role: str
    content: str
    truncated: bool
    created_at: int


class ThreadHistory(Payload):
    """Answers `get_thread_history`; without `cursor` it is the last page."""

    messages: list[MessageInfo]
    cursor: str | UnsetType = UNSET


class ThreadSwitched(Payload):
    """Answers `switch_thread`, before what was missed: the connection follows this thread and no other."""

    thread_id: str


class ContextNotice(Payload):
    """Answers `get_context` and `update_context`; a change is told to the user's other connections as well.

    `version` grows with every change, and is 0 where nothing is remembered.
    """

    name: str
    value: JSONObject
    version: int


class Dependency(Payload):
    """Something the service needs: `latency_ms` where it answers."""

    status: Literal["ok", "degraded", "down"]
    latency_ms: int | UnsetType = UNSET


class Health(Payload):
    """Answers `get_health`. Degraded: everything works, something more slowly. `version` is the server's release."""

    status: Literal["ok", "degraded", "down"]
    dependencies: dict[str, Dependency]
    version: str | UnsetType = UNSET


class ThreadDeleted(Payload):
    """Answers `delete_thread`, and tells the user's other connections: nothing of the thread can be read any more."""

    thread_id: str


class Heartbeat(Payload):
    """A run goes on, and has had nothing to say for 15 s."""

    run_id: str


class Batch(Payload):
    """A page of a replay, at most 30 KB: frames as they were in the log."""

    events: list[Raw]
    more: bool


class ThreadSnapshot(Payload):
    """A thread as of `seq`, for who cannot replay: the newest messages, and the run under way."""

    messages: list[MessageInfo]
    epoch: str
    seq: int
    active_run: ActiveRun | UnsetType = UNSET


class Pong(Payload):
    """Answers `ping`."""


class DisconnectNotice(Payload):
    """Why the connection is about to be closed (API Gateway cannot send a close code of ours)."""

    code: Annotated[str, Meta(extra_json_schema={"examples": sorted(DISCONNECTS)})]
    reason: str
    reconnect: bool
    retry_after_ms: int | UnsetType = UNSET


class ErrorNotice(Payload):
    """A command failed; `field` names the part of the frame that is to blame."""

    code: str
    message: str
    temporary: bool
    field: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET


class TokenRefreshed(Payload):
    """Answers `refresh_token`: the connection's token now ends at `expires_at`, in seconds since the epoch."""

    expires_at: int


class TokenExpiring(Payload):
    """The token ends soon: a `refresh_token` before `expires_at`, in seconds, keeps the connection."""

    expires_at: int
