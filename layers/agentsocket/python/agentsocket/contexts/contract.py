"""What is remembered of a user: named JSON objects with versions, each the user's own or one of their threads'.

The Protocol that three stores keep, and the rules they share. The stores: DynamoDB (`dynamodb.py`), Redis alone
(`redis_store.py`), Redis in front of DynamoDB (`tiered.py`). Agents reach none: a change is an event (`agents/`).

A version is never used twice and only grows, also across expiry, deletion and re-creation: the new one is the old one's
successor or the time in milliseconds, whichever is more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from msgspec import Struct

from agentsocket import wording
from agentsocket.contexts.merge_patch import merge
from agentsocket.errors import BadRequest, NotFound, TooLarge, VersionConflict
from agentsocket.limits import Limits
from agentsocket.principal import Principal

State = Literal["ok", "degraded"]
Store = Literal["dynamodb", "redis", "tiered"]

_TRIES = 10  # of a change that always finds another one in its way
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Context(Struct, frozen=True):
    """A remembered JSON object. Version 0 and an empty value: there is none."""

    name: str
    value: dict[str, Any]
    version: int


class Contexts(Protocol):
    """Those of one user, or of one of their threads."""

    def load(self, name: str, *, fresh: bool = False) -> Context:
        """The context, or that there is none; `fresh`: from where writes are decided, past what is kept nearer.

        Raises BadRequest for a name that is none, Unavailable.
        """

    def save(self, name: str, value: dict[str, Any], *, version: int, lifetime_s: int | None = None) -> Context:
        """Put `value` in place of the `version` that was loaded (0: there was none); forgotten after `lifetime_s`.

        Raises VersionConflict when there is another version, TooLarge, BadRequest for what is no JSON object or one
        context too many, NotFound for a deleted thread, Unavailable (then it may have been saved).
        """


class UserContexts(Protocol):
    """One user's contexts. No method takes a user."""

    @property
    def own(self) -> Contexts:
        """Those that hold in all of the user's threads."""

    def of_thread(self, thread_id: str) -> Contexts:
        """Those of one thread."""

    def delete_thread(self, thread_id: str) -> None:
        """Remove a deleted thread's contexts, whose row says that it is deleted. Nothing saves one any more."""

    def erase(self) -> None:
        """Remove the user's own contexts and those of all threads."""


class ContextStore(Protocol):
    """The contexts before anyone is known."""

    def for_user(self, principal: Principal) -> UserContexts:
        """Open one user's contexts."""

    def state(self) -> State:
        """Whether all of it answers, or only what decides. Raises Unavailable when that does not."""


def change(
    contexts: Contexts,
    name: str,
    patch: Mapping[str, Any],
    *,
    version: int | None = None,
    lifetime_s: int | None = None,
) -> Context:
    """Load, merge, save. Without `version` whatever is there is changed, and a conflict means to try again.

    Raises as `save` does; VersionConflict without `version` when others were quicker each time.
    """
    found = contexts.load(name)
    if version is not None and version != found.version:
        found = contexts.load(name, fresh=True)
        if version != found.version:
            raise version_conflict()
    tries = _TRIES if version is None else 1
    while True:
        tries -= 1
        try:
            return contexts.save(name, merge(found.value, patch), version=found.version, lifetime_s=lifetime_s)
        except VersionConflict:
            if not tries:
                raise
            found = contexts.load(name, fresh=True)


def require_name(name: str) -> None:
    """Raises BadRequest for a name that may not stand in a key."""
    if not _NAME.fullmatch(name):
        raise BadRequest("name must be 1 to 64 characters of A-Z a-z 0-9 _ . -", field="name")


def encoded(name: str, value: Any, lifetime_s: int | None, *, limits: Limits) -> str:
    """What is to be saved, as JSON. Raises BadRequest for a name, value or lifetime that is none, TooLarge."""
    require_name(name)
    if lifetime_s is not None and lifetime_s <= 0:
        raise BadRequest(f"lifetime_s is {lifetime_s:,}; it must be at least 1", field="lifetime_s")
    if not isinstance(value, dict):
        raise BadRequest("value must be a JSON object", field="value")
    try:
        text = _JSON.encode(value)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise BadRequest("value must consist of JSON values only", field="value") from None
    if size > limits.max_remembered_bytes:
        raise TooLarge(wording.too_large("context", size, limits.max_remembered_bytes), field="value")
    return text


def next_version(version: int, now: float) -> int:
    """The version after `version`, at `now` in seconds."""
    return max(version + 1, int(now * 1000))


def new_write_id() -> str:
    """What a write leaves in its row, so that a repeated one knows itself: 64 random bits."""
    return os.urandom(8).hex()


def version_conflict() -> VersionConflict:
    return VersionConflict("the context was changed by another request; load it again and retry", field="version")


def limit_reached(limits: Limits) -> BadRequest:
    most = limits.max_remembered
    return BadRequest(
        f"{most:,} contexts are already stored; the limit is {most:,}: use an existing name", field="name"
    )


def thread_not_found() -> NotFound:
    return NotFound("no such thread", field="thread_id")


class StoredContext(Struct, frozen=True):
    """A context as it is stored: JSON text, and when it ends in seconds, 0 for never."""

    text: str
    version: int
    expires_at: int = 0

    def context(self, name: str) -> Context:
        return Context(name, json.loads(self.text), self.version)
