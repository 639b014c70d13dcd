"""The clients' commands about what is remembered of the user. Clients see names that begin with `user.`

What agents remember is `worker/memory.py`'s; the rules of both: delivery.md, Contexts.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from agentsocket.commands import notify
from agentsocket.commands.request import CommandContext
from agentsocket.contexts.contract import Context, change
from agentsocket.protocol import messages
from agentsocket.protocol.frames import Reply


def get_context(command: messages.GetContext, request: CommandContext) -> Iterator[Reply]:
    """What is remembered under a name: an empty object of version 0 where nothing is."""
    request.admit()
    own = request.contexts.for_user(request.principal).own
    yield Reply(notice(own.load(command.name)))


def update_context(command: messages.UpdateContext, request: CommandContext) -> Iterator[Reply]:
    """Change what is remembered, and notify the other connections. Raises VersionConflict, TooLarge or BadRequest."""
    request.admit()
    own = request.contexts.for_user(request.principal).own
    version = None if command.version is UNSET else command.version
    changed = notice(change(own, command.name, command.patch, version=version))
    notify.others(changed, request)
    yield Reply(changed)


def notice(context: Context) -> messages.ContextNotice:
    """A context as clients get it."""
    return messages.ContextNotice(name=context.name, value=context.value, version=context.version)
