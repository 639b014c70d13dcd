"""What is remembered of a user and of a thread: the clients' commands, and what an agent gets and changes.

Clients see names that begin with `user.`; an agent the names that it declares: those that begin with `thread.` are its
thread's own and end with it, all others are the user's (delivery.md, Contexts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import UNSET

from agentsocket.commands.connection import CommandContext, tell_others
from agentsocket.contexts.contract import Context, Contexts, UserContexts, change
from agentsocket.protocol import messages as protocol
from agentsocket.protocol.frames import Reply

OF_THREAD, OF_CLIENTS = "thread.", "user."


def get_context(command: protocol.GetContext, asked: CommandContext) -> Iterator[Reply]:
    """What is remembered under a name: an empty object of version 0 where nothing is."""
    asked.admit()
    own = asked.contexts.for_user(asked.principal).own
    yield Reply(notice(own.load(command.name)))


def update_context(command: protocol.UpdateContext, asked: CommandContext) -> Iterator[Reply]:
    """Change what is remembered; the other connections hear of it. Raises VersionConflict, TooLarge or BadRequest."""
    asked.admit()
    own = asked.contexts.for_user(asked.principal).own
    version = None if command.version is UNSET else command.version
    changed = notice(change(own, command.name, command.patch, version=version))
    tell_others(changed, asked)
    yield Reply(changed)


def notice(context: Context) -> protocol.ContextNotice:
    """What a client hears of a context."""
    return protocol.ContextNotice(name=context.name, value=context.value, version=context.version)


def recall(contexts: UserContexts, thread_id: str, names: Iterable[str]) -> Mapping[str, Mapping[str, Any]]:
    """What an agent gets to know: one read per name."""
    return {name: _scope(contexts, thread_id, name).load(name).value for name in names}


def remember(contexts: UserContexts, thread_id: str, name: str, patch: Mapping[str, Any]) -> Context:
    """What an agent wants remembered. Raises what `change` does, and NotFound when its thread is deleted."""
    return change(_scope(contexts, thread_id, name), name, patch)


def _scope(contexts: UserContexts, thread_id: str, name: str) -> Contexts:
    return contexts.of_thread(thread_id) if name.startswith(OF_THREAD) else contexts.own
